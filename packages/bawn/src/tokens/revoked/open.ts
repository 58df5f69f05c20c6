import { connectRedis, redisTarget } from '../../redis-connection.ts'
import { tokensUnavailable } from '../error.ts'
import type { RevocationsOptions } from '../option.ts'
import { createRevokedTokens, type RevokedTokens } from './mirror.ts'
import { createRedisRevoked } from './redis.ts'
import { openSqliteRevoked } from './sqlite.ts'
import type { RevokedStore } from './store.ts'

/** @throws {TokenError} `tokens.unavailable`, `tokens.newer_schema`: a file has to be there at start */
export async function openRevokedTokens(
  options: RevocationsOptions,
  { clock, secret }: { readonly clock: () => number; readonly secret: (reference: string) => string },
): Promise<RevokedTokens> {
  const store = await storeOf(options, secret)
  return createRevokedTokens(store, { keepMs: options.keep, staleMs: options.stale_after, clock })
}

async function storeOf(options: RevocationsOptions, secret: (reference: string) => string): Promise<RevokedStore> {
  if (options.kind === 'sqlite') return openSqliteRevoked(options.path, options.max_entries)
  const connection = await connectRedis(redisTarget(options, secret), { unavailable: tokensUnavailable })
  return createRedisRevoked(connection, options.max_entries)
}
