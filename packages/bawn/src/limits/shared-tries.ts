import type { BucketLimit } from './bucket.ts'
import type { SharedCounts } from './shared-counts.ts'

/** A bucket that a try is taken from. */
export interface CountedTry {
  /** Names whose tries are counted; goes nowhere in clear. */
  readonly key: string
  readonly limit: BucketLimit
}

/** Tries of what can be guessed, counted by all nodes together. */
export interface SharedTries {
  /**
   * Takes one from all buckets, or none; of whoever is trusted, from the first alone.
   *
   * @param trust by which a success is known; `undefined`: nobody is trusted
   * @returns undefined when it cannot be told
   */
  take(
    tries: readonly CountedTry[],
    trust: string | undefined,
  ): Promise<{ readonly retryAfterMs: number; readonly isTrusted: boolean } | undefined>
  /** Gives one back to each, at some time soon. @param trusted who is trusted from now on, and for how long */
  giveBack(tries: readonly CountedTry[], trusted?: { readonly key: string; readonly ms: number }): void
}

/** KEYS of trust and buckets. ARGV 1 where trust counts, then burst and interval (ms) of each bucket. @returns trusted, wait in ms */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local trusted = tonumber(ARGV[1]) == 1 and redis.call('EXISTS', KEYS[1]) == 1
local last, behind, wait = trusted and 2 or #KEYS, {}, 0
for i = 2, last do
  local burst, interval = tonumber(ARGV[2 * i - 2]), tonumber(ARGV[2 * i - 1])
  behind[i] = math.max(0, tonumber(redis.call('GET', KEYS[i]) or now) - now)
  -- A clock that was put back makes nobody wait longer than an empty bucket does.
  behind[i] = math.min(behind[i], burst * interval)
  wait = math.max(wait, math.ceil(behind[i] - (burst - 1) * interval - 0.001))
end
if wait <= 0 then
  for i = 2, last do
    behind[i] = behind[i] + tonumber(ARGV[2 * i - 1])
    redis.call('SET', KEYS[i], string.format('%.3f', now + behind[i]), 'PX', math.ceil(behind[i]))
  end
end
return { trusted and 1 or 0, math.max(0, wait) }`

/** KEYS of trust and buckets. ARGV how long (ms) somebody is trusted, 0 for not at all, then the interval (ms) of each bucket. */
const giveBackScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
for i = 2, #KEYS do
  local full = tonumber(redis.call('GET', KEYS[i]) or 0) - tonumber(ARGV[i])
  if full <= now then redis.call('DEL', KEYS[i])
  else redis.call('SET', KEYS[i], string.format('%.3f', full), 'PX', math.ceil(full - now)) end
end
if tonumber(ARGV[1]) > 0 then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
return { 1 }`

/** @param digest of names, under a key that all nodes have: who reads Redis learns no name, and cannot try names either */
export function createSharedTries(counts: SharedCounts, digest: (text: string) => string): SharedTries {
  const keysOf = (trust: string | undefined, tries: readonly CountedTry[]): readonly string[] => [
    `guess:${digest(`trust ${trust ?? ''}`)}`,
    ...tries.map(({ key }) => `guess:${digest(`tries ${key}`)}`),
  ]
  return {
    async take(tries, trust) {
      if (counts.isAway()) return undefined
      const numbers = tries.flatMap(({ limit }) => [limit.burst, limit.intervalMs])
      try {
        const asked = counts.run(takeScript, keysOf(trust, tries), [trust === undefined ? 0 : 1, ...numbers])
        const [trusted, retryAfterMs = 0] = await asked
        return { isTrusted: trusted === 1, retryAfterMs }
      } catch {
        return undefined
      }
    },
    giveBack(tries, trusted) {
      const intervals = tries.map(({ limit }) => limit.intervalMs)
      // What does not arrive stays taken.
      counts.run(giveBackScript, keysOf(trusted?.key, tries), [trusted?.ms ?? 0, ...intervals]).catch(() => {})
    },
  }
}
