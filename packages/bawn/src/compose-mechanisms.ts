import type { PasswordCheck } from './accounts/password.ts'
import type { AccountStore } from './accounts/store.ts'
import type { LoginThrottle } from './accounts/throttle.ts'
import type { TokenJudge } from './authn/bearer.ts'
import type { CertificateMechanism } from './authn/certificate.ts'
import { createHttpCertificateMechanism } from './authn/http-certificate.ts'
import type { HttpMechanism } from './authn/http-mechanism.ts'
import type { NonceMemory } from './authn/nonce-memory.ts'
import type { BrowserLogin } from './authn/oidc/browser-login.ts'
import { createSessionMechanism } from './authn/oidc/session.ts'
import { type PluggedMechanism, pluggedMechanism } from './authn/option.ts'
import type { PasswordJudge } from './authn/password-judge.ts'
import type { TakenBack } from './authn/taken-back.ts'
import {
  createPresentedTokenJudge,
  createTokenMechanism,
  createTokenPasswordJudge,
  type TokenJudgeOptions,
} from './authn/token.ts'
import { loginCookies } from './compose-login.ts'
import { isPluginEntry, pluggedMechanisms } from './config/kinds.ts'
import type { Config } from './config/load.ts'
import { type Carriers, carriersOf } from './http/credentials.ts'
import { tokenCookie } from './http/token-resource.ts'
import type { Kinds } from './kinds.ts'
import type { KindSurroundings } from './plugin.ts'
import type { TrustedMechanism, TrustedMechanismKind } from './plugins/trusted.ts'
import type { TokenManager, TokenSubject } from './tokens/token-manager.ts'

/** What mechanisms of the HTTP door are made of; what is `undefined` is not configured. */
export interface MechanismParts {
  readonly kinds: Kinds
  readonly surroundings: KindSurroundings
  readonly certificate: CertificateMechanism
  readonly jwt: TokenJudge | undefined
  /** `undefined`: no account store is there. */
  readonly password: PasswordCheck | undefined
  readonly throttle: LoginThrottle
  readonly nonces: NonceMemory
  readonly tokens: TokenManager | undefined
  readonly stores: readonly AccountStore[]
  /** A use has moved the end of a token of ours. */
  readonly onRenewed: (subject: TokenSubject, address: string, door: 'http' | 'postgres') => void
  /** What was taken back; `undefined`: nothing can be. */
  readonly takenBack: TakenBack | undefined
  /** `undefined`: nobody logs in by a browser. */
  readonly login: BrowserLogin | undefined
}

/** A mechanism of the configuration, before it is made. */
interface ConfiguredMechanism {
  readonly kind: TrustedMechanismKind
  readonly options: unknown
}

function configuredMechanisms({ mechanisms }: Config, kinds: Kinds): readonly ConfiguredMechanism[] {
  return Object.entries<unknown>(mechanisms).flatMap(([name, entry]) => {
    const kind = kinds.mechanisms.get(name)
    const options = isPluginEntry(entry) ? entry.written : entry
    return kind === undefined || options === undefined ? [] : [{ kind, options }]
  })
}

/** What host rules can name, apart from what speaks a protocol of its own with PostgreSQL clients. */
export interface ComposedMechanisms {
  readonly http: readonly HttpMechanism[]
  /** Of plug-ins. */
  readonly postgres: ReadonlyMap<PluggedMechanism, PasswordJudge>
  /** Tokens of ours at the PostgreSQL door; `undefined` where there are none, or none that can be used there. */
  readonly token: PasswordJudge | undefined
  /** Whether the configuration gives a subject that no account store knows what its token says. */
  readonly isConfigured: (subject: TokenSubject) => boolean
  close(): Promise<void>
}

/**
 * Every mechanism that the configuration gives what it needs. Which of them a caller may use is for host rules.
 *
 * @throws {GatewayError} whatever keeps one from being made: a secret, a value that cannot be one, a plug-in
 */
