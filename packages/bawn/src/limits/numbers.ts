/**
 * Numbers by key, at most so many of them: the one that was set longest ago makes room. One thread may have them, or all of the process
 * together (`shared-numbers.ts`).
 */
export interface Numbers {
  get(key: string): number | undefined
  set(key: string, value: number): void
  /** Nobody else gets or sets meanwhile, here or in other numbers of the gateway. `work` is synchronous. */
  alone<Result>(work: () => Result): Result
}

/** Makes the numbers of one purpose. @param purpose the same in every thread */
export type NumbersFor = (purpose: NumbersPurpose, max: number) => Numbers

/** All that the gateway keeps numbers for, and how many of each. About 100 bytes each. */
export const numbersPurposes = {
  'login pairs': 50_000,
  'login accounts': 50_000,
  'login networks': 50_000,
  'login nameless': 50_000,
  'login trusted': 50_000,
  'login failures': 50_000,
  'browser logins': 50_000,
  rates: 100_000,
  'chosen rates': 50_000,
} as const
export type NumbersPurpose = keyof typeof numbersPurposes

/** Of one thread. */
export function createNumbers(max: number): Numbers {
  const numbers = new Map<string, number>()
  return {
    get: key => numbers.get(key),
    set(key, value) {
      // Deleted first, so that the map stays in order of use.
      numbers.delete(key)
      numbers.set(key, value)
      for (const oldest of numbers.keys()) {
        if (numbers.size <= max) return
        numbers.delete(oldest)
      }
    },
    alone: work => work(),
  }
}
