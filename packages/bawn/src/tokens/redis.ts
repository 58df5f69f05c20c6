import { hash } from 'node:crypto'
import type { RedisConnection } from '../redis-connection.ts'
import { TokenError } from './error.ts'
import { formatRecord, parseRecord } from './record.ts'
import type { TokenRecord, TokenStore } from './store.ts'

// Keys: `token:<digest>` is a record and ends by itself; `of:<subject>` and `all` are sorted sets of digests by their end, in ms since
// 1970. A record without its digest in a set cannot be revoked, so each script changes the two together.

/** KEYS record, own, all. ARGV digest, text, validUntil, now, perSubject, inAll, prefix of records. @returns 1 kept, 0 full */
const addScript = `
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])
local excess = redis.call('ZCARD', KEYS[2]) + 1 - tonumber(ARGV[5])
if excess < 0 then excess = 0 end
if redis.call('ZCARD', KEYS[3]) - excess >= tonumber(ARGV[6]) then return 0 end
if excess > 0 then
  local ended = redis.call('ZPOPMIN', KEYS[2], excess)
  for i = 1, #ended, 2 do
    redis.call('DEL', ARGV[7] .. ended[i])
    redis.call('ZREM', KEYS[3], ended[i])
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
for i = 2, 3 do
  redis.call('ZADD', KEYS[i], ARGV[3], ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  redis.call('PEXPIREAT', KEYS[i], last[2])
end
return 1`

/** KEYS record, own, all. ARGV digest, text, validUntil. @returns 1 extended, 0 gone */
const extendScript = `
if not redis.call('SET', KEYS[1], ARGV[2], 'XX', 'PXAT', ARGV[3]) then return 0 end
for i = 2, 3 do
  redis.call('ZADD', KEYS[i], ARGV[3], ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  redis.call('PEXPIREAT', KEYS[i], last[2])
end
return 1`

/** KEYS own, all. ARGV prefix of records. @returns how many ended */
const removeScript = `
local count = 0
for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  count = count + redis.call('DEL', ARGV[1] .. digest)
  redis.call('ZREM', KEYS[2], digest)
end
redis.call('DEL', KEYS[1])
return count`

/** Records that one answer brings when they are listed. */
const pageSize = 500

/** Random tokens in Redis (7 or newer) or Valkey: every node that uses the same prefix has the same ones. */
export function createRedisTokens(connection: RedisConnection): TokenStore {
  const records = connection.key('token:')
  const all = connection.key('all')
  // A subject's id may hold anything and be long.
  const own = (subjectId: string): string => connection.key(`of:${hash('sha256', subjectId, 'base64url')}`)

  const digestsOf = (now: number): Promise<string[]> =>
    connection.run(client => client.zrangebyscore(all, `(${now}`, '+inf'))

  const removeSubject = (subjectId: string): Promise<number> =>
    connection.run(async client => Number(await client.eval(removeScript, 2, own(subjectId), all, records)))
  const list = async (now: number): Promise<readonly TokenRecord[]> => {
    const digests = await digestsOf(now)
    const found: TokenRecord[] = []
    for (let at = 0; at < digests.length; at += pageSize) {
      const page = digests.slice(at, at + pageSize)
      const texts = await connection.run(client => client.mget(page.map(digest => records + digest)))
      for (const [index, text] of texts.entries()) {
        if (text !== null) found.push(recordOf(page[index] ?? '', text))
      }
    }
    return found.filter(record => record.validUntil > now)
  }

  return {
    async add(record, limits, now) {
      const { digest, subject, validUntil } = record
      const kept = await connection.run(client =>
        client.eval(
          ...([addScript, 3, records + digest, own(subject.id), all] as const),
          ...([digest, formatRecord(record), validUntil, now, limits.perSubject, limits.inAll, records] as const),
        ),
      )
      return kept === 1 ? 'kept' : 'full'
    },
    async find(digest, now) {
      const text = await connection.run(client => client.get(records + digest))
      const record = text === null ? undefined : recordOf(digest, text)
      return record !== undefined && record.validUntil > now ? record : undefined
    },
    async extend(record, validUntil) {
      const { digest, subject } = record
      const text = formatRecord({ ...record, validUntil })
      const keys = [records + digest, own(subject.id), all] as const
      return (await connection.run(client => client.eval(extendScript, 3, ...keys, digest, text, validUntil))) === 1
    },
    removeSubject,
    async removeAll(now) {
      const subjects = new Set((await list(now)).map(record => record.subject.id))
      let count = 0
      for (const id of subjects) count += await removeSubject(id)
      return count
    },
    list,
    close: () => connection.close(),
  }
}

/** A record that cannot be read is a store that failed, not a token that is none. */
function recordOf(digest: string, text: string): TokenRecord {
  const record = parseRecord(digest, text)
  if (record === undefined) throw new TokenError('tokens.unavailable', 'Redis holds a damaged token record')
  return record
}
