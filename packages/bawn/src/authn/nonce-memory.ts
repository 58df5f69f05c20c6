import { randomBytes } from 'node:crypto'
import { Exclusion } from '../exclusion.ts'

// What was used of digest nonces, in memory that all threads of the process share: a count that one worker took is used at all of them. A
// reload and a worker that is started again keep it. In no moment does a half-written entry make a count new again: it is dropped when its
// writer has ended, and with it everything that is as old.

/** What another thread needs to have the same; can be posted. */
export interface NoncePlace {
  readonly memory: SharedArrayBuffer
  /** Behind nonces that no configured key seals. */
  readonly secret: Uint8Array
  readonly rows: number
  /** ms since 1970: what was used before that, here, is not known. */
  readonly startedAt: number
}

/** The same place, as one thread sees it. */
export interface NonceMemory {
  readonly place: NoncePlace
  /** @param tag 16 bytes that no other nonce has, of its seal @param issuedAt ms since 1970 */
  use(tag: Uint8Array, issuedAt: number, count: number): 'fresh' | 'stale' | 'replayed'
  /** @returns what `make` made when it was asked first; `undefined` when nothing of this nonce was used */
  successor(tag: Uint8Array, make: () => Buffer): Buffer | undefined
}

/** Bytes of a nonce. */
export const nonceBytes = 34
/** Counts below the highest one that may still come: what a client sends at once arrives in any order. */
const windowCounts = 256
const windowWords = windowCounts / 32
/** Places in a row: a nonce belongs to one row, and the one of it that was issued first makes room. */
const ways = 8
/** More rows than are needed: they fill unevenly. */
const spare = 1.25
const headBytes = 8
const bytesOfEntry = 8 + 16 + 4 + windowWords * 4 + 1 + nonceBytes

/** @param maxNonces how many are kept counts of, about */
export function createNoncePlace(startedAt: number, maxNonces = 10_000): NoncePlace {
  const rows = Math.max(1, Math.ceil((maxNonces * spare) / ways))
  // Rounded up, for whatever is laid out behind it.
  const memory = new SharedArrayBuffer(headBytes + rows * 8 + rows * ways * bytesOfEntry + 8)
  return { memory, secret: randomBytes(32), rows, startedAt }
}

interface Layout {
  readonly exclusionWord: Int32Array<SharedArrayBuffer>
  /** The entry that is being written, and one more; 0: none. */
  readonly writing: Int32Array
  /** By row: counts of nonces that were issued up to then may have been forgotten. */
  readonly forgottenUntil: Float64Array
  readonly issuedAt: Float64Array
  /** Four words each; the first is 0 where nothing is. */
  readonly tags: Uint32Array
  readonly highest: Uint32Array
  /** Bit `count mod 256`: it was used; of the last 256 up to the highest. */
  readonly used: Uint32Array
  readonly hasNext: Uint8Array
  readonly next: Uint8Array
}

function layoutOf({ memory, rows }: NoncePlace): Layout {
  const entries = rows * ways
  let at = headBytes
  const take = (bytes: number): number => {
    at += bytes
    return at - bytes
  }
  return {
    exclusionWord: new Int32Array(memory, 0, 1),
    writing: new Int32Array(memory, 4, 1),
    forgottenUntil: new Float64Array(memory, take(rows * 8), rows),
    issuedAt: new Float64Array(memory, take(entries * 8), entries),
    tags: new Uint32Array(memory, take(entries * 16), entries * 4),
    highest: new Uint32Array(memory, take(entries * 4), entries),
    used: new Uint32Array(memory, take(entries * windowWords * 4), entries * windowWords),
    hasNext: new Uint8Array(memory, take(entries), entries),
    next: new Uint8Array(memory, take(entries * nonceBytes), entries * nonceBytes),
  }
}

/** Whatever is as old as this entry could not be told from what was used. */
function drop({ forgottenUntil, issuedAt, tags }: Layout, at: number): void {
  const row = Math.floor(at / ways)
  forgottenUntil[row] = Math.max(forgottenUntil[row] ?? 0, issuedAt[at] ?? 0)
  tags[at * 4] = 0
}

