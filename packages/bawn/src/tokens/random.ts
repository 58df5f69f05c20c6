import { createHmac, createSecretKey, hash, randomBytes } from 'node:crypto'
import { type CredentialVersion, isSameVersion } from '../accounts/credential-version.ts'
import { TokenError } from './error.ts'
import { createRunningTokens, subjectKey } from './running.ts'
import type { TokenLimits, TokenRecord, TokenStore } from './store.ts'
import type { IssuedToken, TokenManager, TokenSubject } from './token-manager.ts'

/** 256 bits in base64url behind a name that secret scanners find, and that neither an API key nor, by chance, a password has. */
const prefix = 'bawn_token_'
const form = /^bawn_token_[A-Za-z0-9_-]{43}$/

export interface RandomTokenOptions {
  readonly name: string
  readonly ttlMs: number
  /** Use moves the end of a token. */
  readonly renew: boolean
  /** From issue to the last end that renewals can reach. */
  readonly lifetimeMs: number
  readonly limits: TokenLimits
}

/** What the options of kind memory are where nothing is said. */
export const randomTokenDefaults = {
  renew: false,
  lifetimeMs: 43_200_000,
  limits: { perSubject: 16, inAll: 100_000 },
} as const

/** A token is given again while this part of what a new one would get is left of it. */
const worthGiving = 1 / 2
/** Renewals write when this part of the time to live has passed since the last, so a busy token costs a bounded number of writes. */
const renewalStep = 1 / 8

/**
 * Random tokens: 256 bits that say nothing, kept as SHA-256 only. Whoever takes the store has no token.
 *
 * @param store closed with the manager
 * @param clock ms since 1970
 */
export function createRandomTokens(options: RandomTokenOptions, store: TokenStore, clock: () => number): TokenManager {
  const { name, ttlMs, lifetimeMs, renew, limits } = options
  // A token is HMAC(key of this process, seed): it can be given again while it runs without being kept anywhere.
  const key = createSecretKey(randomBytes(32))
  const running = createRunningTokens<{ readonly seed: Buffer; readonly credential: CredentialVersion | undefined }>()
  /** Requests of one subject that come at once get one token: else they would end each other's by `perSubject`. */
  const issuing = new Map<string, Promise<IssuedToken>>()

  const tokenOf = (seed: Buffer): string => `${prefix}${createHmac('sha256', key).update(seed).digest('base64url')}`
  const lastEnd = (subject: TokenSubject, issuedAt: number): number =>
    Math.min(issuedAt + lifetimeMs, subject.notAfter ?? Number.POSITIVE_INFINITY)

  /** The running token, where it is still worth giving. */
  const again = async (subject: TokenSubject, credential: CredentialVersion | undefined, now: number) => {
    const known = running.get(subject)
    if (known === undefined || !isSameVersion(known.credential, credential)) return undefined
    const token = tokenOf(known.seed)
    const record = await store.find(digestOf(token), now)
    if (record === undefined) return undefined
    const fresh = Math.min(ttlMs, lastEnd(subject, now) - now)
    if (record.validUntil - now < fresh * worthGiving) return undefined
    return { token, validUntil: record.validUntil, isNew: false }
  }

  const issueOne = async (subject: TokenSubject, credential: CredentialVersion | undefined): Promise<IssuedToken> => {
    const now = clock()
    const given = await again(subject, credential, now)
    if (given !== undefined) return given
    const validUntil = Math.min(now + ttlMs, lastEnd(subject, now))
    if (validUntil <= now) throw new TokenError('tokens.expired_proof', 'the proof has run out: no token for it')
    const seed = randomBytes(32)
    const token = tokenOf(seed)
    const record = {
      digest: digestOf(token),
      subject,
      credential: credential?.under(Buffer.from(token)),
      issuedAt: now,
      validUntil,
    }
    if ((await store.add(record, limits, now)) === 'full') {
      throw new TokenError('tokens.full', `${name} tokens: there are ${limits.inAll}, and no more are kept`)
    }
    running.set(subject, { seed, credential })
    return { token, validUntil, isNew: true }
  }

  return {
    name,
    recognizes: text => form.test(text),
    async issue(subject, credential) {
      const asked = `${subjectKey(subject)} ${credential?.under(key)}`
      const underWay = issuing.get(asked)
      if (underWay !== undefined) return { ...(await underWay), isNew: false }
      const work = issueOne(subject, credential).finally(() => issuing.delete(asked))
      issuing.set(asked, work)
      // Awaited here, so that whoever has the new one goes on first and writes it into the trail.
      return await work
    },
    async verify(token, statedUser) {
      if (!form.test(token)) return undefined
      const now = clock()
      const mark = digestOf(token)
      const record = await store.find(mark, now)
      if (record === undefined || record.validUntil <= now) return undefined
      const { subject, issuedAt } = record
      if (statedUser !== undefined && statedUser !== subject.id) return undefined
      const isIssuedFor = (credential: CredentialVersion | undefined) =>
        record.credential === credential?.under(Buffer.from(token))
      if (!renew) return { subject, isIssuedFor, issuedAt, validUntil: record.validUntil, renewed: false, mark }
      return { subject, isIssuedFor, issuedAt, ...(await renewed(record, now)), mark }
    },
    async isGood(mark) {
      const now = clock()
      const record = await store.find(mark, now)
      return record !== undefined && record.validUntil > now
    },
    async revoke(subjectId) {
      return store.removeSubject(subjectId, clock())
    },
    async revokeAll() {
      running.clear()
      return store.removeAll(clock())
    },
    list: () => store.list(clock()),
    close: () => store.close(),
  }

  async function renewed(record: TokenRecord, now: number) {
    const next = Math.min(now + ttlMs, lastEnd(record.subject, record.issuedAt))
    if (next - record.validUntil < ttlMs * renewalStep) return { validUntil: record.validUntil, renewed: false }
    const there = await store.extend(record, next, now)
    return { validUntil: there ? next : record.validUntil, renewed: there }
  }
}

function digestOf(token: string): string {
  return hash('sha256', token, 'base64url')
}
