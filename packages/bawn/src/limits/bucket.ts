import type { Numbers } from './numbers.ts'

/** `burst` at once, and one more each `intervalMs`. */
export interface BucketLimit {
  /** 1 or more. */
  readonly burst: number
  readonly intervalMs: number
}

/**
 * Token buckets by key. One number a bucket: when it would be full again if nobody took from it (the generic cell rate algorithm of
 * ITU-T I.371).
 *
 * `at` is monotonic, in ms.
 */
export interface Buckets {
  /** Ms until one may be taken; 0: at once. */
  wait(key: string, limit: BucketLimit, at: number): number
  take(key: string, limit: BucketLimit, at: number): void
  giveBack(key: string, limit: BucketLimit): void
  /** How many may be taken at once, and how long until it is full. */
  left(key: string, limit: BucketLimit, at: number): { readonly remaining: number; readonly fullMs: number }
}

/** @param fullAt where the numbers are kept; nothing else uses it */
export function createBuckets(fullAt: Numbers): Buckets {
  const behind = (key: string, at: number): number => Math.max(0, (fullAt.get(key) ?? at) - at)
  return {
    wait: (key, { burst, intervalMs }, at) => Math.max(0, Math.ceil(behind(key, at) - (burst - 1) * intervalMs)),
    take: (key, { intervalMs }, at) => fullAt.alone(() => fullAt.set(key, at + behind(key, at) + intervalMs)),
    giveBack: (key, { intervalMs }) =>
      fullAt.alone(() => {
        const full = fullAt.get(key)
        if (full !== undefined) fullAt.set(key, full - intervalMs)
      }),
    left: (key, { burst, intervalMs }, at) => {
      const fullMs = behind(key, at)
      return { remaining: Math.max(0, Math.floor(burst - fullMs / intervalMs)), fullMs }
    },
  }
}
