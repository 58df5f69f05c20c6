import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { type DigestAlgorithm, decoyHa1, digestAlgorithms, digestHash, ha1Of } from '../accounts/digest-verifier.ts'
import type { AccountStore } from '../accounts/store.ts'
import type { LoginAttempt, LoginThrottle } from '../accounts/throttle.ts'
import { type AuthParams, afterScheme, parseAuthParams, quotedString } from './auth-params.ts'
import { createDigestNonces } from './digest-nonce.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { createIdentity, type Identity, identityOfAccount, noClaims } from './identity.ts'
import type { NonceMemory } from './nonce-memory.ts'

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
  /** Asked for users besides those that are named, in order: the first that knows the name decides. All are asked for every name. */
  readonly stores?: readonly AccountStore[]
  /** What was used of nonces. */
  readonly nonces: NonceMemory
  /** Of nonces, shared with other nodes; `undefined`: the process's own. */
  readonly nonceKey?: KeyObject | undefined
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
  return proofOf(algorithm, ha1, `${of.method}:${of.uri}`, of)
}

/** What proves to the client that we know its password too: as `response`, without a method (RFC 7616 section 3.5). Lower-case hex. */
export function digestRspauth(
  algorithm: DigestAlgorithm,
  ha1: string,
  of: { readonly uri: string; readonly nonce: string; readonly nc: string; readonly cnonce: string },
): string {
  return proofOf(algorithm, ha1, `:${of.uri}`, of)
}

function proofOf(
  algorithm: DigestAlgorithm,
  ha1: string,
  a2: string,
  { nonce, nc, cnonce }: { readonly nonce: string; readonly nc: string; readonly cnonce: string },
): string {
  return digestHash(algorithm, `${ha1}:${nonce}:${nc}:${cnonce}:auth:${digestHash(algorithm, a2)}`)
}

/** Somebody of that name, and what the password would have to prove. */
interface Candidate {
  readonly ha1: string
  /** False: the account keeps nothing for digest, and `ha1` is nobody's. */
  readonly isOwn: boolean
  readonly locked: boolean
  identify(): Identity
}

/**
 * Name and proof of a password (RFC 7616): the password itself never crosses. qop is `auth` alone; the forms of RFC 2069 (no qop) and the
 * -sess algorithms are not taken.
 */
