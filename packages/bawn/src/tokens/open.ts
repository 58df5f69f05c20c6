import { readFileSync } from 'node:fs'
import { TokenError } from './error.ts'
import type { KeptTokenOptions, RedisOptions, RevocationOptions, TokensOptions } from './option.ts'
import { createRandomTokens } from './random.ts'
import { createRedisTokens } from './redis.ts'
import { connectRedis, type RedisConnection } from './redis-connection.ts'
import { createRedisRevocations } from './redis-revocations.ts'
import { createSignedTokens, parseSigningKey } from './signed.ts'
import { openSqliteTokens } from './sqlite.ts'
import { openSqliteRevocations } from './sqlite-revocations.ts'
import type { RevocationStore, TokenStore } from './store.ts'
import type { TokenManager } from './token-manager.ts'

export interface TokenSurroundings {
  /** Of the process: what of kind memory outlives a reload. */
  readonly memory: TokenStore
  /** ms since 1970 */
  readonly clock: () => number
  /** What a secret reference stands for. */
  readonly secret: (reference: string) => string
}

/**
 * The token manager of a configuration.
 *
 * @throws {TokenError} `tokens.bad_key`, `tokens.newer_schema`, `tokens.unavailable` where the kind has to be there at start (SQLite)
 */
export async function openTokens(options: TokensOptions, surroundings: TokenSurroundings): Promise<TokenManager> {
  const { clock, secret } = surroundings
  switch (options.kind) {
    case 'memory':
      return createRandomTokens(randomOptions(options), surroundings.memory, clock)
    case 'sqlite':
      return createRandomTokens(randomOptions(options), openSqliteTokens(options.path, clock()), clock)
    case 'redis':
      return createRandomTokens(randomOptions(options), createRedisTokens(await redisOf(options, secret)), clock)
    case 'signed': {
      const [key, ...former] = [options.key, ...options.former_keys].map(reference =>
        parseSigningKey(secret(reference)),
      )
      if (key === undefined) throw new TokenError('tokens.bad_key', 'signed tokens have no key')
      const { ttl, issuer } = options
      const revocations = await revocationsOf(options.revocations, surroundings)
      return createSignedTokens({ name: 'signed', ttlMs: ttl, issuer, keys: [key, ...former] }, revocations, clock)
    }
  }
}

function randomOptions(options: KeptTokenOptions) {
  return {
    name: options.kind,
    ttlMs: options.ttl,
    renew: options.renew,
    lifetimeMs: options.lifetime,
    limits: { perSubject: options.max_per_subject, inAll: options.max_tokens },
  }
}

async function revocationsOf(
  options: RevocationOptions,
  { clock, secret }: TokenSurroundings,
): Promise<RevocationStore> {
  if (options.kind === 'sqlite') return openSqliteRevocations(options.path, clock())
  return createRedisRevocations(await redisOf(options, secret), clock)
}

function redisOf(options: RedisOptions, secret: TokenSurroundings['secret']): Promise<RedisConnection> {
  return connectRedis({
    url: options.url,
    user: options.user,
    password: options.password === undefined ? undefined : secret(options.password),
    ca: options.ca === undefined ? undefined : readFileSync(options.ca, 'utf8'),
    prefix: options.prefix,
  })
}
