import type { StoredAccount } from './store.ts'

/** Accounts that were read a moment ago, known and unknown names alike. The one that was used longest ago makes room. */
export interface AccountCache {
  /** @param changes of the store now: what was read before the last of them is not found */
  get(user: string, changes: number): { readonly account: StoredAccount | undefined } | undefined
  /** @param changes as they were before it was read */
  set(user: string, account: StoredAccount | undefined, changes: number): void
  delete(user: string): void
}

interface Entry {
  readonly account: StoredAccount | undefined
  readonly changes: number
  /** Ms, as `now` counts. */
  readonly readAt: number
  usedAt: number
}

/** However often it is used, an entry is read again after this many times `ttlMs`. */
const mostTtls = 10

/** @param options.now monotonic, in ms */
export function createAccountCache(options: {
  readonly size: number
  readonly ttlMs: number
  readonly expire: 'after_write' | 'after_read'
  readonly now: () => number
}): AccountCache {
  const { size, ttlMs, expire, now } = options
  const entries = new Map<string, Entry>()

  const isOver = ({ readAt, usedAt }: Entry, at: number): boolean =>
    expire === 'after_write' ? at - readAt >= ttlMs : at - usedAt >= ttlMs || at - readAt >= mostTtls * ttlMs

  return {
    get(user, changes) {
      const entry = entries.get(user)
      if (entry === undefined) return undefined
      const at = now()
      entries.delete(user)
      if (entry.changes !== changes || isOver(entry, at)) return undefined
      entry.usedAt = at
      entries.set(user, entry)
      return { account: entry.account }
    },
    set(user, account, changes) {
      const at = now()
      entries.delete(user)
      entries.set(user, { account, changes, readAt: at, usedAt: at })
      for (const oldest of entries.keys()) {
        if (entries.size <= size) break
        entries.delete(oldest)
      }
    },
    delete(user) {
      entries.delete(user)
    },
  }
}
