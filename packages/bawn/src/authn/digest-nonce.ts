import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { AuthnError } from './error.ts'

/**
 * Nonces of digest authentication (RFC 7616 sections 3.3 and 5.12): nothing is kept of one until somebody proved with it that they know a
 * password, so asking for nonces costs no memory. From then on its counts are kept, each to be used once.
 *
 * A nonce is base64url of: 6 bytes time in ms, 6 bytes that say which process made it, 6 random bytes, 16 bytes of HMAC-SHA256 over all of
 * them. Nodes that share the key believe each other's. What was used is known to each node alone, so that one answer can be sent once to
 * each; what was used before a node was started, it does not know, and therefore it takes none that is as old.
 */
export interface DigestNonces {
  issue(now: number): string
  /**
   * Uses up a count of a nonce. Only after the response was found right: a wrong one must cost the right client nothing.
   *
   * @returns stale: ours no longer, or not ours at all: use another. replayed: this count was used before
   */
  use(nonce: string, count: number, now: number): 'fresh' | 'stale' | 'replayed'
  /**
   * What comes after a nonce that is near its end; the same for every request that used it, so that those that run side by side go on with
   * one. The old one is good to its end. Only for a nonce that was just used.
   *
   * @returns undefined while there is time
   */
  successor(nonce: string, count: number, now: number): string | undefined
}

/** Counts below the highest one that may still come: what a client sends at once arrives in any order. */
const windowCounts = 256
/** 8 hex digits; a nonce is given up before they run out. */
const lastCounts = 0xffff_0000
/** A nonce is near its end when this part of its time has passed. */
const aged = 3 / 4
const partsBytes = 18
const nonceBytes = 34
/** How far the clocks of nodes may differ. */
const skewMs = 10_000

interface Seen {
  highest: number
  /** Bit n: `highest - n` was used. */
  used: bigint
  readonly issuedAt: number
  successor: string | undefined
}

/** A key that nodes share. @param text base64 of 32 to 512 bytes @throws {AuthnError} `authn.bad_nonce_key`; nothing of the text is in it */
export function parseNonceKey(text: string, realm: string): KeyObject {
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text.trim()) ? Buffer.from(text.trim(), 'base64') : Buffer.alloc(0)
  if (bytes.length < 32 || bytes.length > 512) {
    throw new AuthnError('authn.bad_nonce_key', 'the key of digest nonces is not base64 of 32 to 512 bytes')
  }
  // A key of its own for each realm: a nonce of one is none of another.
  const key = createSecretKey(createHmac('sha256', bytes).update(`bawn digest nonces of ${realm}`).digest())
  bytes.fill(0)
  return key
}

/**
 * @param options.maxNonces how many are kept counts of
 * @param options.key shared with other nodes; `undefined`: the process's own, so that a nonce is stale after a restart and elsewhere
 * @param options.startedAt ms since 1970: what was used before that is not known
 */
export function createDigestNonces(options: {
  readonly lifetimeMs: number
  readonly maxNonces?: number
  readonly key?: KeyObject | undefined
  readonly startedAt?: number
}): DigestNonces {
  const { lifetimeMs, startedAt = 0 } = options
  const key = options.key ?? createSecretKey(randomBytes(32))
  const own = randomBytes(6)
  const maxNonces = options.maxNonces ?? 10_000
  const seen = new Map<string, Seen>()
  /** Counts of nonces that were issued up to then may have been forgotten. */
  let forgottenUntil = Number.NEGATIVE_INFINITY
  const seal = (parts: Buffer): Buffer => createHmac('sha256', key).update(parts).digest().subarray(0, 16)

  const read = (nonce: string): { readonly issuedAt: number; readonly isOwn: boolean } | undefined => {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== nonceBytes || bytes.toString('base64url') !== nonce) return undefined
    const parts = bytes.subarray(0, partsBytes)
    if (!timingSafeEqual(seal(parts), bytes.subarray(partsBytes))) return undefined
    return { issuedAt: parts.readUIntBE(0, 6), isOwn: parts.subarray(6, 12).equals(own) }
  }

  /** Not before it was made, by our clock or nearly so by another's, and not after its time. */
  const isCurrent = ({ issuedAt, isOwn }: { readonly issuedAt: number; readonly isOwn: boolean }, now: number) => {
    if (now - issuedAt > lifetimeMs) return false
    // A clock that was set back must not make a nonce live longer.
    return isOwn ? now >= issuedAt : now >= issuedAt - skewMs && issuedAt > startedAt + skewMs
  }

  const forget = (): void => {
    for (const [nonce, { issuedAt }] of seen) {
      if (seen.size <= maxNonces) return
      seen.delete(nonce)
      forgottenUntil = Math.max(forgottenUntil, issuedAt)
    }
  }

  const issue = (now: number): string => {
    const parts = Buffer.alloc(partsBytes)
    parts.writeUIntBE(now, 0, 6)
    own.copy(parts, 6)
    randomBytes(6).copy(parts, 12)
    return Buffer.concat([parts, seal(parts)]).toString('base64url')
  }

  return {
    issue,
    use(nonce, count, now) {
      const made = read(nonce)
      if (made === undefined || !isCurrent(made, now)) {
        seen.delete(nonce)
        return 'stale'
      }
      const known = seen.get(nonce)
      if (known === undefined) {
        if (made.issuedAt <= forgottenUntil) return 'stale'
        seen.set(nonce, { highest: count, used: 1n, issuedAt: made.issuedAt, successor: undefined })
        forget()
        return 'fresh'
      }
      if (count > known.highest) {
        const ahead = count - known.highest
        known.used = ahead >= windowCounts ? 1n : BigInt.asUintN(windowCounts, (known.used << BigInt(ahead)) | 1n)
        known.highest = count
        return 'fresh'
      }
      const behind = known.highest - count
      if (behind >= windowCounts) return 'stale'
      const bit = 1n << BigInt(behind)
      if ((known.used & bit) !== 0n) return 'replayed'
      known.used |= bit
      return 'fresh'
    },
    successor(nonce, count, now) {
      const known = seen.get(nonce)
      if (known === undefined) return undefined
      if (now - known.issuedAt < lifetimeMs * aged && count < lastCounts) return undefined
      known.successor ??= issue(now)
      return known.successor
    },
  }
}
