import { endSocket } from '../byte-input.ts'
import { PostgresError } from '../failure.ts'
import type { DatabaseHosts, HostAddress } from '../hosts.ts'
import type { Upstream } from '../upstream.ts'
import { front } from '../wire/message.ts'
import { type Leftover, PooledConnection } from './connection.ts'
import type { PoolOptions } from './option.ts'
import type { Profile } from './profile.ts'

/** Logs in, by what cannot be said afterwards. */
export type OpenConnection = () => Promise<Upstream>

/** Of profiles whose reported settings are known. */
const maxFound = 1_000

/**
 * Connections of one database that are logged in and that nobody has just now, and how many there may be. Whoever takes one has a place
 * already (`SessionSlots`): with as many places as `size`, there is always one to be had, or room to open one.
 */
export class UpstreamPool {
  readonly mode: PoolOptions['mode']
  readonly size: number
  readonly #idleTimeoutMs: number
  readonly #lifetimeMs: number
  readonly #asksStanding: boolean
  /** The one that was used last is at the end. */
  readonly #idle: Idle[] = []
  /** By profile; the one found last is at the end. */
  readonly #found = new Map<string, ReadonlyMap<string, string>>()
  #open = 0
  /** Among the open ones those that are being closed. */
  readonly #closing = new Set<PooledConnection>()
  #retired = false

  constructor(options: PoolOptions, hosts: DatabaseHosts<HostAddress> | undefined) {
    this.mode = options.mode
    this.size = options.size
    this.#idleTimeoutMs = options.idle_timeout
    this.#lifetimeMs = options.lifetime
    this.#asksStanding = hosts !== undefined
    hosts?.onPrimary(() => this.#dropAll())
  }

  /** How many there are now: in use, and not. */
  get counts(): { readonly open: number; readonly idle: number } {
    return { open: this.#open, idle: this.#idle.length }
  }

  /** Reported settings, as a session with this profile has found them; `undefined`: none has been there, or not for long. */
  parametersOf({ id }: Profile): Map<string, string> | undefined {
    const found = this.#found.get(id)
    return found === undefined ? undefined : new Map(found)
  }

  /** One that needs nothing done to it. */
  takeReady({ key, id }: Profile): PooledConnection | undefined {
    const found = this.#idle.findLast(({ connection }) => connection.key === key && connection.profile === id)
    return found === undefined ? undefined : this.#wake(found)
  }

  /**
   * One with the profile in place.
   *
   * @throws {PostgresError} (rejects with) `postgres.upstream_login`
   * @throws (rejects with) what `open` throws, and `UpstreamRefusal` when the server refuses the profile
   */
  async take(profile: Profile, open: OpenConnection): Promise<PooledConnection> {
    const ready = this.takeReady(profile)
    if (ready !== undefined) return ready
    // One without a profile has nothing to be taken off; of the others the one that was not used for longest.
    for (let found = this.#fitting(profile.key); found !== undefined; found = this.#fitting(profile.key)) {
      const connection = this.#wake(found)
      if (await connection.prepare(profile)) return this.#note(connection, profile)
      connection.socket.destroy()
    }
    while (this.#open - this.#closing.size >= this.size && this.#idle[0] !== undefined) this.#drop(this.#idle[0])
    this.#open += 1
    let upstream: Upstream
    try {
      upstream = await open()
    } catch (error) {
      this.#open -= 1
      throw error
    }
    const connection = new PooledConnection(upstream, profile.key, this.#asksStanding)
    const closed = (): void => {
      this.#open -= 1
      this.#closing.delete(connection)
    }
    if (upstream.socket.closed) closed()
    else upstream.socket.once('close', closed)
    const isReady = upstream.rest.length === 0 && (this.mode === 'session' || (await connection.prepare(profile)))
    if (isReady) return this.#note(connection, profile)
    upstream.socket.destroy()
    throw new PostgresError('postgres.upstream_login', 'the session was not given what says who is asking')
  }

  /** Resolves when it can be had by somebody else, or is closed. Never rejects. */
  async giveBack(connection: PooledConnection, leftover: Leftover): Promise<void> {
    const { socket } = connection
    const isOld = performance.now() - connection.openedAt > this.#lifetimeMs
    if (leftover === 'unfit' || isOld || socket.destroyed || (this.#retired && this.mode === 'session')) {
      await this.#close(connection)
      return
    }
    if (leftover === 'state' || connection.isBeingCancelled) {
      try {
        await connection.reset()
      } catch {
        // Whatever it is: the next one is to have one of which everything is known.
        socket.destroy()
      }
    }
    if (connection.isDoubtful) await this.#close(connection)
    if (socket.destroyed) return
    this.#keep(connection)
  }

  /** Another configuration is in force. Sessions that began with this one go on; nobody else comes. */
  retire(): void {
    this.#retired = true
    this.#dropAll()
  }

  #note(connection: PooledConnection, { id }: Profile): PooledConnection {
    this.#found.delete(id)
    this.#found.set(id, new Map(connection.parameters))
    for (const [oldest] of this.#found) {
      if (this.#found.size <= maxFound) break
      this.#found.delete(oldest)
    }
    return connection
  }

  #fitting(key: string): Idle | undefined {
    const fitting = this.#idle.filter(({ connection }) => connection.key === key)
    return fitting.findLast(({ connection }) => connection.profile === undefined) ?? fitting[0]
  }

  #keep(connection: PooledConnection): void {
    const { socket } = connection
    const drop = (): void => this.#drop(idle)
    const left = this.#lifetimeMs - (performance.now() - connection.openedAt)
    const timer = setTimeout(drop, Math.max(0, Math.min(this.#idleTimeoutMs, left))).unref()
    const forget = (): void => {
      clearTimeout(timer)
      // Nobody asked: a server that stops says so, and anything else is as suspicious.
      socket.off('data', drop).off('end', drop).off('close', drop)
      const at = this.#idle.indexOf(idle)
      if (at >= 0) this.#idle.splice(at, 1)
    }
    const idle: Idle = { connection, forget }
    socket.on('data', drop).on('end', drop).on('close', drop)
    // What is only kept keeps no process alive.
    socket.unref()
    socket.resume()
    this.#idle.push(idle)
  }

  #wake({ connection, forget }: Idle): PooledConnection {
    forget()
    connection.socket.ref()
    connection.socket.pause()
    return connection
  }

  #drop(idle: Idle): void {
    idle.forget()
    void this.#close(idle.connection)
  }

  /** Resolves when it is closed. */
  async #close(connection: PooledConnection): Promise<void> {
    const { socket } = connection
    if (socket.closed) return
    this.#closing.add(connection)
    const closed = new Promise(resolve => socket.once('close', resolve))
    endSocket(socket, terminateMessage)
    await closed
  }

  #dropAll(): void {
    this.#found.clear()
    for (const idle of [...this.#idle]) this.#drop(idle)
  }
}

interface Idle {
  readonly connection: PooledConnection
  readonly forget: () => void
}

const terminateMessage = Buffer.from([front.terminate, 0, 0, 0, 4])
