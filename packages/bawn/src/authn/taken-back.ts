import type { TokenOrigin } from '../tokens/origin.ts'
import type { Presented } from '../tokens/revoked/list.ts'
import type { RevokedTokens } from '../tokens/revoked/mirror.ts'
import type { HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import type { Identity, Outcome } from './identity.ts'
import type { BrowserLogin } from './oidc/browser-login.ts'
import type { PasswordJudge } from './password-judge.ts'

/** Where an identity with a token may come from. */
export interface TokenSources {
  /** `iss` of the tokens of a source (`Identity.source`): an issuer by its name in the configuration, or `introspection`. */
  issuerOf(source: string): string | undefined
}

/**
 * Whether what somebody has proven itself with was taken back. Every mechanism is asked through it, at both doors, whatever it remembers of a
 * token that it has verified before.
 */
export interface TakenBack {
  /** @throws {TokenError} `tokens.unavailable`: it cannot be known */
  has(identity: Identity): boolean
  /** The same mechanism; whoever it identifies is looked up first. */
  guard(mechanism: HttpMechanism): HttpMechanism
  guardJudge<Judge extends PasswordJudge | undefined>(judge: Judge): Judge
  guardTokens<Judge extends Pick<PlainJudge, 'authenticate'> | undefined>(judge: Judge): Judge
  guardLogin(login: BrowserLogin): BrowserLogin
}

interface PlainJudge {
  authenticate(token: string): Outcome | Promise<Outcome>
}

export function createTakenBack(revoked: Pick<RevokedTokens, 'has'>, sources: TokenSources): TakenBack {
  const has = (identity: Identity): boolean => {
    const presented = presentedBy(identity, sources)
    return presented !== undefined && revoked.has(presented)
  }
  const settle = <Any extends HttpOutcome>(outcome: Any): Any | Rejected => {
    if (outcome.kind !== 'identified' || !has(outcome.identity)) return outcome
    return { kind: 'rejected', reason: 'revoked', claimedName: outcome.identity.id }
  }
  return {
    has,
    guard: mechanism => ({
      ...mechanism,
      authenticate(credentials) {
        const outcome = mechanism.authenticate(credentials)
        return outcome instanceof Promise ? outcome.then(settle) : settle(outcome)
      },
    }),
    guardJudge: judge => judge && { ...judge, authenticate: async login => settle(await judge.authenticate(login)) },
    guardTokens: judge =>
      judge && {
        ...judge,
        authenticate(token: string) {
          const outcome = judge.authenticate(token)
          return outcome instanceof Promise ? outcome.then(settle) : settle(outcome)
        },
      },
    guardLogin: login => ({
      ...login,
      async finish(parameters, state, flow) {
        const finished = await login.finish(parameters, state, flow)
        const { end } = finished
        // Refused here, and not by the session that it would begin: a browser would be sent to and fro for ever.
        if (end.kind !== 'identified' || !has(end.identity)) return finished
        return { end: { kind: 'rejected', reason: 'revoked' }, hint: undefined }
      },
    }),
  }
}

/** What a token of ours that is issued to this identity is revoked with; `undefined` for a proof that is taken back elsewhere. */
export function originOf({ mechanism, claims, origin }: Identity): TokenOrigin | undefined {
  if (mechanism === 'token' || mechanism === 'api-key') return origin
  if (Object.keys(claims).length === 0) return undefined
  const { iss, jti, sub, iat } = claims
  return {
    kind: 'token',
    issuer: typeof iss === 'string' ? iss : undefined,
    jti: revocable(jti),
    sub: revocable(sub),
    issuedAt: typeof iat === 'number' ? iat * 1000 : undefined,
  }
}

/** What is longer cannot be named by a revocation, and need not be kept. */
const maxValueLength = 1_024

function revocable(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  const text = String(value)
  return text.length <= maxValueLength ? text : undefined
}

type Rejected = Extract<Outcome, { readonly kind: 'rejected' }> & { readonly claimedName: string }

/** @returns `undefined` for a proof that is taken back elsewhere: an account is locked, a certificate revoked by its authority */
function presentedBy(identity: Identity, { issuerOf }: TokenSources): Presented | undefined {
  const { id, mechanism, source, claims, issuedAt, origin } = identity
  const apiKeyHash = origin?.kind === 'api-key' ? origin.hash : undefined
  if (mechanism === 'api-key') return { ...nothing, apiKey: id, apiKeyHash }
  if (mechanism === 'token') {
    if (source === 'api-key') return { ...nothing, apiKey: id, apiKeyHash, issuedAt, isDerived: true }
    const issuer = source === undefined ? undefined : issuerOf(source)
    if (origin?.kind === 'token') {
      const { jti, sub, issuedAt: originIssuedAt } = origin
      const claim = (name: string): unknown => (name === 'jti' ? jti : name === 'sub' ? sub : claimAt(claims, name))
      return { ...nothing, issuer: origin.issuer ?? issuer, claim, issuedAt: originIssuedAt }
    }
    if (issuer === undefined) return undefined
    // Of an earlier version: what the token was issued for is known by its subject alone.
    return {
      ...nothing,
      issuer,
      claim: name => (name === 'sub' ? id : claimAt(claims, name)),
      issuedAt,
      isDerived: true,
    }
  }
  const iss = claims['iss']
  const { iat } = claims
  if (iss === undefined && Object.keys(claims).length === 0) return undefined
  return {
    ...nothing,
    issuer: typeof iss === 'string' ? iss : source === undefined ? undefined : issuerOf(source),
    claim: name => claimAt(claims, name),
    issuedAt: typeof iat === 'number' ? iat * 1000 : undefined,
  }
}

const nothing: Presented = {
  issuer: undefined,
  claim: () => undefined,
  apiKey: undefined,
  apiKeyHash: undefined,
  issuedAt: undefined,
  isDerived: false,
}

/** The member of that very name, or else what the dotted path leads to: as the issuer's options read claims. */
function claimAt(claims: Identity['claims'], path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = Object.getOwnPropertyDescriptor(value, step)?.value
  }
  return value
}
