import type { Account, AccountStore } from '../accounts/store.ts'
import type { TokenManager, TokenSubject, VerifiedToken } from '../tokens/token-manager.ts'
import { TokenMark } from '../tokens/token-mark.ts'
import { readBasic } from './basic-credentials.ts'
import { bearerChallenge, readBearer } from './bearer.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { createIdentity, type Identity, noClaims, type RejectionReason } from './identity.ts'
import { isJsonObject, parseJson } from './json.ts'
import { isFromOwnPage } from './own-page.ts'
import type { PasswordJudge } from './password-judge.ts'

/** A token of ours as a request brings it. */
export interface PresentedToken {
  readonly token: string
  /** The name that Basic states with it. */
  readonly user: string | undefined
  readonly as: 'basic' | 'bearer' | 'cookie'
}

export interface TokenMechanismOptions extends TokenJudgeOptions {
  /** Whole name of the cookie that may carry a token; `undefined`: none may. */
  readonly cookie: string | undefined
  /** What browsers call this gateway, in lower case, where the configuration says it. */
  readonly origin?: string | undefined
}

/** What decides whether a token that is good still speaks for somebody. */
export interface TokenJudgeOptions {
  /** An identity that one of these knew is looked up again: locked, removed or with another password, its tokens are worth nothing; its roles are those of now. */
  readonly stores: readonly AccountStore[]
  /** Whether the configuration still gives a subject that no store knows what its token says. */
  readonly isConfigured: (subject: TokenSubject) => boolean
  /** A use has moved a token's end. */
  readonly onRenewed: (subject: TokenSubject, address: string) => void
}

/** The token of a request, whatever it is worth; `undefined` when what it brings has not the form of one of ours. */
export function readPresentedToken(
  credentials: HttpCredentials,
  tokens: Pick<TokenManager, 'recognizes'>,
  cookie: string | undefined,
): PresentedToken | undefined {
  // Authorization goes first: a browser sends its cookies by itself, and the header by intent.
  if (credentials.authorization.length > 0) {
    const basic = readBasic(credentials)
    if (basic !== undefined && basic !== 'malformed' && tokens.recognizes(basic.password)) {
      return { token: basic.password, user: basic.user, as: 'basic' }
    }
    const bearer = readBearer(credentials)
    return bearer !== undefined && tokens.recognizes(bearer)
      ? { token: bearer, user: undefined, as: 'bearer' }
      : undefined
  }
  const value = cookie === undefined ? undefined : credentials.cookie(cookie)
  return value !== undefined && tokens.recognizes(value) ? { token: value, user: undefined, as: 'cookie' } : undefined
}

/** Judges a token that a request brings; the name that came with it is in the answer. */
export type PresentedTokenJudge = (presented: PresentedToken, address: string) => Promise<HttpOutcome>

/** @throws {TokenError} (rejects with) `tokens.unavailable`; what a store throws */
export function createPresentedTokenJudge(
  tokens: Pick<TokenManager, 'verify'>,
  { stores, isConfigured, onRenewed }: TokenJudgeOptions,
): PresentedTokenJudge {
  const subjectNow = async (found: VerifiedToken): Promise<Pick<Account, 'roles' | 'credential'> | RejectionReason> => {
    const { subject } = found
    const store = stores.find(({ name }) => name === subject.source)
    if (store === undefined) return isConfigured(subject) ? { roles: subject.roles } : 'unknown-user'
    const account = await store.find(subject.id)
    if (account === undefined) return 'unknown-user'
    if (account.locked) return 'locked'
    const { roles, credential } = account
    return found.isIssuedFor(credential) ? { roles, credential } : 'superseded'
  }

  return async (presented, address) => {
    const claimedName = presented.user
    const found = await tokens.verify(presented.token, presented.user)
    if (found === undefined) return { kind: 'rejected', reason: 'untrusted', claimedName }
    const claims = readClaims(found.subject)
    if (claims === undefined) return { kind: 'rejected', reason: 'untrusted', claimedName }
    const now = await subjectNow(found)
    if (typeof now === 'string') return { kind: 'rejected', reason: now, claimedName }
    if (found.renewed) onRenewed(found.subject, address)
    const { id, source, clientId, origin } = found.subject
    const { issuedAt, validUntil: expiresAt } = found
    const proof = { claims, mechanism: 'token', source, clientId, origin, issuedAt, expiresAt } as const
    const token = found.mark === undefined ? undefined : new TokenMark(found.mark)
    return { kind: 'identified', identity: createIdentity({ ...proof, id, ...now, token }) }
  }
}

/** @returns `undefined` when they are not what a token of ours has: then nothing of it is believed */
function readClaims({ claims }: TokenSubject): Identity['claims'] | undefined {
  if (claims === undefined) return noClaims
  const read = parseJson(Buffer.from(claims))
  return isJsonObject(read) ? read : undefined
}

/**
 * A token of our own where PostgreSQL asks for a password; the name that the client states must be its subject's. Whoever has one is logged
 * in until the end that it has then, and no longer than it is good.
 *
 * @returns `undefined` for a manager that cannot be asked later whether a token is still good: a session would outlive its revocation
 */
export function createTokenPasswordJudge(
  tokens: Pick<TokenManager, 'recognizes' | 'verify' | 'isGood'>,
  options: TokenJudgeOptions,
): PasswordJudge | undefined {
  if (tokens.isGood === undefined) return undefined
  const judge = createPresentedTokenJudge(tokens, options)
  return {
    async authenticate({ user, password, address }) {
      if (!tokens.recognizes(password)) return { kind: 'absent' }
      return judge({ token: password, user, as: 'basic' }, address)
    },
  }
}

/**
 * A token of our own: as the password of Basic, as Bearer, or in a cookie. What has another form is left to other mechanisms, so `token`
 * stands before `basic` and `jwt` in a host rule.
 *
 * A browser sends a cookie unasked, also when another site makes it: so a cookie never refuses anything (whatever is wrong with it, it is
 * as if it were not there), and it counts for a request that changes something only where that comes from the same origin.
 */
export function createTokenMechanism(tokens: TokenManager, options: TokenMechanismOptions): HttpMechanism {
  const { cookie, origin } = options
  const judge = createPresentedTokenJudge(tokens, options)
  return {
    name: 'token',
    carries: { headers: ['authorization'], query: [], cookies: cookie === undefined ? [] : [cookie] },
    authenticate(credentials) {
      const presented = readPresentedToken(credentials, tokens, cookie)
      if (presented === undefined) return { kind: 'absent' }
      if (presented.as !== 'cookie') return judge(presented, credentials.address)
      return judgeCookie(presented, credentials, judge, origin)
    },
    challenge: (_credentials, outcome) => bearerChallenge('bawn', outcome),
  }
}

/** A token that a browser sent by itself. */
export async function judgeCookie(
  presented: PresentedToken,
  credentials: HttpCredentials,
  judge: PresentedTokenJudge,
  origin: string | undefined,
): Promise<HttpOutcome> {
  if (!isFromOwnPage(credentials, ['same-origin'], origin)) return { kind: 'absent', foreignPage: true }
  const outcome = await judge(presented, credentials.address)
  return outcome.kind === 'rejected' ? { kind: 'absent' } : outcome
}
