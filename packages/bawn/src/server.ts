import { type KeyObject, randomUUID } from 'node:crypto'
import { createLoginThrottle } from './accounts/throttle.ts'
import { type AdminDoor, createAdminDoor, type ReadyCheck } from './admin/door.ts'
import { problemAt, problemOf, type ReloadProblem, type ReloadResult } from './admin/reload.ts'
import { createMetrics } from './audit/metrics.ts'
import { openAuditTrail } from './audit/trail.ts'
import type { NameResolver } from './authn/host-names.ts'
import type { Identity } from './authn/identity.ts'
import { type Composition, compose, openKeystore, type Surroundings } from './compose.ts'
import { composeLimiter, type OpenLimiter } from './compose-limits.ts'
import { describeChanges, listenersThatDiffer } from './config/changes.ts'
import { type Config, ConfigError } from './config/load.ts'
import { probeFiles } from './config/probe.ts'
import { type Configuration, loadConfiguration, tellPlugins } from './configuration.ts'
import { GatewayError } from './error.ts'
import { createHttpDoor, type HttpDoor } from './http/door.ts'
import { createLog } from './log.ts'
import { createMeteredTrail, tellGateway } from './metered-trail.ts'
import { formatHostPort, parseHostPort, type ServerTls } from './option.ts'
import { listenPostgres, type PostgresListener } from './postgres/listener.ts'
import { SessionSlots } from './postgres/session-slots.ts'
import {
  endTakenBack,
  type RevocationWatch,
  watchSessions,
  watchStreams,
  watchTakenBack,
  watchTunnels,
} from './revocation.ts'
import { controlRevocations } from './revocation-control.ts'
import { type ListenerTls, openListenerTls } from './server-tls.ts'
import { killSessions, listSessions } from './session-control.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { packageVersion } from './version.ts'

/** What the command line starts; composed of every folder. */
export interface RunningServer {
  /** Really bound addresses by listener name. */
  readonly addresses: Readonly<Record<string, string>>
  /** Reads the configuration file again and swaps to it, or keeps the last good one. */
  reload(): Promise<ReloadResult>
  /** Takes no new connections, waits at most `timeoutMs` for open ones, then ends them. */
  close(timeoutMs: number): Promise<void>
}

export interface StartOptions {
  readonly configPath: string
  /** One line of the log, without its line feed. */
  readonly log: (line: string) => void
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** For names in host rules; the system's servers when it is not given. */
  readonly resolver?: NameResolver
}

type GoodConfig = Extract<Configuration, { kind: 'ok' }>

/** How long an admin connection may take to end: nothing that it answers is long. */
const adminCloseMs = 1_000

/** Starts every listener of a configuration file. @throws {GatewayError} whatever keeps it from starting */
export async function startServer({ configPath, log, clock, resolver }: StartOptions): Promise<RunningServer> {
  const loaded = await goodConfig(configPath)
  const { config } = loaded
  const startedAt = clock()
  const version = packageVersion()
  const metrics = createMetrics({ version }, startedAt)
  const entry = createLog(log, clock)
  const auditKey = openKeystore(config, process.env).audit()
  const limiter = await composeLimiter(config, process.env, entry)
  const trail = createMeteredTrail(
    openAuditTrail({
      file: config.audit.file,
      key: auditKey,
      fsync: config.audit.fsync,
      clock,
      onUnwritable: cause => {
        metrics.auditWritable.set(0)
        entry({
          level: 'error',
          message: 'the audit trail cannot be written: nothing is answered',
          requestId: '-',
          cause,
        })
      },
    }),
    metrics,
  )
  const throttle = createLoginThrottle({ now: () => performance.now() })
  const memoryTokens = createMemoryTokenStore()
  const slots = new SessionSlots()
  const surroundings: Surroundings = {
    trail,
    metrics,
    clock,
    log: entry,
    throttle,
    limiter,
    slots,
    memoryTokens,
    resolver,
  }
  const server = new Server(configPath, loaded, surroundings, auditKey, version, startedAt, limiter.close)
  try {
    await server.start()
    return server
  } catch (error) {
    await server.close(0)
    throw error
  }
}

class Server implements RunningServer {
  readonly #configPath: string
  readonly #surroundings: Surroundings
  readonly #auditKey: KeyObject
  readonly #version: string
  readonly #startedAt: number
  readonly #closeLimiter: OpenLimiter['close']
  #loaded: GoodConfig
  #current: Composition | undefined
  /** Replaced, and still used by what began on them. */
  readonly #retired = new Set<Composition>()
  #last: Promise<unknown> = Promise.resolve()
  #draining = false
  #closing: Promise<void> | undefined
  #revocation: readonly RevocationWatch[] = []
  readonly #http = new Map<string, HttpDoor>()
  readonly #postgres = new Map<string, PostgresListener>()
  readonly #admin: AdminDoor[] = []
  readonly #addresses: Record<string, string> = {}

