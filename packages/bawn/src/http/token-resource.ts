import { isLoopbackAddress } from '../authn/address.ts'
import type { HttpCredentials } from '../authn/http-mechanism.ts'
import type { Identity } from '../authn/identity.ts'
import { originOf } from '../authn/taken-back.ts'
import { type PresentedToken, readPresentedToken } from '../authn/token.ts'
import type { Gate } from '../policy/policy.ts'
import { TokenError } from '../tokens/error.ts'
import type { IssuedToken, TokenManager } from '../tokens/token-manager.ts'
import { collectBody } from './body.ts'
import { tellLogin } from './login-line.ts'
import { HttpError, type Problem } from './problem.ts'
import type { RequestHead } from './request-head.ts'
import { carriedClaims } from './token-claims.ts'
import type { Turn } from './turn.ts'

/** Tokens of our own at this door: what the configuration says of them, compiled. */
export interface TokenDoor {
  readonly manager: TokenManager
  /** `/tokens`: GET and DELETE `/tokens/<id>` */
  readonly resource: string
  /** `/token`: POST, GET, DELETE; and `/token/cookie`: POST, DELETE */
  readonly endpoint: string
  /** Answers to whoever identified by another mechanism carry a token. */
  readonly headers: boolean
  /** Names of claims that go along into a token of ours. */
  readonly claims: readonly string[]
  readonly cookie: TokenCookie | undefined
}

export interface TokenCookie {
  /** With its prefix. */
  readonly name: string
  readonly path: string
  /**
   * `Lax` where people log in by a browser: they follow links from other sites, and whoever comes without the cookie is sent to log in and
   * has it then anyway.
   */
  readonly site: 'Strict' | 'Lax'
}

/** The whole name of the cookie: the prefix makes browsers refuse it from other hosts and without TLS (RFC 6265bis section 4.1.3). */
export function tokenCookie(
  { name, path }: { readonly name: string; readonly path: string },
  site: TokenCookie['site'] = 'Strict',
): TokenCookie {
  return { name: `${path === '/' ? '__Host-' : '__Secure-'}${name}`, path, site }
}

/** What a path of ours is; `owner` is whose token it is about, where the path says so. */
export interface TokenTarget {
  readonly kind: 'resource' | 'endpoint' | 'cookie'
  readonly owner: string | undefined
  readonly allow: readonly string[]
  /** For the trail and the metrics. */
  readonly pattern: string
}

/** Whoever has proven who it is. A cookie or a token is proof too; what may be done with it is said below. */
export const tokenGate: Gate = {
  open: false,
  decide: identity =>
    identity === undefined
      ? { kind: 'deny', rule: 'tokens: identified' }
      : { kind: 'permit', rule: 'tokens: identified' },
}

const under = (path: string, segments: readonly string[]): readonly string[] | undefined => {
  const own = path.slice(1).split('/')
  return own.every((segment, at) => segments[at] === segment) ? segments.slice(own.length) : undefined
}

/** @param segments decoded, of the request's path. @returns undefined when the path is not ours */
export function findTokenTarget(door: TokenDoor, segments: readonly string[]): TokenTarget | undefined {
  const { resource, endpoint, cookie } = door
  const below = under(resource, segments)
  if (below?.length === 1) {
    return { kind: 'resource', owner: below[0], allow: ['DELETE', 'GET'], pattern: `${resource}/{id}` }
  }
  const beside = under(endpoint, segments)
  if (beside?.length === 0) {
    return { kind: 'endpoint', owner: undefined, allow: ['DELETE', 'GET', 'POST'], pattern: endpoint }
  }
  if (cookie !== undefined && beside?.length === 1 && beside[0] === 'cookie') {
    return { kind: 'cookie', owner: undefined, allow: ['DELETE', 'POST'], pattern: `${endpoint}/cookie` }
  }
  return undefined
}

/** Mechanisms that prove nothing: a token would be worth more than what it was given for. */
const proveNothing: readonly string[] = ['trust', 'identity']

/** Digest is for lines that others can read, and shows them no password: a token would be as good as one to them. */
export function mayBeTold(
  { mechanism }: Identity,
  request: { readonly secure: boolean; readonly remoteAddress: string },
): boolean {
  return mechanism !== 'digest' || request.secure || isLoopbackAddress(request.remoteAddress)
}

/**
 * Answers a request for a path of ours, of somebody who is identified. Names of others are answered alike, whether there is anybody of
 * that name or not.
 *
 * @throws {TokenError} what the manager throws
 */
export async function answerTokenRequest(
  turn: Turn,
  door: TokenDoor,
  target: TokenTarget,
  identity: Identity,
  credentials: HttpCredentials,
  head: RequestHead,
): Promise<void> {
  const { method } = turn.request
  const presented = readPresentedToken(credentials, door.manager, door.cookie?.name)
  if (target.owner !== undefined && target.owner !== identity.id) return refuse(turn, 'tokens: of its owner only')
  if (method === 'DELETE') {
    await door.manager.revoke(identity.id)
    tellLogin(turn, identity, { action: 'token revoke', ...byOwner })
    const gone = door.cookie === undefined ? [] : ['Set-Cookie', setCookie(door.cookie, '', 0)]
    return answer(turn, 204, undefined, gone)
  }
  if (proveNothing.includes(identity.mechanism)) return refuse(turn, `tokens: none for ${identity.mechanism}`)
  if (!mayBeTold(identity, turn.request)) return refuse(turn, 'tokens: over TLS only, for digest')
  // A page that may read its own cookie's token could give it away: then HttpOnly would be for nothing.
  if (identity.mechanism === 'token' && presented?.as === 'cookie' && target.kind !== 'cookie') {
    return refuse(turn, 'tokens: what came as a cookie is not shown')
  }
  if (method === 'POST' && target.kind === 'endpoint') {
    const problem = await badGrant(turn, head)
    if (problem !== undefined) {
      turn.record('deny', problem.status, 'unsupported_grant_type')
      return give(turn, problem.status, problem.headers, problem.body)
    }
  }
  const issued = await currentToken(turn, door, identity, presented)
  switch (target.kind) {
    case 'resource':
      return answer(turn, 200, {
        auth_token: issued.token,
        auth_token_valid_until: new Date(issued.validUntil).toISOString(),
      })
    case 'endpoint':
      return answer(turn, 200, {
        access_token: issued.token,
        token_type: 'Bearer',
        expires_in: secondsLeft(issued, credentials.now),
        username: identity.id,
        roles: identity.roles,
      })
    case 'cookie': {
      const { cookie } = door
      if (cookie === undefined) throw new HttpError('http.not_found', 'no cookie is configured')
      const body = { authenticated: true, username: identity.id, roles: identity.roles }
      return answer(turn, 200, body, [
        'Set-Cookie',
        setCookie(cookie, issued.token, secondsLeft(issued, credentials.now)),
      ])
    }
  }
}

