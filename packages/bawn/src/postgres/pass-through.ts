import type { Socket } from 'node:net'
import { isLoopbackAddress } from '../authn/address.ts'
import { createIdentity, type Identity, identityOfAccount, noClaims } from '../authn/identity.ts'
import { oauthbearerName } from '../authn/oauthbearer.ts'
import type { ByteInput, Message } from './byte-input.ts'
import { ConnectionLost } from './byte-input.ts'
import { sessionParameters } from './database-login.ts'
import { PostgresError } from './failure.ts'
import { failed, isPrivate, type LoginContext, type LoginResult, shown, throttled } from './login-result.ts'
import { marksOf } from './session-marks.ts'
import type { StartupRequest } from './startup-settings.ts'
import type { DoorState, LoginMode, UpstreamTarget } from './state.ts'
import { beginUpstream } from './upstream.ts'
import { peerBinding } from './upstream-certificate.ts'
import { maxLoginMessageBytes, UpstreamRefusal } from './upstream-login.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { parseErrorResponse } from './wire/error-response.ts'
import { authentication, back, front } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

type PassThrough = Extract<LoginMode, { readonly kind: 'pass-through' }>

/** Requests and remarks of a server during one login: real ones have three. */
const maxServerMessages = 20
const plus = 'SCRAM-SHA-256-PLUS'

/** How PostgreSQL judged the client. */
type Judgement =
  /** AuthenticationOk was read, and nothing behind it. */
  | { readonly kind: 'accepted'; readonly input: ByteInput }
  /** It accepted without having asked: whoever connects from the gateway's address is anybody there. */
  | { readonly kind: 'unproven' }
  | { readonly kind: 'refused'; readonly cause: UpstreamRefusal }

/** Whether the client has answered anything: only then it has made a try. */
interface Progress {
  answered: boolean
}

/**
 * The client's own login, passed on to PostgreSQL untouched: cleartext inside TLS, md5, SCRAM, OAUTHBEARER. What PostgreSQL accepts is who it
 * is; nothing is kept of what was passed on. AuthenticationOk is not told to the client before policy has decided.
 *
 * @throws {WireError | ConnectionLost} when the client breaks the protocol or leaves; whatever keeps the server from deciding
 */
export async function passThrough(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  const database = state.databases.get(request.database)
  // Nobody there can judge, and a name may not tell that: host rules name the databases that they pass logins on to.
  if (database?.login?.kind !== 'pass-through') return failed(request, rule, 'password', 'untrusted')
  const { user } = request
  const attempt = await state.throttle.attempt(user, context.address)
  if (attempt.kind === 'throttled') return throttled(request, rule, attempt.retryAfterMs)
  const progress: Progress = { answered: false }
  let judgement: Judgement
  let identity: Identity | undefined
  try {
    // Known before, whoever it is: the session begins with it.
    identity = await identityOf(state, database.login, user)
    const marks = identity === undefined ? [] : marksOf(database.marks, identity)
    const limits = database.limits.of({ roles: identity?.roles ?? [] })
    const parameters = [...sessionParameters(request, user, limits), ...(marks instanceof PostgresError ? [] : marks)]
    judgement = await relay(database.upstream, user, parameters, context, progress)
  } catch (error) {
    if (!(error instanceof WireError) && !(error instanceof ConnectionLost && progress.answered)) attempt.undecided()
    if (error instanceof PostgresError && refusals.has(error.code)) {
      return { kind: 'failed', error, rule, reason: 'untrusted' }
    }
    throw error
  }
  switch (judgement.kind) {
    case 'refused':
      return refused(judgement.cause, user, rule, attempt)
    case 'unproven': {
      attempt.undecided()
      const message = `PostgreSQL let user "${shown(user)}" in without asking for anything`
      return {
        kind: 'failed',
        error: new PostgresError('postgres.pass_through_unproven', message),
        rule,
        reason: 'untrusted',
      }
    }
    case 'accepted': {
      const { input } = judgement
      if (identity === undefined) {
        input.socket.destroy()
        return failed(request, rule, 'password', 'locked')
      }
      attempt.succeeded()
      return { kind: 'identified', identity, rule, serverFinal: Buffer.alloc(0), opened: input }
    }
  }
}

/** What cannot be had by this way at all, whoever asks. */
const refusals: ReadonlySet<string> = new Set([
  'postgres.login_refused',
  'postgres.pass_through_binding',
  'postgres.pass_through_method',
])

/** The server's no, in words that do not tell an unknown role from a wrong password; its own are for the log. */
function refused(cause: UpstreamRefusal, user: string, rule: string, attempt: { undecided(): void }): LoginResult {
  const state = cause.fields.get('C') ?? ''
  if (state.startsWith('28')) {
    const message = `password authentication failed for user "${shown(user)}"`
    const error = new PostgresError('postgres.login_failed', message, { cause })
    return { kind: 'failed', error, rule, reason: 'wrong-password' }
  }
  attempt.undecided()
  const message = `PostgreSQL does not take the login at this time (${state})`
  const error = new PostgresError('postgres.login_undecided', message, { cause })
  return { kind: 'failed', error, rule, reason: 'undecided' }
}

/** @returns `undefined` when an account of the same name is locked */
async function identityOf(state: DoorState, login: PassThrough, user: string): Promise<Identity | undefined> {
  const found = await state.findAccount(user)
  if (found?.account.locked === true) return undefined
  const mapped = login.roles?.get(user)
  if (mapped === undefined && found !== undefined) {
    return identityOfAccount(found.account, found.source, 'pass-through')
  }
  return createIdentity({
    id: user,
    roles: mapped ?? [],
    claims: noClaims,
    clientId: undefined,
    mechanism: 'pass-through',
    source: undefined,
    expiresAt: undefined,
  })
}