  constructor(
    configPath: string,
    loaded: GoodConfig,
    surroundings: Surroundings,
    auditKey: KeyObject,
    version: string,
    startedAt: number,
    closeLimiter: OpenLimiter['close'],
  ) {
    this.#closeLimiter = closeLimiter
    this.#configPath = configPath
    this.#loaded = loaded
    this.#surroundings = surroundings
    this.#auditKey = auditKey
    this.#version = version
    this.#startedAt = startedAt
  }

  get addresses(): Readonly<Record<string, string>> {
    return this.#addresses
  }

  start(): Promise<void> {
    return this.#inTurn(() => this.#start())
  }

  /** The start and every reload, one after the other: of two at once, the one that read the older file could swap last. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }

  async #start(): Promise<void> {
    const { config, kinds, plugins } = this.#loaded
    tellPlugins(plugins, [], this.#surroundings.log)
    const composition = await compose(config, kinds, this.#surroundings, process.env)
    this.#current = composition
    this.#follow(composition)
    await composition.prime()
    for (const [name, listener] of Object.entries(config.listeners)) {
      this.#addresses[name] = await this.#listen(name, listener, composition).catch(error => {
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
    tellGateway(this.#surroundings, 'start', 'permit')
  }

  /** What is taken back ends at once; a session that began meanwhile, with the next round. */
  #follow(composition: Composition): void {
    composition.revoked?.onRevoked(() => this.#endTakenBack())
  }

  #endTakenBack(): void {
    const { revoked, isTakenBack } = this.#current ?? {}
    if (revoked !== undefined && isTakenBack !== undefined) endTakenBack(this.#postgres, this.#http, isTakenBack)
  }

