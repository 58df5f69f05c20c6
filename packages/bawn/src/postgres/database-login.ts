import { createKeyedScramCredential, createScramCredential, type ScramCredential } from '../authn/scram-client.ts'
import { PostgresError } from './failure.ts'
import { isForNow, type Reached } from './hosts.ts'
import { type LoggedIn, shown } from './login-result.ts'
import { type Profile, profileId } from './pool/profile.ts'
import { type IdentityLimits, limitKey, settingsWithin } from './session-limits.ts'
import { marksOf } from './session-marks.ts'
import { applicationNameOf, type StartupRequest } from './startup-settings.ts'
import type { DatabaseState, UpstreamTarget } from './state.ts'
import { openUpstream, settleUpstream, type Upstream } from './upstream.ts'
import { type UpstreamLogin, UpstreamRefusal } from './upstream-login.ts'

/** Why somebody cannot be taken to the database by what was proven here; `undefined` when it can be tried. */
export function whyNoLogin(
  { name, login, marks }: DatabaseState,
  { identity, keys, opened }: LoggedIn,
): PostgresError | undefined {
  const wanted = login?.kind === 'verifier' ? 'scram' : login?.kind
  const fits = wanted === 'scram' ? keys !== undefined : wanted !== 'pass-through' || opened !== undefined
  if (fits) {
    const found = marksOf(marks, identity)
    return found instanceof PostgresError ? found : undefined
  }
  const message = `database "${name}" takes logins by ${wanted} only, and this one was by ${identity.mechanism}`
  return new PostgresError('postgres.login_kind', message)
}

/** Why somebody who asks for a replica cannot have one; `undefined` when nothing stands against it. */
export function whyNoReplica({ name, hosts }: DatabaseState, request: StartupRequest): PostgresError | undefined {
  if (request.target === 'primary' || hosts?.replicas !== false) return undefined
  // That they are in place is looked up at the primary: a replica may not have heard of them yet.
  const message = `parameter "bawn.target" may not be set for database "${name}": it has row filters`
  return new PostgresError('postgres.startup_setting', message)
}

/** Logs in to databases for those who have come in. Keeps the derived keys of the gateway's own credentials. */
export class DatabaseLogins {
  readonly #credentials = new WeakMap<DatabaseState, { readonly of: string; readonly scram: ScramCredential }>()

  /**
   * Opens a session for somebody whom policy permits.
   *
   * @throws {PostgresError} `postgres.upstream_unreachable`, `postgres.upstream_login`, `postgres.user_login_refused`, `postgres.encoding`
   * @throws {UpstreamRefusal} when the server refuses for a reason that is the client's to know
   */
  async open(database: DatabaseState, entered: LoggedIn, request: StartupRequest): Promise<Upstream> {
    const upstream = await this.#logIn(database, entered, request)
    try {
      examine(database, entered, upstream)
      return upstream
    } catch (error) {
      upstream.socket.destroy()
      throw error
    }
  }

  /**
   * What a session is to find on a connection of a pool. With one for the whole session all is said when it is opened, so that RESET and
   * DISCARD ALL lead back to it, and nobody with another identity gets it; with one for each transaction it is put in place by statements.
   *
   * @throws {PostgresError} where there is no such session for this identity
   */
  profile(database: DatabaseState, entered: LoggedIn, request: StartupRequest): Profile {
    const { target } = request
    const parameters = sessionParameters(request, entered.identity.id, database.limits.of(entered.identity))
    const marks = marksOf(database.marks, entered.identity)
    if (marks instanceof PostgresError) throw marks
    const who = limitKey(entered.identity)
    if (database.pool?.mode !== 'transaction') {
      const id = profileId(who, target, parameters, marks)
      return { id, key: id, who, target, marks, settings: [] }
    }
    const settings = parameters.filter(([name]) => !(name in readable))
    return { id: profileId(who, target, settings, marks), key: target, who, target, marks, settings }
  }

  /** Opens a connection for sessions of everybody, one transaction each. Throws as `open` does. */
  async openShared(database: DatabaseState, entered: LoggedIn, request: StartupRequest): Promise<Upstream> {
    const parameters = [...Object.entries(readable), ['application_name', 'bawn'] as const]
    const upstream = await this.#openOwn(database, request, parameters, [])
    try {
      examine(database, entered, upstream)
      return upstream
    } catch (error) {
      upstream.socket.destroy()
      throw error
    }
  }

