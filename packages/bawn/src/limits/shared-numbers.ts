import { createHash, randomBytes } from 'node:crypto'
import { Exclusion } from '../exclusion.ts'
import { type NumbersFor, type NumbersPurpose, numbersPurposes } from './numbers.ts'

// Numbers that all threads of the process have together, in memory that they share: what is counted is exact however many workers there
// are, and costs no message. A key is found by 64 bits of a digest under a secret of the process, so that nobody can choose keys that meet.

/** What another thread needs to have the same numbers; can be posted. */
export interface NumbersPlace {
  readonly memory: SharedArrayBuffer
  readonly secret: Uint8Array
}

/** Places in a row: a key belongs to one row, and the one of it that was set longest ago makes room. */
const ways = 8
/** More rows than are needed: they fill unevenly. */
const spare = 1.25
const headBytes = 16

const rowsOf = (purpose: NumbersPurpose): number => Math.ceil((numbersPurposes[purpose] * spare) / ways)
/** Two 32-bit words of the key's digest, when it was set, and the number. */
const bytesOf = (purpose: NumbersPurpose): number => rowsOf(purpose) * ways * 24
const purposes = Object.keys(numbersPurposes) as NumbersPurpose[]

export function createNumbersPlace(): NumbersPlace {
  const memory = new SharedArrayBuffer(headBytes + purposes.reduce((sum, purpose) => sum + bytesOf(purpose), 0))
  return { memory, secret: randomBytes(16) }
}

function exclusionOf({ memory }: NumbersPlace, thread: number): Exclusion {
  return new Exclusion(new Int32Array(memory, 0, 1), thread)
}

/** A thread has ended: what it was counting may be counted or not, and others go on. */
export function numbersThreadEnded(place: NumbersPlace, ended: number, self: number): void {
  exclusionOf(place, self).ended(ended, () => {})
}

/** @param thread this thread, as `Exclusion` counts them */
export function sharedNumbers(place: NumbersPlace, thread: number): NumbersFor {
  const { memory, secret } = place
  const exclusion = exclusionOf(place, thread)
  const clock = new Float64Array(memory, 8, 1)
  return purpose => {
    const before = purposes.slice(0, purposes.indexOf(purpose)).reduce((sum, one) => sum + bytesOf(one), headBytes)
    const [rows, places] = [rowsOf(purpose), rowsOf(purpose) * ways]
    const values = new Float64Array(memory, before, places)
    const setAt = new Float64Array(memory, before + places * 8, places)
    const digests = new Uint32Array(memory, before + places * 16, places * 2)

    /** Where the key is, and where it may be put. */
    const find = (
      key: string,
    ): { readonly at: number | undefined; readonly free: number; high: number; low: number } => {
      const digest = createHash('sha256').update(secret).update(key).digest()
      const first = (digest.readUInt32LE(8) % rows) * ways
      // Zero says that nothing is there.
      const [high, low] = [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)]
      let free = first
      for (let at = first; at < first + ways; at += 1) {
        if (digests[at * 2] === high && digests[at * 2 + 1] === low) return { at, free, high, low }
        if ((setAt[at] ?? 0) < (setAt[free] ?? 0)) free = at
      }
      return { at: undefined, free, high, low }
    }
    return {
      get: key =>
        exclusion.run(() => {
          const { at } = find(key)
          return at === undefined ? undefined : values[at]
        }),
      set: (key, value) =>
        exclusion.run(() => {
          const { at, free, high, low } = find(key)
          const place = at ?? free
          clock[0] = (clock[0] ?? 0) + 1
          digests[place * 2] = high
          digests[place * 2 + 1] = low
          values[place] = value
          setAt[place] = clock[0] ?? 0
        }),
      alone: work => exclusion.run(work),
    }
  }
}

/** Monotonic and the same in every thread, in ms: `performance.now` counts from the start of each. */
export function processNow(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1e6
}
