import { isOver, type RevokedEntry, targetKey } from './entry.ts'

/** What a caller has proven itself with, as far as it can be taken back. */
export interface Presented {
  /** `iss` of its token. */
  readonly issuer: string | undefined
  /** By name of the claim, or by a dotted path. */
  readonly claim: (name: string) => unknown
  /** Name of its API key. */
  readonly apiKey: string | undefined
  /** `sha256:` and lower-case hex: which of the keys of that name. */
  readonly apiKeyHash: string | undefined
  /** ms since 1970; `undefined`: nobody knows, so it was before any instant. */
  readonly issuedAt: number | undefined
  /** A token of ours that was issued for another: what that one was, only the time of a revocation tells. */
  readonly isDerived: boolean
}

/**
 * Revocations, exact, in memory. A look-up costs as many steps as there are claims by which anything was revoked, usually one or two, however
 * many entries there are.
 */
export interface RevokedList {
  set(entry: RevokedEntry): void
  delete(entry: Pick<RevokedEntry, 'target'>): void
  get(key: string): RevokedEntry | undefined
  entries(): IterableIterator<RevokedEntry>
  /** Drops what counts no longer. */
  sweep(now: number): void
  has(presented: Presented, now: number): boolean
  readonly size: number
}

export function createRevokedList(): RevokedList {
  const all = new Map<string, RevokedEntry>()
  /** Claim, then value, then key of the target. */
  const byClaim = new Map<string, Map<string, Map<string, RevokedEntry>>>()

  const remove = (key: string): void => {
    const target = all.get(key)?.target
    all.delete(key)
    if (target?.kind !== 'claim') return
    const values = byClaim.get(target.claim)
    for (const value of spellings(target.value)) {
      values?.get(value)?.delete(key)
      if (values?.get(value)?.size === 0) values.delete(value)
    }
    if (values?.size === 0) byClaim.delete(target.claim)
  }
  const ofValue = (values: ReadonlyMap<string, ReadonlyMap<string, RevokedEntry>>, value: unknown, by: Judge) => {
    const text = spelling(value)
    const found = text === undefined ? undefined : values.get(text)
    if (found === undefined) return false
    for (const entry of found.values()) if (by(entry)) return true
    return false
  }

  return {
    set(entry) {
      const key = targetKey(entry.target)
      all.set(key, entry)
      if (entry.target.kind !== 'claim') return
      const { claim, value } = entry.target
      const values = byClaim.get(claim) ?? new Map<string, Map<string, RevokedEntry>>()
      byClaim.set(claim, values)
      for (const text of spellings(value)) {
        const entries = values.get(text) ?? new Map<string, RevokedEntry>()
        values.set(text, entries)
        entries.set(key, entry)
      }
    },
    delete: ({ target }) => remove(targetKey(target)),
    get: key => all.get(key),
    entries: () => all.values(),
    sweep(now) {
      for (const [key, entry] of all) if (isOver(entry, now)) remove(key)
    },
    has(presented, now) {
      if (all.size === 0) return false
      const { issuer, apiKey, apiKeyHash, issuedAt, isDerived } = presented
      const counts: Judge = ({ target, notBefore, revokedAt, endsAt }) => {
        if (endsAt !== undefined && endsAt <= now) return false
        if (target.kind === 'claim' && target.issuer !== undefined && target.issuer !== issuer) return false
        if (notBefore === undefined) return true
        return issuedAt === undefined || issuedAt < (isDerived ? Math.max(notBefore, revokedAt) : notBefore)
      }
      const isIn = (key: string): boolean => {
        const entry = all.get(key)
        return entry !== undefined && counts(entry)
      }
      if (apiKey !== undefined && isIn(targetKey({ kind: 'api-key', name: apiKey }))) return true
      if (apiKeyHash !== undefined && isIn(targetKey({ kind: 'api-key-hash', hash: apiKeyHash }))) return true
      if (issuer !== undefined && isIn(targetKey({ kind: 'issuer', issuer }))) return true
      for (const [claim, values] of byClaim) {
        const value = presented.claim(claim)
        if (value === undefined) continue
        if (!Array.isArray(value)) {
          if (ofValue(values, value, counts)) return true
        } else if (value.some(member => ofValue(values, member, counts))) return true
      }
      return false
    },
    get size() {
      return all.size
    },
  }
}

type Judge = (entry: RevokedEntry) => boolean

/** A value of a claim as it is looked up; objects and null are no values. */
function spelling(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/**
 * How a value that an operator has typed may stand in a token. A number is a double there: `12345678901234567890` becomes another text, and
 * would be missed.
 */
function spellings(value: string): readonly string[] {
  const number = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(value) ? String(Number(value)) : value
  return number === value ? [value] : [value, number]
}
