import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * Nonces of digest authentication (RFC 7616 sections 3.3 and 5.12): nothing is kept of one until somebody proved with it that they know a
 * password, so asking for nonces costs no memory. From then on its counts are kept, each to be used once.
 *
 * A nonce is base64url of: 6 bytes time in ms, 12 random bytes, 16 bytes of HMAC-SHA256 over both. Its key is the process's own: after a
 * restart, and at another node, a nonce is stale and the client goes on with a new one.
 */
export interface DigestNonces {
  issue(now: number): string
  /**
   * Uses up a count of a nonce. Only after the response was found right: a wrong one must cost the right client nothing.
   *
   * @returns stale: ours no longer, or not ours at all: use another. replayed: this count was used before
   */
  use(nonce: string, count: number, now: number): 'fresh' | 'stale' | 'replayed'
}

/** Counts below the highest one that may still come: what a client sends at once arrives in any order. */
const windowCounts = 256
const partsBytes = 18
const nonceBytes = 34

interface Seen {
  highest: number
  /** Bit n: `highest - n` was used. */
  used: bigint
  readonly issuedAt: number
}

/** @param maxNonces how many are kept counts of */
export function createDigestNonces(options: {
  readonly lifetimeMs: number
  readonly maxNonces?: number
}): DigestNonces {
  const key = createSecretKey(randomBytes(32))
  const maxNonces = options.maxNonces ?? 10_000
  const seen = new Map<string, Seen>()
  /** Counts of nonces that were issued up to then may have been forgotten. */
  let forgottenUntil = Number.NEGATIVE_INFINITY
  const seal = (parts: Buffer): Buffer => createHmac('sha256', key).update(parts).digest().subarray(0, 16)

  const issuedAt = (nonce: string): number | undefined => {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== nonceBytes || bytes.toString('base64url') !== nonce) return undefined
    const parts = bytes.subarray(0, partsBytes)
    return timingSafeEqual(seal(parts), bytes.subarray(partsBytes)) ? parts.readUIntBE(0, 6) : undefined
  }

  const forget = (): void => {
    for (const [nonce, { issuedAt }] of seen) {
      if (seen.size <= maxNonces) return
      seen.delete(nonce)
      forgottenUntil = Math.max(forgottenUntil, issuedAt)
    }
  }

  return {
    issue(now) {
      const parts = Buffer.alloc(partsBytes)
      parts.writeUIntBE(now, 0, 6)
      randomBytes(12).copy(parts, 6)
      return Buffer.concat([parts, seal(parts)]).toString('base64url')
    },
    use(nonce, count, now) {
      const issued = issuedAt(nonce)
      // A clock that was set back must not make a nonce live longer.
      if (issued === undefined || now < issued || now - issued > options.lifetimeMs) {
        seen.delete(nonce)
        return 'stale'
      }
      const known = seen.get(nonce)
      if (known === undefined) {
        if (issued <= forgottenUntil) return 'stale'
        seen.set(nonce, { highest: count, used: 1n, issuedAt: issued })
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
  }
}