export function createDigestMechanism(users: readonly DigestUser[], settings: DigestSettings): HttpMechanism {
  const { realm, algorithms, userhash, stores = [] } = settings
  const { nonceLifetimeMs: lifetimeMs, nonceKey: key } = settings
  const nonces = createDigestNonces(settings.nonces, { lifetimeMs, realm, key })
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
  /** Requests that knew the password and used an old nonce. */
  const stale = new WeakSet<HttpCredentials>()

  /** Whose tries it takes: where names may be hidden, of the hash of a name, or a hash that shares its limit with a name would tell it exists. */
  const triesOf = ({ user, hashed, algorithm }: Claim): string => {
    if (!userhash) return user
    return hashed ? user.toLowerCase() : digestHash(algorithm, `${user}:${realm}`)
  }

  const named = ({ user, hashed, algorithm }: Claim): Candidate | undefined => {
    const found = (hashed ? byHash : byName).get(hashed ? user.toLowerCase() : user)
    const ha1 = found?.ha1[algorithm]
    const identity = found && identities.get(found)
    return ha1 === undefined || identity === undefined
      ? undefined
      : { ha1, isOwn: true, locked: false, identify: () => identity }
  }

  /** As much work for a name that nobody has. */
  const find = ({ user, hashed, algorithm }: Claim): Promise<Candidate | undefined> =>
    Promise.all(
      stores.map(store =>
        hashed ? store.findHashed?.({ hash: user.toLowerCase(), realm, algorithm }) : store.find(user),
      ),
    ).then(found => {
      const at = found.findIndex(account => account !== undefined)
      const account = found[at]
      const { ha1, isOwn } = ha1Of(account, realm, algorithm)
      const source = stores[at]?.name
      if (account === undefined) return undefined
      return { ha1, isOwn, locked: account.locked, identify: () => identityOfAccount(account, source, 'digest') }
    })

  const judge = (credentials: HttpCredentials, params: AuthParams): HttpOutcome | Promise<HttpOutcome> => {
    const claim = readClaim(params)
    if (claim === undefined) return { kind: 'rejected', reason: 'malformed' }
    const { algorithm, claimedName } = claim
    if (!algorithms.includes(algorithm) || claim.realm !== realm)
      return { kind: 'rejected', reason: 'untrusted', claimedName }
    // RFC 7616 section 3.4.6: another target than the one that was proven for is somebody else's request.
    if (claim.uri !== credentials.target || (claim.hashed && !userhash))
      return { kind: 'rejected', reason: 'malformed', claimedName }
    const own = named(claim)
    if (stores.length === 0) return compare(credentials, claim, own)
    return find(claim).then(account => compare(credentials, claim, own ?? account))
  }

  const compare = (
    credentials: HttpCredentials,
    claim: Claim,
    user: Candidate | undefined,
  ): HttpOutcome | Promise<HttpOutcome> => {
    const attempt = settings.throttle.attempt(triesOf(claim), credentials.address)
    const settle = (taken: LoginAttempt): HttpOutcome =>
      taken.kind === 'throttled'
        ? { ...taken, claimedName: claim.claimedName }
        : compareWithin(taken, credentials, claim, user)
    return attempt instanceof Promise ? attempt.then(settle) : settle(attempt)
  }

  const compareWithin = (
    attempt: Extract<LoginAttempt, { kind: 'permitted' }>,
    credentials: HttpCredentials,
    claim: Claim,
    user: Candidate | undefined,
  ): HttpOutcome => {
    const { algorithm, claimedName, nonce } = claim
    const rejected = (reason: 'wrong-password' | 'unknown-user' | 'locked' | 'expired'): HttpOutcome => ({
      kind: 'rejected',
      reason,
      claimedName,
    })
    // The same work for a name that nobody has.
    const ha1 = user?.ha1 ?? decoyHa1[algorithm]
    const expected = digestResponse(algorithm, ha1, { method: credentials.method, ...claim })
    const isRight = equalText(expected, claim.response)
    if (user === undefined) return rejected('unknown-user')
    if (!isRight || !user.isOwn) return rejected('wrong-password')
    // Said only of the right password, and to the log alone.
    if (user.locked) return rejected('locked')
    const count = Number.parseInt(claim.nc, 16)
    switch (nonces.use(nonce, count, credentials.now)) {
      case 'fresh': {
        attempt.succeeded()
        const next = nonces.successor(nonce, count, credentials.now)
        // RFC 7616 section 3.5: which of them are quoted is for historical reasons.
        const info = [
          `rspauth="${digestRspauth(algorithm, ha1, claim)}"`,
          `cnonce=${quotedString(claim.cnonce)}`,
          `nc=${claim.nc}`,
          'qop=auth',
          ...(next === undefined ? [] : [`nextnonce="${next}"`]),
        ]
        return { kind: 'identified', identity: user.identify(), headers: ['Authentication-Info', info.join(', ')] }
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
  // It goes back in Authentication-Info: visible ASCII and blanks.
  if (!/^[ -~]+$/.test(cnonce) || !/^[0-9a-f]{8}$/i.test(nc) || !/^[0-9a-f]{32,64}$/i.test(response)) return undefined
  // RFC 7616 section 3.3: MD5 when it is not said.
  const named = (params.get('algorithm') ?? 'MD5').toUpperCase()
  const algorithm = digestAlgorithms.find(known => known === named)
  if (algorithm === undefined) return undefined
  const claimedName = hashed ? undefined : user
  return { user, hashed, claimedName, realm, nonce, uri, response: response.toLowerCase(), cnonce, nc, algorithm }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

// biome-ignore lint/suspicious/noControlCharactersInRegex: nobody's name has any, and Basic takes none either (RFC 7617 section 2)
const control = /[\x00-\x1f\x7f-\x9f]/

/** `username`, whose bytes came as Latin-1 and are UTF-8, or `username*` (RFC 5987), never both (RFC 7616 section 3.4.4). */
function readUser(params: AuthParams, hashed: boolean): string | undefined {
  const plain = params.get('username')
  const extended = params.get('username*')
  if (plain !== undefined && extended !== undefined) return undefined
  try {
    const name = extended === undefined ? decodePlain(plain) : hashed ? undefined : decodeExtended(extended)
    return name === undefined || control.test(name) ? undefined : name
  } catch {
    return undefined
  }
}

function decodePlain(text: string | undefined): string | undefined {
  return text === undefined ? undefined : utf8.decode(Buffer.from(text, 'latin1'))
}

function decodeExtended(text: string): string | undefined {
  const encoded = /^utf-8'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)$/i.exec(text)?.[1]
  return encoded === undefined ? undefined : decodeURIComponent(encoded)
}

/** In a time that tells nothing of where they differ. */
function equalText(expected: string, given: string): boolean {
  const [left, right] = [Buffer.from(expected), Buffer.from(given)]
  return left.length === right.length && timingSafeEqual(left, right)
}
