import { createHmac, createSecretKey, randomBytes } from 'node:crypto'

/**
 * Credentials that were verified a moment ago, so that a client that sends its password with each request pays for one hash a minute.
 * Holds digests under a key that lives as long as the process, never a password.
 */
export interface CredentialCache {
  /**
   * What the credential is kept by. The stored verifier is part of it: when the password changes, nothing that was kept is found again.
   */
  digestOf(credential: {
    readonly store: string
    readonly user: string
    readonly verifier: string
    readonly password: string
  }): string
  /** Until when it is kept, in ms as `now` counts; `undefined`: it is not. */
  endOf(digest: string): number | undefined
  /** @returns until when it is kept */
  add(digest: string): number
}

/** @param options.now monotonic, in ms */
export function createCredentialCache(options: {
  readonly now: () => number
  readonly ttlMs?: number
  readonly maxEntries?: number
}): CredentialCache {
  const { now, ttlMs = 60_000, maxEntries = 10_000 } = options
  const key = createSecretKey(randomBytes(32))
  const until = new Map<string, number>()
  return {
    digestOf: ({ store, user, verifier, password }) =>
      createHmac('sha256', key)
        .update(JSON.stringify([store, user, verifier, password]))
        .digest('base64'),
    endOf(digest) {
      const end = until.get(digest)
      if (end === undefined || now() < end) return end
      until.delete(digest)
      return undefined
    },
    add(digest) {
      const end = now() + ttlMs
      until.delete(digest)
      until.set(digest, end)
      for (const oldest of until.keys()) {
        if (until.size <= maxEntries) break
        until.delete(oldest)
      }
      return end
    },
  }
}