async function relay(
  target: UpstreamTarget,
  user: string,
  parameters: readonly (readonly [name: string, value: string])[],
  context: LoginContext,
  progress: Progress,
): Promise<Judgement> {
  const server = await beginUpstream(target, user, parameters)
  const { socket } = server
  // The client's time to log in is limited by the door; so is ours to wait for the server, by this.
  const leave = (): void => {
    socket.destroy()
  }
  context.socket.once('close', leave)
  try {
    const judgement = await converse(server, target, context, progress)
    if (judgement.kind !== 'accepted') socket.destroy()
    return judgement
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    context.socket.off('close', leave)
  }
}

async function converse(
  server: ByteInput,
  target: UpstreamTarget,
  context: LoginContext,
  progress: Progress,
): Promise<Judgement> {
  let stripped = false
  for (let count = 0; count < maxServerMessages; count += 1) {
    const message = await fromServer(server, context)
    if (message.type === back.error) {
      const fields = parseErrorResponse(message.body, 0, message.body.length)
      return { kind: 'refused', cause: new UpstreamRefusal(fields) }
    }
    if (message.type === back.notice || message.type === back.negotiateVersion) continue
    if (message.type !== back.authentication) throw outOfOrder()
    const body = new BodyReader(message.body, 0, message.body.length)
    switch (body.int32()) {
      case authentication.ok:
        return progress.answered ? { kind: 'accepted', input: server } : { kind: 'unproven' }
      case authentication.saslFinal:
        context.socket.write(frame(message))
        continue
      case authentication.cleartext:
        mayCrossInClear(target, context)
        context.socket.write(frame(message))
        break
      case authentication.md5:
      case authentication.saslContinue:
        context.socket.write(frame(message))
        break
      case authentication.sasl: {
        const offer = offerOf(body, server.socket, target, context)
        stripped = offer.stripped
        context.socket.write(offer.message)
        break
      }
      default: {
        const what = 'PostgreSQL asks for an authentication method that cannot be passed on (GSSAPI, SSPI)'
        throw new PostgresError('postgres.pass_through_method', what)
      }
    }
    await answer(server.socket, context, stripped, progress)
    // Only the first answer behind the offer says how the client binds.
    stripped = false
  }
  throw outOfOrder()
}

async function fromServer(server: ByteInput, context: LoginContext): Promise<Message> {
  try {
    return await server.readMessage(maxLoginMessageBytes)
  } catch (cause) {
    if (context.socket.destroyed) throw new ConnectionLost('the client closed')
    throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL closed the connection during login', { cause })
  }
}

/** Passes one answer of the client on, and forgets it. */
async function answer(server: Socket, context: LoginContext, stripped: boolean, progress: Progress): Promise<void> {
  const message = await context.input.readMessage(maxLoginMessageBytes)
  if (message.type !== front.password) throw new WireError('expected a password message')
  progress.answered = true
  if (stripped && believesItCannotBind(message.body)) {
    throw new PostgresError(
      'postgres.pass_through_binding',
      'this client wants to bind SCRAM to TLS, which ends at the gateway and begins there anew',
    )
  }
  const bytes = frame(message)
  message.body.fill(0)
  server.write(bytes, () => bytes.fill(0))
}

/**
 * The mechanisms that the client can use. SCRAM-SHA-256-PLUS binds to the certificate that the client sees: it passes only where PostgreSQL
 * shows the same one.
 */
function offerOf(
  body: BodyReader,
  server: Socket,
  target: UpstreamTarget,
  context: LoginContext,
): { readonly message: Buffer; readonly stripped: boolean } {
  const offered: string[] = []
  for (let name = body.cstring(); name !== ''; name = body.cstring()) offered.push(name)
  const theirs = peerBinding(server)
  const isSame =
    theirs !== undefined && context.channelBinding !== undefined && Buffer.compare(theirs, context.channelBinding) === 0
  // Of OAUTHBEARER the first message is the token itself.
  if (offered.includes(oauthbearerName)) mayCrossInClear(target, context, 'a token')
  const usable = isSame ? offered : offered.filter(name => name !== plus)
  if (usable.length === 0) {
    const message = 'PostgreSQL wants SCRAM to be bound to its TLS, which ends at the gateway'
    throw new PostgresError('postgres.pass_through_binding', message)
  }
  const offer = new MessageBuilder().begin(back.authentication).int32(authentication.sasl)
  for (const name of usable) offer.cstring(name)
  return { message: offer.uint8(0).end().take(), stripped: usable.length < offered.length }
}

/** `y,,`: the client could bind and was not offered it. PostgreSQL, which did offer it, has to take that for an attack (RFC 5802 section 6). */
function believesItCannotBind(body: Buffer): boolean {
  const reader = new BodyReader(body, 0, body.length)
  const mechanism = reader.cstring()
  const length = reader.int32()
  return mechanism === 'SCRAM-SHA-256' && length > 0 && reader.uint8() === 'y'.charCodeAt(0)
}

/** A password in clear, or a token, is readable on each part of its way that is not inside TLS or on one machine. */
function mayCrossInClear(target: UpstreamTarget, context: LoginContext, what = 'a password in clear'): void {
  if (isPrivate(context) && (target.tls !== undefined || target.host === 'localhost' || isLoopbackAddress(target.host)))
    return
  throw new PostgresError('postgres.login_refused', `${what} needs TLS on its whole way`)
}

function frame({ type, body }: Message): Buffer {
  return new MessageBuilder(body.length + 5).begin(type).bytes(body).end().take()
}

function outOfOrder(): PostgresError {
  return new PostgresError('postgres.upstream_login', 'the login at PostgreSQL is out of order')
}
