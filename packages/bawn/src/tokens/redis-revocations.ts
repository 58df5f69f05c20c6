import { hash } from 'node:crypto'
import type { RedisConnection } from '../redis-connection.ts'
import { TokenError } from './error.ts'
import type { RevocationReading, RevocationStore } from './store.ts'

// Everything that a decision needs is in one hash. A Redis that has to forget something forgets all of it or nothing: were each
// revocation a key of its own, one could go alone, and its tokens would come back.

/** KEYS hash, ends. ARGV field, keepUntil, now. */
const revokeScript = `
for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])) do
  redis.call('HDEL', KEYS[1], field)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
redis.call('HSETNX', KEYS[1], 'all', ARGV[3])
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[3])
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], ARGV[1], epoch)
redis.call('ZADD', KEYS[2], 'GT', ARGV[2], ARGV[1])
return epoch`

/** KEYS hash, ends. ARGV now. */
const revokeAllScript = `
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ARGV[1]
epoch = tonumber(epoch) + 1
redis.call('DEL', KEYS[1], KEYS[2])
local text = string.format('%.0f', epoch)
redis.call('HSET', KEYS[1], 'epoch', text, 'all', text)
return 1`

/** KEYS hash. ARGV now. */
const beginScript = `
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'all', ARGV[1]) end
return 1`

/**
 * Revocations of signed tokens in Redis (7 or newer) or Valkey, for every node that uses the same prefix.
 *
 * @param clock ms since 1970: the first epoch of a list that is not there
 */
export function createRedisRevocations(connection: RedisConnection, clock: () => number): RevocationStore {
  const list = connection.key('revocations')
  const ends = connection.key('revocations:ends')
  const field = (subjectId: string): string => `of:${hash('sha256', subjectId, 'base64url')}`

  const readOnce = async (subjectId: string): Promise<RevocationReading | undefined> => {
    const [epoch, all, own] = await connection.run(client => client.hmget(list, 'epoch', 'all', field(subjectId)))
    if (epoch == null && all == null) return undefined
    return { epoch: numberOf(epoch), all: numberOf(all), subject: own == null ? undefined : numberOf(own) }
  }

  return {
    async read(subjectId) {
      const known = await readOnce(subjectId)
      if (known !== undefined) return known
      await connection.run(client => client.eval(beginScript, 1, list, clock()))
      const begun = await readOnce(subjectId)
      if (begun === undefined) throw damaged()
      return begun
    },
    async revoke(subjectId, keepUntil, now) {
      await connection.run(client => client.eval(revokeScript, 2, list, ends, field(subjectId), keepUntil, now))
    },
    async revokeAll(now) {
      await connection.run(client => client.eval(revokeAllScript, 2, list, ends, now))
    },
    close: () => connection.close(),
  }
}

const damaged = (): TokenError => new TokenError('tokens.unavailable', 'Redis holds a damaged list of revocations')

function numberOf(text: string | null | undefined): number {
  const value = Number(text ?? Number.NaN)
  if (!Number.isSafeInteger(value)) throw damaged()
  return value
}