  async #logIn(database: DatabaseState, entered: LoggedIn, request: StartupRequest): Promise<Upstream> {
    const parameters = sessionParameters(request, entered.identity.id, database.limits.of(entered.identity))
    const marks = marksOf(database.marks, entered.identity)
    if (marks instanceof PostgresError) throw marks
    const { keys, opened, identity } = entered
    if (keys === undefined && opened === undefined) {
      return await this.#openOwn(database, request, parameters, marks)
    }
    try {
      if (opened !== undefined) return await settleUpstream(database.upstream, opened, marks)
      const scram = keys && createKeyedScramCredential(keys)
      return await openAt(database, { user: identity.id, scram, password: undefined }, request, parameters, marks)
    } catch (cause) {
      const ours = cause instanceof PostgresError && cause.code === 'postgres.upstream_login'
      throw ours ? userRefused(identity.id, cause) : cause
    }
  }

  /** With the gateway's own credential: where that is fetched and is refused, once more with another one. */
  async #openOwn(
    database: DatabaseState,
    request: StartupRequest,
    parameters: Parameters,
    marks: Parameters,
  ): Promise<Upstream> {
    const own = await this.#ownLogin(database)
    try {
      return await openAt(database, own, request, parameters, marks)
    } catch (error) {
      const { fetched } = database.upstream
      if (own.password === undefined || !isPasswordRefused(error) || fetched?.refuse(own.password) !== true) throw error
      return await openAt(database, await this.#ownLogin(database), request, parameters, marks)
    }
  }

  async #ownLogin(database: DatabaseState): Promise<UpstreamLogin> {
    const { upstream } = database
    const { user, fetched } = upstream
    const password = fetched === undefined ? upstream.password : await fetched.get()
    if (password === undefined) return { user, scram: undefined, password }
    let credential = this.#credentials.get(database)
    if (credential?.of !== password) {
      credential = { of: password, scram: createScramCredential(password) }
      this.#credentials.set(database, credential)
    }
    return { user, scram: credential.scram, password }
  }
}

/** By the server, which has said so: another one may be better. */
function isPasswordRefused(error: unknown): boolean {
  return (
    error instanceof PostgresError &&
    error.code === 'postgres.upstream_login' &&
    error.cause instanceof UpstreamRefusal &&
    error.cause.fields.get('C')?.startsWith('28') === true
  )
}

/** How we read what statements say. */
const readable = { client_encoding: 'UTF8', standard_conforming_strings: 'on' } as const

type Parameters = readonly (readonly [name: string, value: string])[]

/** At the host that the session is for. */
async function openAt(
  { upstream, hosts }: DatabaseState,
  login: UpstreamLogin,
  { target: wanted, replication }: StartupRequest,
  parameters: Parameters,
  marks: Parameters,
): Promise<Upstream> {
  if (hosts === undefined) return await openUpstream(upstream, login, parameters, marks)
  const ask = replication === 'true' ? 'reported' : 'question'
  return await hosts.open(wanted, async (target: UpstreamTarget): Promise<Reached<Upstream>> => {
    try {
      const opened = await openUpstream(target, login, parameters, marks, ask)
      const { standing = 'standby', socket } = opened
      return { kind: 'reached', standing, opened, close: () => socket.destroy() }
    } catch (cause) {
      const isElsewhere =
        cause instanceof UpstreamRefusal
          ? isForNow(cause.fields.get('C'))
          : cause instanceof PostgresError && cause.code === 'postgres.upstream_unreachable'
      if (isElsewhere) return { kind: 'unreachable', cause }
      throw cause
    }
  })
}

/** What a session begins with: the client's settings that may be passed on, and ours. */
export function sessionParameters(
  request: StartupRequest,
  identityId: string,
  limits: IdentityLimits,
): readonly (readonly [string, string])[] {
  return [
    ...settingsWithin(limits, request.settings),
    ...(request.replication === undefined ? [] : [['replication', request.replication] as const]),
    ...Object.entries(readable),
    ['application_name', applicationNameOf(identityId, request.applicationName)],
  ]
}

function examine({ login }: DatabaseState, { identity }: LoggedIn, { parameters }: Upstream): void {
  if (parameters.get('client_encoding') !== 'UTF8' || parameters.get('standard_conforming_strings') !== 'on') {
    throw new PostgresError('postgres.encoding', 'PostgreSQL does not take client_encoding UTF8')
  }
  // The server cuts names at 63 bytes, and something between us and it may log in as somebody else.
  if (login !== undefined && login.kind !== 'broker' && parameters.get('session_authorization') !== identity.id) {
    throw userRefused(identity.id, undefined)
  }
}

function userRefused(user: string, cause: unknown): PostgresError {
  const message = `PostgreSQL does not let user "${shown(user)}" in`
  return new PostgresError('postgres.user_login_refused', message, cause === undefined ? {} : { cause })
}
