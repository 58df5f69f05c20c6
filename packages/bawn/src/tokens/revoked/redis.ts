import { randomUUID } from 'node:crypto'
import type { RedisConnection } from '../../redis-connection.ts'
import { TokenError } from '../error.ts'
import { formatEntry, parseEntry, type RevokedEntry, targetKey } from './entry.ts'
import { pageSize, type RevokedStore, restoredMs } from './store.ts'

// Keys: `revoked` is a hash of entries by target, `revoked:versions` and `revoked:ends` are sorted sets of targets, `revoked:list` says which
// list it is and how far it has come. An entry that was restored is an empty text.

/** KEYS list. ARGV a new generation. @returns generation, version */
const readScript = `
redis.call('HSETNX', KEYS[1], 'generation', ARGV[1])
redis.call('HSETNX', KEYS[1], 'version', 1)
return redis.call('HMGET', KEYS[1], 'generation', 'version')`

/** What every change begins with. KEYS list, entries, versions, ends. ARGV now. */
const forget = `
for _, target in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[2], target)
  redis.call('ZREM', KEYS[3], target)
  redis.call('ZREM', KEYS[4], target)
end
local function write(target, entry, ends)
  redis.call('HSET', KEYS[2], target, entry)
  redis.call('ZADD', KEYS[3], redis.call('HINCRBY', KEYS[1], 'version', 1), target)
  if ends == '' then redis.call('ZREM', KEYS[4], target) else redis.call('ZADD', KEYS[4], ends, target) end
end`

/** ARGV now, target, entry, ends, most entries. @returns 1 kept, 0 full */
const putScript = `${forget}
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 0 end
write(ARGV[2], ARGV[3], ARGV[4])
return 1`

/** ARGV now, target, end of an entry without one. @returns whether it was there */
const restoreScript = `${forget}
local entry = redis.call('HGET', KEYS[2], ARGV[2])
if not entry or entry == '' then return 0 end
write(ARGV[2], '', redis.call('ZSCORE', KEYS[4], ARGV[2]) or ARGV[3])
return 1`

/** ARGV now, a new generation, then target, entry, ends for each. */
const putBackScript = `${forget}
local lost = false
for i = 3, #ARGV, 3 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then
    write(ARGV[i], ARGV[i + 1], ARGV[i + 2])
    lost = true
  end
end
if lost then redis.call('HSET', KEYS[1], 'generation', ARGV[2]) end
return 1`

/** Revocations in Redis (7 or newer) or Valkey, for every node that uses the same prefix. */
export function createRedisRevoked(connection: RedisConnection, maxEntries: number): RevokedStore {
  const list = connection.key('revoked:list')
  const [entries, versions, ends] = ['revoked', 'revoked:versions', 'revoked:ends'].map(connection.key)
  const keys = [list, entries, versions, ends].map(String)
  const change = (script: string, ...args: readonly (string | number)[]): Promise<unknown> =>
    connection.run(client => client.eval(script, keys.length, ...keys, ...args))

  const argumentsOf = (entry: RevokedEntry) =>
    [targetKey(entry.target), formatEntry(entry), String(entry.endsAt ?? '')] as const

  return {
    async readVersion() {
      const answer: unknown = await connection.run(client => client.eval(readScript, 1, list, randomUUID()))
      const [generation, version]: readonly unknown[] = Array.isArray(answer) ? answer : []
      const number = Number(version)
      if (typeof generation !== 'string' || !Number.isSafeInteger(number)) throw damaged()
      return { generation: `${generation} ${connection.connections}`, version: number }
    },
    async changesAfter(version) {
      const found = await connection.run(client =>
        client.zrangebyscore(String(versions), `(${version}`, '+inf', 'WITHSCORES', 'LIMIT', 0, pageSize),
      )
      const changes = found.flatMap((key, at) => (at % 2 === 0 ? [{ key, version: Number(found[at + 1]) }] : []))
      if (changes.length === 0) return []
      const texts = await connection.run(client => client.hmget(String(entries), ...changes.map(({ key }) => key)))
      return changes.map(({ key, version: at }, index) => {
        const text = texts[index] ?? ''
        const entry = text === '' ? undefined : parseEntry(text)
        if (text !== '' && entry === undefined) throw damaged()
        return { key, version: at, entry }
      })
    },
    async put(entry, now) {
      const kept = await change(putScript, now, ...argumentsOf(entry), maxEntries)
      if (kept !== 1) {
        throw new TokenError('tokens.full', `there are ${maxEntries} revocations, and no more are kept`)
      }
    },
    restore: async (key, now) => (await change(restoreScript, now, key, now + restoredMs)) === 1,
    async putBack(lost, now) {
      for (let at = 0; at < lost.length; at += pageSize) {
        await change(putBackScript, now, randomUUID(), ...lost.slice(at, at + pageSize).flatMap(argumentsOf))
      }
    },
    close: () => connection.close(),
  }
}

const damaged = (): TokenError => new TokenError('tokens.unavailable', 'Redis holds a damaged list of revocations')
