import { randomInt } from 'node:crypto'

/** A source of test data that the same seed repeats. Not for keys that protect anything. */
export interface Seeded {
  /** An integer from `low` to `high`, both included. */
  integer(low: number, high: number): number
  bytes(size: number): Buffer
  pick<T>(items: readonly T[]): T
}

/** Mulberry32. */
export function createSeeded(seed: number): Seeded {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const integer = (low: number, high: number): number => low + (next() % (high - low + 1))
  return {
    integer,
    bytes(size) {
      const bytes = Buffer.alloc(size)
      for (let at = 0; at < size; at++) bytes[at] = next()
      return bytes
    },
    pick(items) {
      const item = items[integer(0, items.length - 1)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
  }
}

/**
 * Runs `body` with a seed of its own and, when it fails, says which: `BAWN_TEST_SEED=n` repeats it.
 */
export function withSeed(body: (random: Seeded) => void): void {
  const wanted = process.env['BAWN_TEST_SEED']
  const seed = wanted === undefined ? randomInt(2 ** 32) : Number(wanted)
  try {
    body(createSeeded(seed))
  } catch (cause) {
    throw new Error(`failed with BAWN_TEST_SEED=${seed}`, { cause })
  }
}