export async function composeMechanisms(config: Config, parts: MechanismParts): Promise<ComposedMechanisms> {
  const { kinds, surroundings, throttle, certificate, password: passwords, jwt: issuers, tokens, stores } = parts
  const configured = configuredMechanisms(config, kinds)
  const opaque = configured.filter(({ kind, options }) => kind.judgesOpaque?.(options) === true)
  const http: HttpMechanism[] = [createHttpCertificateMechanism(certificate)]
  const postgres = new Map<PluggedMechanism, PasswordJudge>()
  const made: TrustedMechanism[] = []
  const close = async (): Promise<void> => {
    await Promise.allSettled(made.map(mechanism => mechanism.close?.()))
  }
  try {
    for (const one of configured) {
      const leavesOpaque = opaque.some(other => other !== one)
      const given = { ...surroundings, throttle, passwords, issuers, leavesOpaque, stores, nonces: parts.nonces }
      const mechanism = await one.kind.create(one.options, given)
      made.push(mechanism)
      const name = pluggedMechanism(one.kind.kind)
      if (mechanism.http !== undefined) http.push(mechanism.http)
      if (mechanism.postgres !== undefined && name !== undefined) postgres.set(name, mechanism.postgres)
    }
  } catch (error) {
    await close()
    throw error
  }
  const isConfigured = configuredSubjects(config)
  const judging = (door: 'http' | 'postgres'): TokenJudgeOptions => ({
    stores,
    isConfigured,
    onRenewed: (subject, address) => parts.onRenewed(subject, address, door),
  })
  if (tokens !== undefined) {
    const cookie = config.tokens?.cookie && tokenCookie(config.tokens.cookie).name
    const { login } = parts
    const options = { ...judging('http'), cookie, origin: login?.base.origin }
    http.push(createTokenMechanism(tokens, options))
    if (login !== undefined && cookie !== undefined) {
      const { issuer, hintCookie, flowPrefix } = login
      const session = { cookie, issuer, hintCookie, flowPrefix, origin: login.base.origin }
      http.push(createSessionMechanism(tokens, createPresentedTokenJudge(tokens, options), session))
    }
  }
  const token = tokens && createTokenPasswordJudge(tokens, judging('postgres'))
  const { takenBack } = parts
  if (takenBack === undefined) return { http, postgres, token, isConfigured, close }
  return {
    http: http.map(takenBack.guard),
    postgres: new Map(Array.from(postgres, ([name, judge]) => [name, takenBack.guardJudge(judge)])),
    token: takenBack.guardJudge(token),
    isConfigured,
    close,
  }
}

/** A key, a user or an issuer that a reload takes away takes its tokens along; so does a role. */
function configuredSubjects({ mechanisms, issuers, services }: Config): (subject: TokenSubject) => boolean {
  const plugged = new Set(pluggedMechanisms(mechanisms).map(({ name }) => name))
  const { digest, 'api-key': apiKey, introspection } = mechanisms
  return ({ id, source, roles, clientId }) => {
    const gives = (of: { readonly roles: readonly string[] } | undefined): boolean =>
      of !== undefined && roles.every(role => of.roles.includes(role))
    switch (source) {
      // An operator's: bawn tokens issue.
      case undefined:
        return true
      case 'digest':
        return digest !== undefined && Object.hasOwn(digest.users, id) && gives(digest.users[id])
      case 'api-key':
        return apiKey?.keys.some(key => key.name === id && gives(key)) === true
      case 'certificate':
        return Object.entries(services).some(
          ([name, service]) =>
            [name, service.common_name].includes(id) &&
            (service.client_id === undefined || service.client_id === clientId) &&
            gives(service),
        )
      case 'introspection':
        return introspection !== undefined
      default:
        // A plug-in cannot be asked about somebody without a credential: what it said counts until the token ends.
        return plugged.has(source) || Object.hasOwn(issuers, source)
    }
  }
}

/** Where the mechanisms of a configuration look for credentials, as far as `composeMechanisms` makes them; reads no secret. */
export function configuredCarriers(config: Config, kinds: Kinds): Carriers {
  const cookie = config.tokens?.cookie && tokenCookie(config.tokens.cookie).name
  const login = loginCookies(config)
  const places = configuredMechanisms(config, kinds).map(({ kind, options }) => kind.carries?.(options) ?? {})
  return carriersOf([
    ...places.map(({ headers = [], query = [], cookies = [] }) => ({ carries: { headers, query, cookies } })),
    { carries: { headers: [], query: [], cookies: cookie === undefined ? [] : [cookie] } },
    ...(login === undefined
      ? []
      : [{ carries: { headers: [], query: [], cookies: [login.hintCookie], cookiePrefixes: [login.flowPrefix] } }]),
  ])
}
