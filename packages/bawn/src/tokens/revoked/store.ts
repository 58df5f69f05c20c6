import type { RevokedEntry } from './entry.ts'

/** Which list it is, and how far it has come: each change takes the next version. */
export interface StoreVersion {
  /**
   * Drawn by lot when a list begins, and again when nodes have put something back that it had lost; and another one, too, where it may be
   * another list, whatever it says of itself: a file was replaced, Redis was connected to anew.
   */
  readonly generation: string
  readonly version: number
}

export interface StoreChange {
  readonly key: string
  readonly version: number
  /** `undefined`: it was restored. */
  readonly entry: RevokedEntry | undefined
}

/**
 * Where revocations are kept, for every node that has the same ones. One file per kind implements it. Methods reject with
 * `tokens.unavailable` and, where said, `tokens.full`.
 */
export interface RevokedStore {
  readVersion(): Promise<StoreVersion>
  /** In order of versions, at most some hundreds at once: ask again from the last one. */
  changesAfter(version: number): Promise<readonly StoreChange[]>
  /** Resolves when it is kept as well as the kind can: what it says after that may be told an operator. Rejects with `tokens.full` too. */
  put(entry: RevokedEntry, now: number): Promise<void>
  /** Forgets one; that it is forgotten is kept, for the nodes. @returns whether it was there */
  restore(key: string, now: number): Promise<boolean>
  /** Keeps what the store knows nothing of, and draws a new generation when there was any. */
  putBack(entries: readonly RevokedEntry[], now: number): Promise<void>
  close(): Promise<void>
}

/** How long it is kept that an entry without an end was restored. */
export const restoredMs = 30 * 86_400_000
/** Rows of one answer of `changesAfter`. */
export const pageSize = 500
