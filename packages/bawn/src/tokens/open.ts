import { connectRedis, type RedisConnection, redisTarget } from '../redis-connection.ts'
import { TokenError, tokensUnavailable } from './error.ts'
import type { RevocationOptions, TokensOptionsOf } from './option.ts'
import { createRandomTokens } from './random.ts'
import { createRedisTokens } from './redis.ts'
import { createRedisRevocations } from './redis-revocations.ts'
import { createSignedTokens, parseSigningKey } from './signed.ts'
import { openSqliteTokens } from './sqlite.ts'
import { openSqliteRevocations } from './sqlite-revocations.ts'
import type { RevocationStore, TokenStore } from './store.ts'
import type { TokenManager } from './token-manager.ts'

// The token managers in the box, from their options.

export interface TokenSurroundings {
  /** ms since 1970 */
  readonly clock: () => number
  /** What a secret reference stands for. */
  readonly secret: (reference: string) => string
  /** How long a token is valid. */
  readonly ttlMs: number
}

/** Random tokens, kept in `store`. @param name of the kind */
export function openKeptTokens(
  name: string,
  options: TokensOptionsOf<'memory'>,
  store: TokenStore,
  { ttlMs, clock }: Pick<TokenSurroundings, 'ttlMs' | 'clock'>,
): TokenManager {
  const { renew, lifetime: lifetimeMs, max_per_subject: perSubject, max_tokens: inAll } = options
  return createRandomTokens({ name, ttlMs, renew, lifetimeMs, limits: { perSubject, inAll } }, store, clock)
}

/** @throws {TokenError} `tokens.newer_schema`, `tokens.unavailable`: the file has to be there at start */
export function openSqliteManager(options: TokensOptionsOf<'sqlite'>, surroundings: TokenSurroundings): TokenManager {
  return openKeptTokens('sqlite', options, openSqliteTokens(options.path, surroundings.clock()), surroundings)
}

export async function openRedisManager(
  options: TokensOptionsOf<'redis'>,
  surroundings: TokenSurroundings,
): Promise<TokenManager> {
  return openKeptTokens('redis', options, createRedisTokens(await redisOf(options, surroundings.secret)), surroundings)
}

/** @throws {TokenError} `tokens.bad_key`; where revocations are in SQLite, as `openSqliteManager` */
export async function openSignedManager(
  options: TokensOptionsOf<'signed'>,
  surroundings: TokenSurroundings,
): Promise<TokenManager> {
  const { clock, secret, ttlMs } = surroundings
  const [key, ...former] = [options.key, ...options.former_keys].map(reference => parseSigningKey(secret(reference)))
  if (key === undefined) throw new TokenError('tokens.bad_key', 'signed tokens have no key')
  const { issuer } = options
  const revocations = await revocationsOf(options.revocations, surroundings)
  return createSignedTokens({ name: 'signed', ttlMs, issuer, keys: [key, ...former] }, revocations, clock)
}

async function revocationsOf(
  options: RevocationOptions,
  { clock, secret }: TokenSurroundings,
): Promise<RevocationStore> {
  if (options.kind === 'sqlite') return openSqliteRevocations(options.path, clock())
  return createRedisRevocations(await redisOf(options, secret), clock)
}

function redisOf(
  options: Parameters<typeof redisTarget>[0],
  secret: TokenSurroundings['secret'],
): Promise<RedisConnection> {
  return connectRedis(redisTarget(options, secret), { unavailable: tokensUnavailable })
}