/** A thread has ended: what it was writing is forgotten, and others go on. */
export function nonceThreadEnded(place: NoncePlace, ended: number, self: number): void {
  const layout = layoutOf(place)
  new Exclusion(layout.exclusionWord, self).ended(ended, () => {
    const at = (layout.writing[0] ?? 0) - 1
    if (at < 0) return
    drop(layout, at)
    layout.writing[0] = 0
  })
}

/** @param thread this thread, as `Exclusion` counts them */
export function openNonceMemory(place: NoncePlace, thread: number): NonceMemory {
  const layout = layoutOf(place)
  const { writing, forgottenUntil, issuedAt: issued, tags, highest, used, hasNext, next } = layout
  const exclusion = new Exclusion(layout.exclusionWord, thread)

  const wordsOf = (tag: Uint8Array): readonly [number, number, number, number] => {
    const view = new DataView(tag.buffer, tag.byteOffset, 16)
    return [view.getUint32(0) || 1, view.getUint32(4), view.getUint32(8), view.getUint32(12)]
  }
  const rowOf = (words: readonly number[]): number => (words[1] ?? 0) % place.rows
  const find = (words: readonly number[]): number | undefined => {
    const first = rowOf(words) * ways
    for (let at = first; at < first + ways; at += 1) if (words.every((word, n) => tags[at * 4 + n] === word)) return at
    return undefined
  }
  /** An empty place of the row, or that of the nonce that was issued first. */
  const freeOf = (row: number): number => {
    let free = row * ways
    for (let at = row * ways; at < (row + 1) * ways; at += 1) {
      if (tags[at * 4] === 0) return at
      if ((issued[at] ?? 0) < (issued[free] ?? 0)) free = at
    }
    return free
  }
  const change = (at: number, work: () => void): void => {
    writing[0] = at + 1
    work()
    writing[0] = 0
  }
  const bit = (at: number, count: number): { readonly word: number; readonly mask: number } => {
    const n = count % windowCounts
    return { word: at * windowWords + (n >>> 5), mask: (1 << (n & 31)) >>> 0 }
  }
  const isUsed = (at: number, count: number): boolean => {
    const { word, mask } = bit(at, count)
    return ((used[word] ?? 0) & mask) !== 0
  }
  const mark = (at: number, count: number, value: boolean): void => {
    const { word, mask } = bit(at, count)
    used[word] = value ? (used[word] ?? 0) | mask : (used[word] ?? 0) & ~mask
  }

  return {
    place,
    use: (tag, issuedAt, count) =>
      exclusion.run(() => {
        const words = wordsOf(tag)
        const row = rowOf(words)
        const known = find(words)
        if (known === undefined) {
          if (issuedAt <= (forgottenUntil[row] ?? 0)) return 'stale'
          const at = freeOf(row)
          change(at, () => {
            if (tags[at * 4] !== 0) drop(layout, at)
            issued[at] = issuedAt
            highest[at] = count
            used.fill(0, at * windowWords, (at + 1) * windowWords)
            mark(at, count, true)
            hasNext[at] = 0
            tags.set(words, at * 4)
          })
          return 'fresh'
        }
        const ahead = count - (highest[known] ?? 0)
        if (ahead <= -windowCounts) return 'stale'
        if (ahead <= 0 && isUsed(known, count)) return 'replayed'
        change(known, () => {
          if (ahead >= windowCounts) used.fill(0, known * windowWords, (known + 1) * windowWords)
          else for (let n = 1; n <= ahead; n += 1) mark(known, count - ahead + n, false)
          mark(known, count, true)
          if (ahead > 0) highest[known] = count
        })
        return 'fresh'
      }),
    successor: (tag, make) =>
      exclusion.run(() => {
        const at = find(wordsOf(tag))
        if (at === undefined) return undefined
        if (hasNext[at] === 0) {
          next.set(make(), at * nonceBytes)
          hasNext[at] = 1
        }
        return Buffer.from(next.slice(at * nonceBytes, (at + 1) * nonceBytes))
      }),
  }
}
