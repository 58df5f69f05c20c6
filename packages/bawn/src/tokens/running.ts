import type { TokenOrigin } from './origin.ts'
import type { TokenSubject } from './token-manager.ts'

/**
 * What this process needs to give the running token of a subject again, and no token: one is made anew from what is remembered and a
 * key. In memory only and bounded; what was not asked for longest goes first.
 */
export interface RunningTokens<Entry> {
  get(subject: TokenSubject): Entry | undefined
  set(subject: TokenSubject, entry: Entry): void
  clear(): void
}

/** Subjects that are remembered; one more costs its owner a new token. */
const maxSubjects = 10_000

/** Everything that a token says: who differs in one of them, the end of the proof among them, gets a token of its own. */
export function subjectKey({ id, roles, source, clientId, notAfter, origin, claims }: TokenSubject): string {
  return JSON.stringify([id, roles, source, clientId, notAfter, origin && originKey(origin), claims])
}

function originKey(origin: TokenOrigin): readonly unknown[] {
  if (origin.kind === 'api-key') return [origin.hash]
  const { issuer, jti, sub, issuedAt } = origin
  return [issuer, jti, sub, issuedAt]
}

export function createRunningTokens<Entry>(): RunningTokens<Entry> {
  const entries = new Map<string, Entry>()
  return {
    get(subject) {
      const key = subjectKey(subject)
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry
    },
    set(subject, entry) {
      const key = subjectKey(subject)
      entries.delete(key)
      entries.set(key, entry)
      const [oldest] = entries.keys()
      if (entries.size > maxSubjects && oldest !== undefined) entries.delete(oldest)
    },
    clear: () => entries.clear(),
  }
}
