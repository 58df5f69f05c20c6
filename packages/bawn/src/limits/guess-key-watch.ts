import type { RedisConnection } from '../redis-connection.ts'

/** What stands in the place of a key's check value, for a node without one. */
export const noGuessKey = 'none'

/** How often a node says which key it has. */
const everyMs = 20_000
/** Of a node that has not said it for so long nothing is known any more. */
const goneMs = 60_000
/** After an answer that did not come. */
const againMs = 1_000

/** KEYS: whose members are check values, with the time at which a node was here with each. ARGV our own, and after how long one is gone (ms). @returns how many others there are */
const markScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1]) - 1`

/**
 * Nodes whose keys differ count guesses apart, and would never hear of it: each leaves a check value of its key under one name, and looks for others.
 *
 * @param check the same for the same key; nothing of the key can be told from it
 * @param tell hears when others begin to be there, and when there are none any more
 */
export function watchGuessKeys(
  connection: Pick<RedisConnection, 'key' | 'run'>,
  check: string,
  tell: (differ: boolean) => void,
): { close(): Promise<void> } {
  const key = connection.key('guess-keys')
  let differ = false
  let isClosed = false
  let timer: NodeJS.Timeout | undefined
  const look = async (): Promise<void> => {
    let nextMs = everyMs
    try {
      const others = Number(await connection.run(client => client.eval(markScript, 1, key, check, goneMs)))
      if (others > 0 !== differ && !isClosed) {
        differ = !differ
        tell(differ)
      }
    } catch {
      // Limits say when Redis is away; this is not asked for by anybody.
      nextMs = againMs
    }
    if (!isClosed) timer = setTimeout(look, nextMs).unref()
  }
  void look()
  return {
    async close() {
      isClosed = true
      clearTimeout(timer)
      // Another node with this key says so again soon. Without it, one that comes back with another key would find its own.
      await connection.run(client => client.zrem(key, check)).catch(() => {})
    },
  }
}
