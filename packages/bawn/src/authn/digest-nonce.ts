import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { AuthnError } from './error.ts'
import { type NonceMemory, nonceBytes } from './nonce-memory.ts'

/**
 * Nonces of digest authentication (RFC 7616 sections 3.3 and 5.12): nothing is kept of one until somebody proved with it that they know a
 * password, so asking for nonces costs no memory. From then on its counts are kept, each to be used once.
 *
 * A nonce is base64url of: 6 bytes time in ms, 6 bytes that say which process made it, 6 random bytes, 16 bytes of HMAC-SHA256 over all of
 * them. Any thread of the process can check one, and what was used they know together. Nodes that share the key believe each other's. What
 * was used is known to each node alone, so that one answer can be sent once to each; what was used before a node was started, it does not
 * know, and therefore it takes none that is as old.
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

/** 8 hex digits; a nonce is given up before they run out. */
const lastCounts = 0xffff_0000
/** A nonce is near its end when this part of its time has passed. */
const aged = 3 / 4
const partsBytes = 18
/** How far the clocks of nodes may differ. */
const skewMs = 10_000

/** What a nonce says of itself. @property tag its seal */
interface Made {
  readonly issuedAt: number
  /** By this process, whichever of its threads. */
  readonly isOwn: boolean
  readonly tag: Buffer
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
 * @param memory what was used, which all threads have together, and a reload keeps
 * @param options.key shared with other nodes; `undefined`: the process's own, so that a nonce is stale after a restart and elsewhere
 */
export function createDigestNonces(
  memory: NonceMemory,
  options: { readonly lifetimeMs: number; readonly realm: string; readonly key?: KeyObject | undefined },
): DigestNonces {
  const { lifetimeMs, realm } = options
  const { secret, startedAt } = memory.place
  const key = options.key ?? createSecretKey(createHmac('sha256', secret).update(`key of ${realm}`).digest())
  const own = createHmac('sha256', secret).update('own').digest().subarray(0, 6)
  const seal = (parts: Buffer): Buffer => createHmac('sha256', key).update(parts).digest().subarray(0, 16)

  const read = (nonce: string): Made | undefined => {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== nonceBytes || bytes.toString('base64url') !== nonce) return undefined
    const parts = bytes.subarray(0, partsBytes)
    const tag = bytes.subarray(partsBytes)
    if (!timingSafeEqual(seal(parts), tag)) return undefined
    return { issuedAt: parts.readUIntBE(0, 6), isOwn: parts.subarray(6, 12).equals(own), tag }
  }

  /** Not before it was made, by our clock or nearly so by another's, and not after its time. */
  const isCurrent = ({ issuedAt, isOwn }: Made, now: number) => {
    if (now - issuedAt > lifetimeMs) return false
    // A clock that was set back must not make a nonce live longer.
    return isOwn ? now >= issuedAt : now >= issuedAt - skewMs && issuedAt > startedAt + skewMs
  }

  const make = (now: number): Buffer => {
    const parts = Buffer.alloc(partsBytes)
    parts.writeUIntBE(now, 0, 6)
    own.copy(parts, 6)
    randomBytes(6).copy(parts, 12)
    return Buffer.concat([parts, seal(parts)])
  }

  return {
    issue: now => make(now).toString('base64url'),
    use(nonce, count, now) {
      const made = read(nonce)
      return made === undefined || !isCurrent(made, now) ? 'stale' : memory.use(made.tag, made.issuedAt, count)
    },
    successor(nonce, count, now) {
      const made = read(nonce)
      if (made === undefined || (now - made.issuedAt < lifetimeMs * aged && count < lastCounts)) return undefined
      return memory.successor(made.tag, () => make(now))?.toString('base64url')
    },
  }
}
