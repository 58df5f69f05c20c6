import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { LoginAttempt, LoginThrottle } from '../accounts/throttle.ts'
import { readBasic } from './basic-credentials.ts'
import { compactForm, readBearer } from './bearer.ts'
import type { HttpCredentials, HttpMechanism, HttpOutcome } from './http-mechanism.ts'
import { createIdentity, type Identity, noClaims } from './identity.ts'
import type { ApiKeyOptions } from './option.ts'

/** 256 random bits: too many to guess, so a plain hash of them is as good as a slow one. The prefix lets scanners of repositories find it. */
export function generateApiKey(): string {
  return `bawn_${randomBytes(32).toString('base64url')}`
}

/** What the configuration keeps of a key: `sha256:` and lower-case hex. */
export function apiKeyHash(key: string): string {
  return `sha256:${hash('sha256', key, 'hex')}`
}

/** What `generateApiKey` makes. */
const ownForm = /^bawn_[A-Za-z0-9_-]{43}$/

interface KnownKey {
  readonly hash: Buffer
  readonly unguessable: boolean
  readonly identity: Identity
  /** ms since 1970 */
  readonly expiresAt: number
}

const maxKeyLength = 1_024
/** What is compared where there is no key: the digest of nothing, and of the same length. */
const nobodys = Buffer.from(`sha256:${'0'.repeat(64)}`)
const absent: HttpOutcome = { kind: 'absent' }
const malformed: HttpOutcome = { kind: 'rejected', reason: 'malformed' }

/**
 * Long random keys of programs, in a header, a query parameter, as the user of Basic or as a bearer token. Only their SHA-256 is known
 * here. Several keys may have one name: the old one goes on while the new one is given out.
 *
 * @param leavesOpaque whether another mechanism judges bearer tokens that have not the form of a JWT
 */
export function createApiKeyMechanism(
  options: ApiKeyOptions,
  throttle: LoginThrottle,
  leavesOpaque = false,
): HttpMechanism {
  const header = options.header === 'off' ? undefined : options.header.toLowerCase()
  const { query } = options
  const byHash = new Map<string, KnownKey>()
  for (const key of options.keys) {
    const expiresAt = key.expires === undefined ? undefined : Date.parse(key.expires)
    const proof = { claims: noClaims, clientId: undefined, mechanism: 'api-key', source: 'api-key' } as const
    const origin = { kind: 'api-key', hash: key.hash } as const
    const identity = createIdentity({ ...proof, id: key.name, roles: key.roles, origin, expiresAt })
    const { unguessable } = key
    const known = {
      hash: Buffer.from(key.hash),
      unguessable,
      identity,
      expiresAt: expiresAt ?? Number.POSITIVE_INFINITY,
    }
    byHash.set(key.hash, known)
  }

  const shown = Buffer.alloc(nobodys.length)
  /** The key that a text is. Takes the same time whether there is one: a text that is limited tells nothing. */
  const find = (key: string): KnownKey | undefined => {
    const digest = apiKeyHash(key)
    const known = byHash.get(digest)
    // Whoever could measure the look-up learns of hashes that they cannot choose; the comparison decides.
    shown.write(digest, 'latin1')
    return timingSafeEqual(known?.hash ?? nobodys, shown) ? known : undefined
  }

  const judge = (key: string, credentials: HttpCredentials): HttpOutcome | Promise<HttpOutcome> => {
    if (key === '' || key.length > maxKeyLength) return malformed
    const known = find(key)
    // 256 random bits are nobody's guess, so the guesses of others have no say. What came from elsewhere may be short, and waits.
    const isGuess = known === undefined || !(known.unguessable || ownForm.test(key))
    if (!isGuess) return settle(known, credentials)
    const attempt = throttle.attemptNameless('api-key', credentials.address)
    const settleGuess = (taken: LoginAttempt): HttpOutcome =>
      taken.kind === 'throttled' ? taken : settle(known, credentials, taken)
    return attempt instanceof Promise ? attempt.then(settleGuess) : settleGuess(attempt)
  }

  const settle = (
    known: KnownKey | undefined,
    credentials: HttpCredentials,
    attempt?: Extract<LoginAttempt, { kind: 'permitted' }>,
  ): HttpOutcome => {
    if (known === undefined) return { kind: 'rejected', reason: 'untrusted' }
    attempt?.succeeded()
    if (credentials.now < known.expiresAt) return { kind: 'identified', identity: known.identity }
    return { kind: 'rejected', reason: 'expired', claimedName: known.identity.id }
  }

  const inAuthorization = (credentials: HttpCredentials): HttpOutcome | Promise<HttpOutcome> => {
    if (options.basic) {
      const basic = readBasic(credentials)
      // With a password it is somebody's name, and another mechanism's.
      if (basic !== undefined && basic !== 'malformed' && basic.password === '') return judge(basic.user, credentials)
    }
    if (options.bearer) {
      const token = readBearer(credentials)
      if (token === undefined || token === 'malformed') return absent
      // A bearer token that is no key of ours may be an issuer's; what cannot be is a guess, and counts as one.
      const isOthers = leavesOpaque || compactForm.test(token)
      return isOthers && !byHash.has(apiKeyHash(token)) ? absent : judge(token, credentials)
    }
    return absent
  }

  return {
    name: 'api-key',
    carries: {
      headers: [
        ...(header === undefined ? [] : [header]),
        ...(options.basic || options.bearer ? ['authorization'] : []),
      ],
      query: query === undefined ? [] : [query],
    },
    authenticate(credentials) {
      if (header !== undefined) {
        const [key, second] = credentials.header(header)
        if (second !== undefined) return malformed
        if (key !== undefined) return judge(key, credentials)
      }
      if (query !== undefined) {
        const key = credentials.query(query)
        if (key !== undefined) return judge(key, credentials)
      }
      return inAuthorization(credentials)
    },
    // No scheme is registered for a key in a header of its own.
    challenge: () =>
      options.basic ? 'Basic realm="bawn", charset="UTF-8"' : options.bearer ? 'Bearer realm="bawn"' : undefined,
  }
}