  async #listen(name: string, listener: Config['listeners'][string], state: Composition): Promise<string> {
    const address = parseHostPort(listener.address)
    const { log, limiter } = this.#surroundings
    const tls = listener.door === 'admin' ? undefined : this.#tls(name, listener.tls)
    const rate = listener.door === 'admin' ? undefined : listener.rate_limit
    const rateLimit = rate && limiter.limit(`listener ${name}`, 'listener', rate)
    switch (listener.door) {
      case 'http': {
        const door = createHttpDoor({ listener, tls, rateLimit }, state.http, {
          requestId: randomUUID,
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
        const bound = await door.listen(address.host, address.port)
        this.#http.set(name, door)
        return formatHostPort(bound)
      }
      case 'postgres': {
        const options = { ...listener, databases: listener.databases, name, rateLimit, tls }
        const opened = await listenPostgres(address, options, state.postgres)
        this.#postgres.set(name, opened)
        return formatHostPort(opened.address)
      }
      case 'admin': {
        const door = await createAdminDoor(
          { address: listener.address, tokenFile: listener.token_file },
          {
            health: () => ({
              version: this.#version,
              uptime_seconds: Math.round((this.#surroundings.clock() - this.#startedAt) / 1000),
            }),
            ready: () => this.#ready(),
            metrics: () => this.#expose(),
            head: () => this.#surroundings.trail.head,
            reload: () => this.reload(),
            sessions: () => listSessions(this.#postgres),
            revocations: () => controlRevocations(this.#current?.revoked, this.#loaded.config, this.#surroundings),
            killSessions: (choice, by) => killSessions(this.#postgres, this.#surroundings.trail, choice, by),
          },
        )
        this.#admin.push(door)
        return door.address
      }
    }
  }

  #tls(name: string, tls: ServerTls | undefined): ListenerTls | undefined {
    return tls && openListenerTls(name, tls, this.#surroundings)
  }

  async #ready(): Promise<readonly ReadyCheck[]> {
    const checks = (await this.#current?.checks()) ?? []
    return [...checks, { name: 'audit', ok: this.#auditWritable() }, { name: 'not draining', ok: !this.#draining }]
  }

  #auditWritable(): boolean {
    try {
      this.#surroundings.trail.commit()
      this.#surroundings.metrics.auditWritable.set(1)
      return true
    } catch {
      return false
    }
  }

  #expose(): string {
    const { metrics } = this.#surroundings
    // Failing is told when it begins; that it is over shows only when somebody looks.
    this.#auditWritable()
    const sessions = [...this.#postgres.values()].reduce((sum, listener) => sum + listener.sessions().length, 0)
    metrics.sessions.set(sessions, 'postgres')
    return metrics.expose()
  }

  reload(): Promise<ReloadResult> {
    return this.#inTurn(() => this.#reload())
  }

  async #reload(): Promise<ReloadResult> {
    if (this.#draining) return { kind: 'refused', problems: [this.#stopping()] }
    const { metrics } = this.#surroundings
    const result = await this.#swap()
    metrics.reloads.add(result.kind === 'reloaded' ? 'swapped' : 'refused')
    tellGateway(this.#surroundings, 'reload', result.kind === 'reloaded' ? 'permit' : 'error')
    return result
  }

  async #swap(): Promise<ReloadResult> {
    const next = await loadConfiguration(this.#configPath)
    if (next.kind === 'invalid') return { kind: 'refused', problems: next.problems }
    const outside = probeFiles(next.config, next.source, process.env)
    const problems = [...outside.filter(({ level }) => level === 'error'), ...this.#needsRestart(next)]
    if (problems.length > 0) return { kind: 'refused', problems }
    let composition: Composition
    const renewed = new Map<string, ListenerTls>()
    try {
      for (const [name, listener] of Object.entries(next.config.listeners)) {
        if (listener.door !== 'admin' && listener.tls !== undefined)
          renewed.set(name, openListenerTls(name, listener.tls, this.#surroundings))
      }
      if (!openKeystore(next.config, process.env).audit().equals(this.#auditKey)) {
        return { kind: 'refused', problems: [otherAuditKey(next)] }
      }
      tellPlugins(next.plugins, this.#loaded.plugins, this.#surroundings.log)
      composition = await compose(next.config, next.kinds, this.#surroundings, process.env)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      return { kind: 'refused', problems: [problemOf(this.#configPath, error)] }
    }
    await composition.prime()
    if (this.#draining) {
      await composition.close()
      return { kind: 'refused', problems: [this.#stopping()] }
    }
    const before = this.#current
    this.#current = composition
    this.#follow(composition)
    for (const door of this.#http.values()) door.swap(composition.http)
    for (const listener of this.#postgres.values()) listener.swap(composition.postgres)
    for (const [name, files] of renewed) (this.#http.get(name) ?? this.#postgres.get(name))?.renewTls(files)
    if (before !== undefined) {
      this.#retired.add(before)
      before.retire(composition, () => this.#retired.delete(before))
    }
    const changes = describeChanges(this.#loaded.config, next.config)
    this.#loaded = next
    return { kind: 'reloaded', changes, warnings: [...next.warnings, ...outside] }
  }

  /** What is bound for good at start: addresses, and the trail. */
  #needsRestart({ config, source }: GoodConfig): readonly ReloadProblem[] {
    const before = this.#loaded.config
    const paths = listenersThatDiffer(before, config).map(name => ['listeners', name])
    if (JSON.stringify(before.rate_limits) !== JSON.stringify(config.rate_limits)) paths.push(['rate_limits'])
    if (JSON.stringify(before.audit) !== JSON.stringify({ ...config.audit, statements: before.audit.statements })) {
      paths.push(['audit'])
    }
    return paths.map(path =>
      source.problem(
        'error',
        source.locate(path, 'key'),
        path,
        'this cannot change while the gateway runs',
        'restart it',
      ),
    )
  }

  #stopping(): ReloadProblem {
    return problemAt(this.#configPath, 'the gateway is stopping', 'start it again: it reads the file then')
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    for (const watch of this.#revocation) watch.close()
    this.#draining = true
    // Whatever a door has to say, the trail is closed and its lock given back.
    await Promise.allSettled([
      ...[...this.#http.values()].map(door => door.drain(timeoutMs)),
      ...[...this.#postgres.values()].map(listener => listener.drain(timeoutMs)),
    ])
    await Promise.race([Promise.allSettled(this.#admin.map(door => door.close())), expired(adminCloseMs)])
    tellGateway(this.#surroundings, 'stop', 'permit')
    await Promise.all([this.#current?.close(), ...Array.from(this.#retired, retired => retired.close())])
    await this.#closeLimiter()
    await this.#surroundings.trail.close()
  }
}

async function goodConfig(configPath: string): Promise<GoodConfig> {
  const loaded = await loadConfiguration(configPath)
  if (loaded.kind === 'ok') return loaded
  throw new ConfigError('config.invalid', `${configPath} has ${loaded.problems.length} problems`)
}

/** The trail goes on with the key that it was opened with: what was written since could not be verified after a restart. */
function otherAuditKey({ source }: GoodConfig): ReloadProblem {
  const path = ['keys', 'store']
  return source.problem(
    'error',
    source.locate(path, 'key'),
    path,
    'its audit key is not the one that the trail is written with, which cannot change while the gateway runs',
    'copy the audit key (secure_log_key), or begin another audit.file and restart',
  )
}

function isSystemError(error: unknown, call: string): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === call
}

function expired(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms).unref()
  })
}
