import type { Redis } from 'ioredis'
import { TokenError } from './error.ts'

export interface RedisTarget {
  /** `redis(s)://host:port/database`, without a password */
  readonly url: string
  readonly user: string | undefined
  readonly password: string | undefined
  /** PEM, instead of the system's authorities. */
  readonly ca: string | undefined
  /** Of every key. */
  readonly prefix: string
}

export interface RedisConnection {
  /** A key of ours. All share one hash tag, so that a script may touch several of them in a cluster too. */
  key(name: string): string
  /** @throws {TokenError} (rejects with) `tokens.unavailable` for whatever fails, or does not answer in time */
  run<Result>(work: (client: Redis) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

/** A request waits for its token to be judged: an answer that takes longer is none. */
const answerMs = 2_000
const reconnectMs = 1_000

/**
 * One connection, made when it is first used and made again whenever it is lost. The client library is loaded here and nowhere else: who
 * has no Redis does not pay for it.
 */
export async function connectRedis(target: RedisTarget): Promise<RedisConnection> {
  const { Redis } = await import('ioredis')
  const { protocol, hostname, port, pathname } = new URL(target.url)
  const client = new Redis({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    db: Number(pathname.slice(1) || '0'),
    ...(target.user === undefined ? {} : { username: target.user }),
    ...(target.password === undefined ? {} : { password: target.password }),
    ...(protocol === 'rediss:' ? { tls: target.ca === undefined ? {} : { ca: target.ca } } : {}),
    lazyConnect: true,
    connectTimeout: answerMs,
    commandTimeout: answerMs,
    maxRetriesPerRequest: 1,
    retryStrategy: () => reconnectMs,
  })
  // Whoever asks meanwhile is told; nobody else has to hear of it.
  client.on('error', () => {})
  return {
    key: name => `{${target.prefix}}:${name}`,
    async run(work) {
      try {
        return await work(client)
      } catch (cause) {
        if (cause instanceof TokenError) throw cause
        throw new TokenError('tokens.unavailable', `Redis at ${hostname} failed`, { cause: withoutCommand(cause) })
      }
    },
    close: async () => client.disconnect(),
  }
}

/** The library hangs the command, with its arguments, on an error: names and digests that belong in no log. */
function withoutCommand(cause: unknown): Error {
  return new Error(cause instanceof Error ? cause.name : 'no answer')
}
