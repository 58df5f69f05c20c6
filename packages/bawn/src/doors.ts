import type { ReadyCheck } from './admin/door.ts'
import type { SessionRow } from './admin/sessions.ts'
import type { Identity } from './authn/identity.ts'
import { type Composition, compose, type Surroundings } from './compose.ts'
import type { Config } from './config/load.ts'
import type { Configuration } from './configuration.ts'
import { GatewayError } from './error.ts'
import { createHttpDoor, type HttpDoor } from './http/door.ts'
import { createRequestIds } from './http/request-id.ts'
import { formatHostPort, parseHostPort } from './option.ts'
import { listenPostgres, type PostgresListener } from './postgres/listener.ts'
import {
  endTakenBack,
  type RevocationWatch,
  watchSessions,
  watchStreams,
  watchTakenBack,
  watchTunnels,
} from './revocation.ts'
import { type ListenerTls, openListenerTls } from './server-tls.ts'
import { endSessions, listSessions } from './session-control.ts'

export type GoodConfig = Extract<Configuration, { kind: 'ok' }>

/** A state that is ready to take the place of the one that serves: one of the two is called. */
export interface NextState {
  /** From now on it serves; what is under way ends on the state it began with. */
  commit(): void
  abort(): Promise<void>
}

/** What tells one thread with doors from others of the gateway. */
export interface ThreadPlace {
  /** Where listeners are bound by now, by name; others as the configuration says. */
  readonly addresses: Readonly<Record<string, string>>
  readonly index: number
  /** A cancel request that is for no session of this thread. Never rejects. */
  cancel(request: ForwardedCancel): Promise<void>
}

export interface ForwardedCancel {
  /** The thread that it has come to, by its index. */
  readonly from: number
  readonly listener: string
  readonly processId: number
  readonly key: Uint8Array
}

type Listeners = Config['listeners']

/** Every door of one thread but that of operators, and the composition behind them. */
export class Doors {
  readonly #surroundings: Surroundings
  readonly #place: ThreadPlace | undefined
  #current: Composition | undefined
  /** Replaced, and still used by what began on them. */
  readonly #retired = new Set<Composition>()
  #revocation: readonly RevocationWatch[] = []
  readonly #http = new Map<string, HttpDoor>()
  readonly #postgres = new Map<string, PostgresListener>()

  /** @param place `undefined`: there is one thread */
  constructor(surroundings: Surroundings, place?: ThreadPlace) {
    this.#surroundings = surroundings
    this.#place = place
  }

