import type { Db, MongoClient, MongoClientOptions } from 'mongodb'
import { mongoUrlFault } from './option.ts'
import { AccountError } from './store.ts'

export interface MongoTarget {
  /** Perhaps with a user and a password. */
  readonly url: string
  readonly user: string | undefined
  readonly password: string | undefined
  /** PEM texts; `undefined`: without TLS. */
  readonly tls:
    | { readonly ca: string | undefined; readonly certificate: string | undefined; readonly key: string | undefined }
    | undefined
  readonly database: string
  /** Until a question is answered, finding a server included. */
  readonly timeoutMs: number
  readonly maxConnections: number
}

export interface MongoConnection {
  /** @throws {AccountError} (rejects with) `accounts.unavailable` for whatever fails, or does not answer in time */
  run<Result>(work: (database: Db) => Promise<Result>): Promise<Result>
  /** As `run`, for what may be asked again: where a connection turns out to be lost, it is, over another one. */
  read<Result>(work: (database: Db) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

/** What MongoDB calls a document whose key is taken: E11000. */
export const duplicateKey = 11_000

/** An unused connection is kept this long. */
const keepMs = 60_000

/**
 * Connections to one MongoDB, or to a replica set: made when they are needed and made again whenever they are lost. Reads see what a
 * majority has, at the primary; writes are on the disk of a majority when they are acknowledged. The driver is loaded here and nowhere
 * else: who has no MongoDB does not pay for it.
 *
 * @param store its name
 * @throws {AccountError} `accounts.bad_url`
 */
export async function connectMongo(store: string, target: MongoTarget): Promise<MongoConnection> {
  const { url, timeoutMs } = target
  const fault = mongoUrlFault(url)
  if (fault !== undefined) throw new AccountError('accounts.bad_url', `account store ${store}: of the URL, ${fault}`)
  const { MongoClient } = await import('mongodb')
  const make = (): MongoClient => new MongoClient(url, optionsOf(target))
  let first: MongoClient | undefined
  try {
    first = make()
  } catch {
    // The message of the driver may hold a part of the URL.
    throw new AccountError('accounts.bad_url', `account store ${store}: the driver cannot read the URL`)
  }
  let open: Promise<MongoClient> | undefined
  /** A client that did not find its server at first never will: the next question makes another. */
  const connected = (): Promise<MongoClient> => {
    if (open !== undefined) return open
    const client = first ?? make()
    first = undefined
    const opening = client.connect().catch(async error => {
      if (open === opening) open = undefined
      await client.close().catch(() => {})
      throw error
    })
    open = opening
    return opening
  }
  let closed = false
  const guarded = async <Result>(ask: () => Promise<Result>): Promise<Result> => {
    if (closed) throw new AccountError('accounts.unavailable', `account store ${store} is closed`)
    try {
      return await within(timeoutMs, ask())
    } catch (cause) {
      if (cause instanceof AccountError) throw cause
      throw new AccountError('accounts.unavailable', `account store ${store} failed: ${withoutDocument(cause)}`)
    }
  }
  return {
    run: work => guarded(async () => work((await connected()).db(target.database))),
    read: work =>
      guarded(async () => {
        const ask = async () => work((await connected()).db(target.database))
        return ask().catch(error => (isLost(error) ? ask() : Promise.reject(error)))
      }),
    async close() {
      closed = true
      const client = await open?.catch(() => undefined)
      await Promise.all([client?.close(), first?.close()])
    },
  }
}

function optionsOf({ url, user, password, tls, timeoutMs, maxConnections }: MongoTarget): MongoClientOptions {
  const auth =
    user === undefined || password === undefined
      ? {}
      : { auth: { username: user, password }, ...(/[?&]authSource=/i.test(url) ? {} : { authSource: 'admin' }) }
  return {
    appName: 'bawn: accounts',
    ...auth,
    ...(tls === undefined
      ? { tls: false }
      : {
          tls: true,
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
        }),
    serverSelectionTimeoutMS: timeoutMs,
    connectTimeoutMS: timeoutMs,
    socketTimeoutMS: timeoutMs,
    waitQueueTimeoutMS: timeoutMs,
    maxPoolSize: maxConnections,
    maxIdleTimeMS: keepMs,
    readPreference: 'primary',
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
  }
}

/** Did the connection end before the question was answered? The driver asks again by itself, but not where it finds that while it writes. */
function isLost(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/** The time-outs of the driver add up: finding a server, a connection, an answer, and all of it once more. */
function within<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** The driver hangs documents on an error, and the server puts values into its message: names and hashes that belong in no log. */
function withoutDocument(cause: unknown): string {
  if (!(cause instanceof Error)) return 'no answer'
  if ('code' in cause && (cause.name === 'MongoServerError' || cause.name.includes('WriteError'))) {
    const codeName = 'codeName' in cause && typeof cause.codeName === 'string' ? ` (${cause.codeName})` : ''
    return `MongoDB answered with error ${cause.code}${codeName}`
  }
  return `${cause.name}: ${cause.message}`
}
