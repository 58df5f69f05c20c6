import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { GatewayError } from './error.ts'
import type { RedisOptions } from './option.ts'

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
  /** Rejects with what `unavailable` makes, for whatever fails or does not answer in time. */
  run<Result>(work: (client: Redis) => Promise<Result>): Promise<Result>
  /** Counts the connections that were made: another one may be to a server that knows less. */
  readonly connections: number
  close(): Promise<void>
}

/** A request waits for the answer: one that takes longer is none. */
const defaultAnswerMs = 2_000
const connectMs = 2_000
const reconnectMs = 1_000

export interface RedisFailures {
  /** Makes the error of the folder that asks. @param cause says nothing of commands */
  readonly unavailable: (message: string, cause: Error) => Error
  readonly answerMs?: number
}

/** What options name, with their secrets and files. @param secret finds what is behind a reference */
export function redisTarget(options: RedisOptions, secret: (reference: string) => string): RedisTarget {
  return {
    url: options.url,
    user: options.user,
    password: options.password === undefined ? undefined : secret(options.password),
    ca: options.ca === undefined ? undefined : readFileSync(options.ca, 'utf8'),
    prefix: options.prefix,
  }
}

/**
 * One connection, made when it is first used and made again whenever it is lost. The client library is loaded here and nowhere else: who
 * has no Redis does not pay for it.
 */
export async function connectRedis(
  target: RedisTarget,
  { unavailable, answerMs = defaultAnswerMs }: RedisFailures,
): Promise<RedisConnection> {
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
    connectTimeout: connectMs,
    commandTimeout: answerMs,
    maxRetriesPerRequest: 1,
    retryStrategy: () => reconnectMs,
  })
  // Whoever asks meanwhile is told; nobody else has to hear of it.
  client.on('error', () => {})
  let connections = 0
  client.on('ready', () => {
    connections += 1
  })
  return {
    get connections() {
      return connections
    },
    key: name => `{${target.prefix}}:${name}`,
    async run(work) {
      try {
        return await work(client)
      } catch (cause) {
        if (cause instanceof GatewayError) throw cause
        throw unavailable(`Redis at ${hostname} failed`, withoutCommand(cause))
      }
    },
    close: async () => client.disconnect(),
  }
}

/** The library hangs the command, with its arguments, on an error: names and digests that belong in no log. */
function withoutCommand(cause: unknown): Error {
  return new Error(cause instanceof Error ? cause.name : 'no answer')
}