/**
 * The headers with the running token, for the answer to whoever has just identified by another mechanism.
 *
 * @returns flat; empty when there is none to give. A token that cannot be had is for the log: the request has been decided without it
 */
export async function tokenHeaders(turn: Turn, door: TokenDoor, identity: Identity | undefined): Promise<string[]> {
  if (!door.headers || identity === undefined) return []
  if (identity.mechanism === 'token' || proveNothing.includes(identity.mechanism)) return []
  if (!mayBeTold(identity, turn.request)) return []
  try {
    const issued = await currentToken(turn, door, identity, undefined)
    const location = `${door.resource}/${encodeURIComponent(identity.id.toWellFormed())}`
    return [
      ...['Auth-Token', issued.token],
      ...['Auth-Token-Valid-Until', new Date(issued.validUntil).toISOString()],
      ...['Auth-Token-Location', location],
    ]
  } catch (error) {
    if (!(error instanceof TokenError)) throw error
    if (error.code !== 'tokens.expired_proof') turn.log('no token could be issued', error)
    return []
  }
}

/** The token that was presented, or the running one, or a new one; a new one is in the trail before anybody sees it. */
async function currentToken(
  turn: Turn,
  door: TokenDoor,
  identity: Identity,
  presented: PresentedToken | undefined,
): Promise<Omit<IssuedToken, 'isNew'>> {
  // No token is given for a token: else it would never end.
  if (identity.mechanism === 'token' && presented !== undefined && identity.expiresAt !== undefined) {
    return { token: presented.token, validUntil: identity.expiresAt }
  }
  const { id, roles, source, clientId, expiresAt } = identity
  const claims = carriedClaims(identity, door.claims)
  const subject = { id, roles, source, clientId, notAfter: expiresAt, origin: originOf(identity), claims }
  const issued = await door.manager.issue(subject, identity.credential)
  if (issued.isNew) tellLogin(turn, identity, { action: 'token issue', ...byOwner })
  return issued
}

const byOwner = { resource: 'tokens', rule: 'tokens: of its owner' } as const

const secondsLeft = ({ validUntil }: { readonly validUntil: number }, now: number): number =>
  Math.max(0, Math.floor((validUntil - now) / 1000))

/** No Domain, so that it stays with this host; None is not to be had. */
export function setCookie({ name, path, site }: TokenCookie, value: string, maxAgeSeconds: number): string {
  return `${name}=${value}; Path=${path}; Max-Age=${maxAgeSeconds}; Secure; HttpOnly; SameSite=${site}`
}

const maxFormBytes = 8_192

/** Who asks has said so by its credential; a body may name `client_credentials` and nothing else (RFC 6749 section 4.4.2). */
async function badGrant(turn: Turn, head: RequestHead): Promise<Problem | undefined> {
  if (!head.hasBody) return undefined
  const tooLarge = (): HttpError => new HttpError('http.body_too_large', `a body of more than ${maxFormBytes} bytes`)
  if ((head.contentLength ?? 0) > maxFormBytes) throw tooLarge()
  const text = (await collectBody(turn.request.body, maxFormBytes, tooLarge)).toString()
  if (text === '') return undefined
  const isForm = /^application\/x-www-form-urlencoded(;|$)/i.test(head.contentType ?? '')
  const grants = isForm ? new URLSearchParams(text).getAll('grant_type') : []
  if (grants.length === 1 && grants[0] === 'client_credentials') return undefined
  // RFC 6749 section 5.2.
  const error = isForm && grants.length === 1 ? 'unsupported_grant_type' : 'invalid_request'
  return { status: 400, headers: [], body: Buffer.from(`${JSON.stringify({ error })}\n`) }
}

function refuse(turn: Turn, rule: string): void {
  turn.refuse({ code: 'policy.denied', rule, decision: 'deny' })
}

function answer(turn: Turn, status: number, document: object | undefined, headers: readonly string[] = []): void {
  turn.record('permit', status)
  give(turn, status, headers, document === undefined ? undefined : Buffer.from(`${JSON.stringify(document)}\n`))
}

function give(turn: Turn, status: number, headers: readonly string[], body: Buffer | undefined): void {
  if (!turn.claimAnswer()) return
  const content = body === undefined ? [] : ['Content-Type', 'application/json', 'Content-Length', String(body.length)]
  // RFC 6749 section 5.1.
  const fixed = ['Cache-Control', 'no-store', 'Pragma', 'no-cache', 'X-Request-Id', turn.requestId]
  turn.answer.send(status, [...content, ...fixed, ...turn.headers, ...headers], body)
}
