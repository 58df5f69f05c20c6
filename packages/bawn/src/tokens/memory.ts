import type { TokenRecord, TokenStore } from './store.ts'

/** Ended records are looked for at most this often; every method passes them over meanwhile. */
const sweepMs = 10_000

/**
 * Random tokens in the memory of one process: gone with it, unknown to other nodes. `close` leaves them, so that a reload can go on with
 * the same store.
 */
export function createMemoryTokenStore(): TokenStore {
  const records = new Map<string, TokenRecord>()
  const bySubject = new Map<string, Set<string>>()
  let swept = 0

  const drop = ({ digest, subject }: TokenRecord): void => {
    records.delete(digest)
    const digests = bySubject.get(subject.id)
    digests?.delete(digest)
    if (digests?.size === 0) bySubject.delete(subject.id)
  }
  const sweep = (now: number, force: boolean): void => {
    if (!force && now - swept < sweepMs && now >= swept) return
    swept = now
    for (const record of records.values()) if (record.validUntil <= now) drop(record)
  }
  const ofSubject = (id: string, now: number): TokenRecord[] => {
    const found: TokenRecord[] = []
    for (const digest of bySubject.get(id) ?? []) {
      const record = records.get(digest)
      if (record === undefined) continue
      if (record.validUntil > now) found.push(record)
      else drop(record)
    }
    return found.sort((one, other) => one.validUntil - other.validUntil)
  }

  return {
    async add(record, limits, now) {
      sweep(now, false)
      const own = ofSubject(record.subject.id, now)
      const ending = own.slice(0, Math.max(0, own.length + 1 - limits.perSubject))
      if (records.size - ending.length >= limits.inAll) sweep(now, true)
      if (records.size - ending.length >= limits.inAll) return 'full'
      for (const one of ending) drop(one)
      records.set(record.digest, record)
      const digests = bySubject.get(record.subject.id) ?? new Set()
      digests.add(record.digest)
      bySubject.set(record.subject.id, digests)
      return 'kept'
    },
    async find(digest, now) {
      const record = records.get(digest)
      return record !== undefined && record.validUntil > now ? record : undefined
    },
    async extend({ digest }, validUntil, now) {
      const record = records.get(digest)
      if (record === undefined || record.validUntil <= now) return false
      records.set(digest, { ...record, validUntil: Math.max(validUntil, record.validUntil) })
      return true
    },
    async removeSubject(id, now) {
      const own = ofSubject(id, now)
      for (const record of own) drop(record)
      return own.length
    },
    async removeAll(now) {
      sweep(now, true)
      const count = records.size
      records.clear()
      bySubject.clear()
      return count
    },
    async list(now) {
      sweep(now, true)
      return [...records.values()].sort((one, other) => one.validUntil - other.validUntil)
    },
    close: async () => {},
  }
}
