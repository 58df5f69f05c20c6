import { hash } from 'node:crypto'

/**
 * Answers about tokens that were verified, by the SHA-256 of the token: no bearer token lies in memory for longer than its request.
 * Bounded by count and by bytes: two generations of half the size; what is asked for moves to the younger, and the elder is dropped
 * when the younger is full.
 */
export interface TokenCache<Entry> {
  /** The digest is the key of `get`, `set` and `delete`. Bytes do not matter, only that equal tokens have equal ones. */
  digestOf(token: string): string
  get(digest: string): Entry | undefined
  /** @param weight about the bytes that the entry keeps alive */
  set(digest: string, entry: Entry, weight: number): void
  delete(digest: string): void
  readonly size: number
}

export function createTokenCache<Entry>(limits: {
  readonly maxEntries: number
  readonly maxWeight: number
}): TokenCache<Entry> {
  let young = new Map<string, { readonly entry: Entry; readonly weight: number }>()
  let old: typeof young = new Map()
  let youngWeight = 0

  const put = (digest: string, entry: Entry, weight: number): void => {
    if (weight > limits.maxWeight / 2) return
    youngWeight += weight - (young.get(digest)?.weight ?? 0)
    young.set(digest, { entry, weight })
    if (young.size >= limits.maxEntries / 2 || youngWeight >= limits.maxWeight / 2) {
      old = young
      young = new Map()
      youngWeight = 0
    }
  }

  return {
    // As one character a byte: the cheapest text to make.
    digestOf: token => hash('sha256', token, 'binary'),
    get(digest) {
      const recent = young.get(digest)
      if (recent !== undefined) return recent.entry
      const elder = old.get(digest)
      if (elder === undefined) return undefined
      old.delete(digest)
      put(digest, elder.entry, elder.weight)
      return elder.entry
    },
    set(digest, entry, weight) {
      old.delete(digest)
      put(digest, entry, weight)
    },
    delete(digest) {
      youngWeight -= young.get(digest)?.weight ?? 0
      young.delete(digest)
      old.delete(digest)
    },
    get size() {
      return young.size + old.size
    },
  }
}