  /** @returns really bound addresses by listener name. @throws {GatewayError} (rejects with) whatever keeps it from starting */
  async start({ config, kinds }: GoodConfig): Promise<Readonly<Record<string, string>>> {
    const composition = await compose(config, kinds, this.#surroundings, process.env)
    this.#current = composition
    this.#follow(composition)
    await composition.prime()
    const addresses: Record<string, string> = {}
    for (const [name, listener] of Object.entries(config.listeners)) {
      if (listener.door === 'admin') continue
      addresses[name] = await this.#listen(name, listener, composition).catch(error => {
        throw isSystemError(error, 'listen')
          ? new GatewayError('gateway.listen', `listener ${name} cannot have ${listener.address}`, { cause: error })
          : error
      })
    }
    const isOver = async (who: Identity): Promise<boolean> => (await this.#current?.isRevoked(who)) === true
    this.#revocation = [
      watchSessions(this.#postgres, isOver),
      watchStreams(this.#http, isOver),
      watchTunnels(this.#http, isOver),
      watchTakenBack(() => this.#endTakenBack()),
    ]
    return addresses
  }

  /** What is taken back ends at once; a session that began meanwhile, with the next round. */
  #follow(composition: Composition): void {
    composition.revoked?.onRevoked(() => this.#endTakenBack())
  }

  #endTakenBack(): void {
    const { revoked, isTakenBack } = this.#current ?? {}
    if (revoked !== undefined && isTakenBack !== undefined) endTakenBack(this.#postgres, this.#http, isTakenBack)
  }

  /** What was taken back before its end; `undefined` where the configuration keeps nothing of that. */
  get revoked(): Composition['revoked'] {
    return this.#current?.revoked
  }

  async #listen(
    name: string,
    listener: Exclude<Listeners[string], { door: 'admin' }>,
    state: Composition,
  ): Promise<string> {
    const place = this.#place
    const address = parseHostPort(place?.addresses[name] ?? listener.address)
    const { log, limiter, accessLog } = this.#surroundings
    const tls = listener.tls && openListenerTls(name, listener.tls, this.#surroundings)
    const rate = listener.rate_limit
    const rateLimit = rate && limiter.limit(`listener ${name}`, 'listener', rate)
    switch (listener.door) {
      case 'http': {
        const door = createHttpDoor({ name, listener, tls, rateLimit }, state.http, {
          slots: this.#surroundings.slots,
          requestId: createRequestIds(),
          accessLog,
          log: {
            error: (message, detail) =>
              log({
                level: 'error',
                message,
                requestId: String(detail['requestId'] ?? '-'),
                cause: detail['error'] ?? detail['cause'],
              }),
          },
        })
        const bound = await door.listen(address.host, address.port, place !== undefined)
        this.#http.set(name, door)
        return formatHostPort(bound)
      }
      case 'postgres': {
        const threads = place && {
          cancel: (processId: number, key: Uint8Array) =>
            place.cancel({ from: place.index, listener: name, processId, key }),
        }
        const options = { ...listener, databases: listener.databases, name, rateLimit, tls, threads, accessLog }
        const opened = await listenPostgres(address, options, state.postgres, place !== undefined)
        this.#postgres.set(name, opened)
        return formatHostPort(opened.address)
      }
    }
  }

  /** Composes the next state beside the running one. @throws {GatewayError} (rejects with) whatever keeps it from being served */
  async prepare({ config, kinds }: GoodConfig): Promise<NextState> {
    const renewed = new Map<string, ListenerTls>()
    for (const [name, listener] of Object.entries(config.listeners)) {
      if (listener.door !== 'admin' && listener.tls !== undefined)
        renewed.set(name, openListenerTls(name, listener.tls, this.#surroundings))
    }
    const composition = await compose(config, kinds, this.#surroundings, process.env)
    await composition.prime()
    return {
      commit: () => this.#swap(composition, renewed),
      abort: () => composition.close(),
    }
  }

  #swap(composition: Composition, renewed: ReadonlyMap<string, ListenerTls>): void {
    const before = this.#current
    this.#current = composition
    this.#follow(composition)
    for (const door of this.#http.values()) door.swap(composition.http)
    for (const listener of this.#postgres.values()) listener.swap(composition.postgres)
    for (const [name, files] of renewed) (this.#http.get(name) ?? this.#postgres.get(name))?.renewTls(files)
    if (before === undefined) return
    this.#retired.add(before)
    before.retire(composition, () => this.#retired.delete(before))
  }

  async checks(): Promise<readonly ReadyCheck[]> {
    return (await this.#current?.checks()) ?? []
  }

  sessions(): readonly SessionRow[] {
    return listSessions(this.#postgres)
  }

  /** @param ids of sessions */
  endSessions(ids: ReadonlySet<string>): void {
    endSessions(this.#postgres, ids)
  }

  /** Everything that this thread counts. */
  metrics(): string {
    const { metrics } = this.#surroundings
    const sessions = [...this.#postgres.values()].reduce((sum, listener) => sum + listener.sessions().length, 0)
    metrics.sessions.set(sessions, 'postgres')
    return metrics.expose()
  }

  /** For a session of this thread. @returns whether it was */
  async cancel({ listener, processId, key }: ForwardedCancel): Promise<boolean> {
    return (await this.#postgres.get(listener)?.cancel(processId, key)) === true
  }

  /** Takes no new connections, waits at most `timeoutMs` for open ones, then ends them. */
  async drain(timeoutMs: number): Promise<void> {
    for (const watch of this.#revocation) watch.close()
    await Promise.allSettled([
      ...[...this.#http.values()].map(door => door.drain(timeoutMs)),
      ...[...this.#postgres.values()].map(listener => listener.drain(timeoutMs)),
    ])
  }

  /** Gives back what the states have. */
  async close(): Promise<void> {
    await Promise.all([this.#current?.close(), ...Array.from(this.#retired, retired => retired.close())])
  }
}

function isSystemError(error: unknown, call: string): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === call
}
