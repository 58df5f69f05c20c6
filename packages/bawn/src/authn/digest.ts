import { hash, timingSafeEqual } from 'node:crypto'
import type { LoginThrottle } from '../accounts/throttle.ts'
import { type AuthParams, afterScheme, parseAuthParams, quotedString } from './auth-params.ts'
import { createDigestNonces } from './digest-nonce.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { createIdentity, type Identity, noClaims } from './identity.ts'
import type { DigestAlgorithm } from './option.ts'

/** A user that may prove a password by digest. */
export interface DigestUser {
  readonly name: string
  readonly roles: readonly string[]
  /** Lower-case hex of H(name:realm:password), for the algorithms that it may use. */
  readonly ha1: Readonly<Partial<Record<DigestAlgorithm, string>>>
}

export interface DigestSettings {
  readonly realm: string
  readonly algorithms: readonly DigestAlgorithm[]
  readonly userhash: boolean
  readonly nonceLifetimeMs: number
  /** Shared with every other mechanism, so that a guesser gains nothing by changing it. */
  readonly throttle: LoginThrottle
  /** Nonces whose counts are kept. */
  readonly maxNonces?: number
}

const hashes = { 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256', MD5: 'md5' } as const

/** H of RFC 7616 section 3.4: lower-case hex. */
export function digestHash(algorithm: DigestAlgorithm, text: string): string {
  return hash(hashes[algorithm], text, 'hex')
}

/** What `response` must be (RFC 7616 section 3.4.1), for qop=auth. Lower-case hex. */
export function digestResponse(
  algorithm: DigestAlgorithm,
  ha1: string,
  of: {
    readonly method: string
    readonly uri: string
    readonly nonce: string
    readonly nc: string
    readonly cnonce: string
  },
): string {
  const ha2 = digestHash(algorithm, `${of.method}:${of.uri}`)
  return digestHash(algorithm, `${ha1}:${of.nonce}:${of.nc}:${of.cnonce}:auth:${ha2}`)
}

/**
 * Name and proof of a password (RFC 7616): the password itself never crosses. qop is `auth` alone; the forms of RFC 2069 (no qop) and the
 * -sess algorithms are not taken.
 */
export function createDigestMechanism(users: readonly DigestUser[], settings: DigestSettings): HttpMechanism {
  const { realm, algorithms, userhash } = settings
  const nonces = createDigestNonces({
    lifetimeMs: settings.nonceLifetimeMs,
    ...(settings.maxNonces === undefined ? {} : { maxNonces: settings.maxNonces }),
  })
  const byName = new Map(users.map(user => [user.name, user]))
  const byHash = new Map(
    users.flatMap(user => algorithms.map(algorithm => [digestHash(algorithm, `${user.name}:${realm}`), user] as const)),
  )
  const identities = new Map<DigestUser, Identity>(
    users.map(user => {
      const proof = { claims: noClaims, clientId: undefined, mechanism: 'digest', expiresAt: undefined } as const
      return [user, createIdentity({ ...proof, id: user.name, roles: user.roles, source: 'digest' })]
    }),
  )
  /** As long as real ones, so that a hash over them takes as long. */
  const decoys: Readonly<Record<DigestAlgorithm, string>> = {
    'SHA-256': '0'.repeat(64),
    'SHA-512-256': '0'.repeat(64),
    MD5: '0'.repeat(32),
  }
  /** Requests that knew the password and used an old nonce. */
  const stale = new WeakSet<HttpCredentials>()

  /** Whose tries it takes: where names may be hidden, of the hash of a name, or a hash that shares its limit with a name would tell it exists. */
  const triesOf = ({ user, hashed, algorithm }: Claim): string => {
    if (!userhash) return user
    return hashed ? user.toLowerCase() : digestHash(algorithm, `${user}:${realm}`)
  }

  const judge = (credentials: HttpCredentials, params: AuthParams): HttpOutcome => {
    const claim = readClaim(params)
    if (claim === undefined) return { kind: 'rejected', reason: 'malformed' }
    const { algorithm, claimedName } = claim
    const rejected = (
      reason: 'malformed' | 'wrong-password' | 'unknown-user' | 'expired' | 'untrusted',
    ): HttpOutcome => ({ kind: 'rejected', reason, claimedName })
    if (!algorithms.includes(algorithm) || claim.realm !== realm) return rejected('untrusted')
    // RFC 7616 section 3.4.6: another target than the one that was proven for is somebody else's request.
    if (claim.uri !== credentials.target) return rejected('malformed')
    if (claim.hashed && !userhash) return rejected('malformed')
    const user = (claim.hashed ? byHash : byName).get(claim.hashed ? claim.user.toLowerCase() : claim.user)
    const ha1 = user?.ha1[algorithm]
    const attempt = settings.throttle.attempt(triesOf(claim), credentials.address)
    if (attempt.kind === 'throttled') return { ...attempt, claimedName }
    // The same work for a name that nobody has.
    const expected = digestResponse(algorithm, ha1 ?? decoys[algorithm], { method: credentials.method, ...claim })
    const isRight = equalText(expected, claim.response)
    if (user === undefined || ha1 === undefined) return rejected('unknown-user')
    if (!isRight) return rejected('wrong-password')
    switch (nonces.use(claim.nonce, Number.parseInt(claim.nc, 16), credentials.now)) {
      case 'fresh': {
        attempt.succeeded()
        const identity = identities.get(user)
        return identity === undefined ? rejected('unknown-user') : { kind: 'identified', identity }
      }
      case 'stale':
      case 'replayed':
        // Whoever knows the password may go on with a new nonce; a replayer cannot.
        attempt.undecided()
        stale.add(credentials)
        return rejected('expired')
    }
  }

  return {
    name: 'digest',
    carries: { headers: ['authorization'], query: [] },
    authenticate(credentials) {
      const header = credentials.authorization[0]
      const text = header === undefined ? undefined : afterScheme(header, 'digest')
      if (text === undefined) return { kind: 'absent' }
      const params = parseAuthParams(text)
      return params === undefined ? { kind: 'rejected', reason: 'malformed' } : judge(credentials, params)
    },
    challenge(credentials) {
      const nonce = nonces.issue(credentials.now)
      const more = `${stale.has(credentials) ? ', stale=true' : ''}${userhash ? ', userhash=true' : ''}`
      return algorithms.map(
        algorithm =>
          `Digest realm=${quotedString(realm)}, qop="auth", algorithm=${algorithm}, nonce="${nonce}", charset=UTF-8${more}`,
      )
    },
  }
}

interface Claim {
  /** The name, or its hash in hex. */
  readonly user: string
  readonly hashed: boolean
  /** For the trail; a hash is nobody's name. */
  readonly claimedName: string | undefined
  readonly realm: string
  readonly nonce: string
  readonly uri: string
  readonly response: string
  readonly cnonce: string
  /** 8 hex digits. */
  readonly nc: string
  readonly algorithm: DigestAlgorithm
}

const maxTextLength = 1_024

/** `undefined` when something is missing or is not what RFC 7616 section 3.4 makes of it. */
function readClaim(params: AuthParams): Claim | undefined {
  for (const [name, value] of params) if (name !== 'uri' && value.length > maxTextLength) return undefined
  const hashed = params.get('userhash') === 'true'
  const user = readUser(params, hashed)
  const [realm, nonce, uri] = [params.get('realm'), params.get('nonce'), params.get('uri')]
  const [response, cnonce, nc] = [params.get('response'), params.get('cnonce'), params.get('nc')]
  if (user === undefined || realm === undefined || nonce === undefined || uri === undefined) return undefined
  if (response === undefined || cnonce === undefined || nc === undefined || params.get('qop') !== 'auth')
    return undefined
  if (cnonce === '' || !/^[0-9a-f]{8}$/i.test(nc) || !/^[0-9a-f]{32,64}$/i.test(response)) return undefined
  // RFC 7616 section 3.3: MD5 when it is not said.
  const named = (params.get('algorithm') ?? 'MD5').toUpperCase()
  const algorithm = (Object.keys(hashes) as DigestAlgorithm[]).find(known => known === named)
  if (algorithm === undefined) return undefined
  const claimedName = hashed ? undefined : user
  return { user, hashed, claimedName, realm, nonce, uri, response: response.toLowerCase(), cnonce, nc, algorithm }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `username`, whose bytes came as Latin-1 and are UTF-8, or `username*` (RFC 5987), never both (RFC 7616 section 3.4.4). */
function readUser(params: AuthParams, hashed: boolean): string | undefined {
  const plain = params.get('username')
  const extended = params.get('username*')
  try {
    if (extended === undefined) return plain === undefined ? undefined : utf8.decode(Buffer.from(plain, 'latin1'))
    if (plain !== undefined || hashed) return undefined
    const encoded = /^utf-8'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)$/i.exec(extended)?.[1]
    return encoded === undefined ? undefined : decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

/** In a time that tells nothing of where they differ. */
function equalText(expected: string, given: string): boolean {
  const [left, right] = [Buffer.from(expected), Buffer.from(given)]
  return left.length === right.length && timingSafeEqual(left, right)
}
