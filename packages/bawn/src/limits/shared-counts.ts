import type { RedisConnection } from '../redis-connection.ts'

// The same buckets as bucket.ts, in Redis (7 or newer) or Valkey: one number each, when it would be full again, by the clock of Redis, so that
// those of nodes may differ. Each step is one script: atomic, and one round trip.

/** Where nodes count together. While it does not answer, it is left alone for a moment. */
export interface SharedCounts {
  /** Not to be asked now: it did not answer a moment ago. */
  isAway(): boolean
  /**
   * Runs a script.
   *
   * @param keys names of ours
   * @returns the numbers it returns
   * @throws (rejects) when it does not answer in time
   */
  run(
    script: string,
    keys: readonly string[],
    numbers: readonly (string | number)[],
  ): Promise<readonly [number, ...number[]]>
}

/** After an answer that did not come: until Redis is asked again. */
const pauseMs = 1_000

/**
 * @param options.tell hears when Redis begins to be away, and when it is back
 * @param options.now monotonic, in ms
 */
export function createSharedCounts(
  connection: RedisConnection,
  { tell, now }: { readonly tell: (isAway: boolean) => void; readonly now: () => number },
): SharedCounts {
  let awayUntil: number | undefined
  return {
    isAway: () => awayUntil !== undefined && now() < awayUntil,
    async run(script, keys, numbers) {
      try {
        const named = keys.map(key => connection.key(key))
        const answer: unknown = await connection.run(client => client.eval(script, named.length, ...named, ...numbers))
        const [first, ...rest] = Array.isArray(answer) ? answer.map(Number) : []
        if (first === undefined) throw new TypeError('Redis has counted something else')
        if (awayUntil !== undefined) tell(false)
        awayUntil = undefined
        return [first, ...rest]
      } catch (cause) {
        if (awayUntil === undefined) tell(true)
        awayUntil = now() + pauseMs
        throw cause
      }
    },
  }
}
