import { hash, randomBytes } from 'node:crypto'
import type { AccountStore } from './store.ts'

/** What the stores said of themselves before one of them was asked. */
export type StoreVersions = readonly (number | string)[]

/**
 * What names and passwords came to a moment ago, while no store has changed: what a client that sends its password with each request is
 * known by, without a row being read. Holds digests under a key that lives as long as the process, never a password.
 *
 * Looking here is a guess, and a fast one: whoever looks has asked the limits before. That it takes less time tells that the password is
 * right, and so does the answer; of a wrong one it tells nothing, for names that are known and unknown are not found alike.
 */
export interface CredentialRecall<Found> {
  find(user: string, password: string): Found | undefined
  /** To be asked before the stores are; `undefined`: one of them cannot say, and nothing is kept. */
  versions(): StoreVersions | undefined
  /** @param until in ms, as `now` counts */
  keep(user: string, password: string, entry: { found: Found; versions: StoreVersions; until: number }): void
}

/** @param options.now monotonic, in ms */
export function createCredentialRecall<Found>(
  stores: readonly Pick<AccountStore, 'version'>[],
  options: { readonly now: () => number; readonly maxEntries?: number },
): CredentialRecall<Found> {
  const { now, maxEntries = 10_000 } = options
  const key = randomBytes(32).toString('base64')
  const entries = new Map<string, { found: Found; versions: StoreVersions; until: number }>()
  // A key before the text makes a MAC of a hash whose results nobody is shown, and so nobody extends; an HMAC takes four times as long here.
  const digestOf = (user: string, password: string): string =>
    hash('sha256', `${key}${user.length}:${user}${password}`, 'binary')

  return {
    find(user, password) {
      const digest = digestOf(user, password)
      const known = entries.get(digest)
      if (known === undefined) return undefined
      if (now() < known.until && known.versions.every((version, at) => version === stores[at]?.version?.()))
        return known.found
      entries.delete(digest)
      return undefined
    },
    versions() {
      const versions: (number | string)[] = []
      for (const store of stores) {
        if (store.version === undefined) return undefined
        versions.push(store.version())
      }
      return versions
    },
    keep(user, password, entry) {
      const digest = digestOf(user, password)
      entries.delete(digest)
      entries.set(digest, entry)
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries) break
        entries.delete(oldest)
      }
    },
  }
}
