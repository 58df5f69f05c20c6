import type { KeyObject } from 'node:crypto'
import { type AccessOutput, openAccessOutput } from './access-output.ts'
import { type AdminDoor, createAdminDoor, type ReadyCheck } from './admin/door.ts'
import { problemAt, problemOf, type ReloadProblem, type ReloadResult } from './admin/reload.ts'
import { createAccessLog } from './audit/access-log.ts'
import type { AuditTrail } from './audit/event.ts'
import { createMetrics, type Metrics } from './audit/metrics.ts'
import { firstThread, openSharedTrail } from './audit/shared-trail.ts'
import { type AuditTrailOptions, openAuditTrail } from './audit/trail.ts'
import type { NameResolver } from './authn/host-names.ts'
import { createNoncePlace, openNonceMemory } from './authn/nonce-memory.ts'
import { openKeystore } from './compose.ts'
import { composeLimits } from './compose-limits.ts'
import { describeChanges, listenersThatDiffer } from './config/changes.ts'
import { ConfigError } from './config/load.ts'
import { probeFiles } from './config/probe.ts'
import { loadConfiguration, tellPlugins } from './configuration.ts'
import { Doors, type GoodConfig } from './doors.ts'
import { GatewayError } from './error.ts'
import { SessionSlots } from './limits/session-slots.ts'
import { createLog } from './log.ts'
import { createMeteredTrail, tellGateway } from './metered-trail.ts'
import type { LogEntry } from './postgres/state.ts'
import { controlRevocations } from './revocation-control.ts'
import { chooseSessions } from './session-control.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { packageVersion } from './version.ts'
import { WorkerThreads } from './worker-threads.ts'
import { workerCount } from './workers/option.ts'
import { type NextWorkers, ownThread, type Workers } from './workers.ts'

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
  /** For names in host rules; the system's servers when it is not given. Of one worker alone: a function cannot be given to others. */
  readonly resolver?: NameResolver
}

/** How long an admin connection may take to end: nothing that it answers is long. */
const adminCloseMs = 1_000
/** How long the last lines of the access log may take. */
const accessCloseMs = 2_000

/** Starts every listener of a configuration file. @throws {GatewayError} whatever keeps it from starting */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const { configPath, log, clock } = options
  const loaded = await goodConfig(configPath)
  const { config } = loaded
  const startedAt = clock()
  const version = packageVersion()
  const metrics = createMetrics({ version }, startedAt)
  const entry = createLog(log, clock)
  const auditKey = openKeystore(config, process.env).audit()
  const trailOptions: AuditTrailOptions = {
    file: config.audit.file,
    key: auditKey,
    fsync: config.audit.fsync,
    clock,
    onUnwritable: cause => {
      metrics.auditWritable.set(0)
      entry({ level: 'error', message: unwritable, requestId: '-', cause })
    },
  }
  const accessFile = await openAccessOutput(config.access_log, metrics, entry)
  const parts = { configPath, loaded, metrics, clock, log: entry, auditKey, version, startedAt, accessFile }
  const count = workerCount(config.workers)
  const server =
    count === 1 ? await oneThread(parts, trailOptions, options.resolver) : manyThreads(parts, trailOptions, count, log)
  try {
    await server.start()
    return server
  } catch (error) {
    await server.close(0)
    throw error
  }
}

export const unwritable = 'the audit trail cannot be written: nothing is answered'

async function oneThread(
  parts: ServerParts,
  trailOptions: AuditTrailOptions,
  resolver: NameResolver | undefined,
): Promise<Server> {
  const { loaded, metrics, clock, log, accessFile, startedAt } = parts
  const { limiter, throttle, close } = await composeLimits(loaded.config, { environment: process.env, log, metrics })
  const trail = createMeteredTrail(openAuditTrail(trailOptions), metrics)
  const { access_log: options } = loaded.config
  const doors = new Doors({
    trail,
    metrics,
    clock,
    log,
    accessLog: options && accessFile && createAccessLog(options, accessFile, clock),
    resolver,
    throttle,
    limiter,
    slots: new SessionSlots(),
    nonces: openNonceMemory(createNoncePlace(startedAt), firstThread),
    memoryTokens: createMemoryTokenStore(),
  })
  return new Server(parts, trail, () => ownThread(doors, close))
}

function manyThreads(
  parts: ServerParts,
  trailOptions: AuditTrailOptions,
  count: number,
  writeLog: (line: string) => void,
): Server {
  const { configPath, metrics, log, version, startedAt, accessFile } = parts
  const shared = openSharedTrail(trailOptions)
  const trail = createMeteredTrail(shared, metrics)
  return new Server(
    parts,
    trail,
    ({ inTurn, tell }) =>
      new WorkerThreads({
        ...{ configPath, count, version, startedAt, trail: shared, metrics, log, accessFile, writeLog, inTurn, tell },
      }),
  )
}

interface ServerParts {
  readonly configPath: string
  readonly loaded: GoodConfig
  readonly metrics: Metrics
  /** Milliseconds since 1970. */
  readonly clock: () => number
  readonly log: (entry: LogEntry) => void
  readonly auditKey: KeyObject
  readonly version: string
  readonly startedAt: number
  /** `undefined`: no access log is written. */
  readonly accessFile: AccessOutput | undefined
}

/** What workers may ask of the server. */
export interface ServerTurns {
  /** The start, every reload and every worker's, one after the other: of two at once, the one that read the older file could swap last. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  /** A line of the trail about the gateway itself. */
  tell(action: string, decision: 'permit' | 'error', resource: string): void
}

class Server implements RunningServer {
  readonly #parts: ServerParts
  readonly #trail: AuditTrail
  readonly #workers: Workers
  #loaded: GoodConfig
  #last: Promise<unknown> = Promise.resolve()
  #draining = false
  #closing: Promise<void> | undefined
  readonly #admin: AdminDoor[] = []
  #addresses: Readonly<Record<string, string>> = {}

  constructor(parts: ServerParts, trail: AuditTrail, createWorkers: (turns: ServerTurns) => Workers) {
    this.#parts = parts
    this.#trail = trail
    this.#loaded = parts.loaded
    this.#workers = createWorkers({
      inTurn: work => this.#inTurn(work),
      tell: (action, decision, resource) => this.#tell(action, decision, resource, 'worker'),
    })
  }

  get addresses(): Readonly<Record<string, string>> {
    return this.#addresses
  }

  start(): Promise<void> {
    return this.#inTurn(() => this.#start())
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }

  async #start(): Promise<void> {
    const { config, plugins } = this.#loaded
    tellPlugins(plugins, [], this.#parts.log)
    const bound: Record<string, string> = { ...(await this.#workers.start(this.#loaded)) }
    for (const [name, listener] of Object.entries(config.listeners)) {
      if (listener.door === 'admin') bound[name] = await this.#openAdmin(listener)
    }
    // In order of the file.
    this.#addresses = Object.fromEntries(Object.keys(config.listeners).map(name => [name, bound[name] ?? '']))
    this.#tell('start', 'permit')
  }

  async #openAdmin(listener: { readonly address: string; readonly token_file: string }): Promise<string> {
    const { version, clock, startedAt } = this.#parts
    const door = await createAdminDoor(
      { address: listener.address, tokenFile: listener.token_file },
      {
        health: () => ({ version, uptime_seconds: Math.round((clock() - startedAt) / 1000) }),
        ready: () => this.#ready(),
        metrics: () => {
          // Failing is told when it begins; that it is over shows only when somebody looks.
          this.#auditWritable()
          return this.#workers.metrics()
        },
        head: () => this.#trail.head,
        reload: () => this.reload(),
        sessions: () => this.#sessions(),
        revocations: () =>
          controlRevocations(this.#workers.revoked(), this.#loaded.config, { ...this.#parts, trail: this.#trail }),
        killSessions: async (choice, by) => {
          const chosen = chooseSessions(await this.#sessions(), this.#trail, choice, by)
          await this.#workers.endSessions(new Set(chosen.map(({ id }) => id)))
          return chosen
        },
      },
    )
    this.#admin.push(door)
    return door.address
  }

  async #sessions() {
    const rows = await this.#workers.sessions()
    return [...rows].sort((one, other) => Date.parse(one.since) - Date.parse(other.since))
  }

  async #ready(): Promise<readonly ReadyCheck[]> {
    const checks = await this.#workers.checks()
    return [...checks, { name: 'audit', ok: this.#auditWritable() }, { name: 'not draining', ok: !this.#draining }]
  }

  #auditWritable(): boolean {
    try {
      this.#trail.commit()
      this.#parts.metrics.auditWritable.set(1)
      return true
    } catch {
      return false
    }
  }

  reload(): Promise<ReloadResult> {
    return this.#inTurn(() => this.#reload())
  }

  async #reload(): Promise<ReloadResult> {
    if (this.#draining) return { kind: 'refused', problems: [this.#stopping()] }
    // Whatever the configuration says by now: who has moved the file away asks for another one by a reload.
    await this.#parts.accessFile?.reopen()
    const result = await this.#swap()
    this.#parts.metrics.reloads.add(result.kind === 'reloaded' ? 'swapped' : 'refused')
    this.#tell('reload', result.kind === 'reloaded' ? 'permit' : 'error')
    return result
  }

  async #swap(): Promise<ReloadResult> {
    const { configPath, auditKey, log } = this.#parts
    const next = await loadConfiguration(configPath)
    if (next.kind === 'invalid') return { kind: 'refused', problems: next.problems }
    const outside = probeFiles(next.config, next.source, process.env)
    const problems = [...outside.filter(({ level }) => level === 'error'), ...this.#needsRestart(next)]
    if (problems.length > 0) return { kind: 'refused', problems }
    let state: NextWorkers
    try {
      if (!openKeystore(next.config, process.env).audit().equals(auditKey)) {
        return { kind: 'refused', problems: [otherAuditKey(next)] }
      }
      tellPlugins(next.plugins, this.#loaded.plugins, log)
      state = await this.#workers.prepare(next)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      return { kind: 'refused', problems: [problemOf(configPath, error)] }
    }
    if (this.#draining) {
      await state.abort()
      return { kind: 'refused', problems: [this.#stopping()] }
    }
    await state.commit()
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
    if (JSON.stringify(before.access_log) !== JSON.stringify(config.access_log)) paths.push(['access_log'])
    if (workerCount(before.workers) !== workerCount(config.workers)) paths.push(['workers'])
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
    return problemAt(this.#parts.configPath, 'the gateway is stopping', 'start it again: it reads the file then')
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#draining = true
    // Whatever a door has to say, the trail is closed and its lock given back.
    await Promise.allSettled([this.#workers.drain(timeoutMs)])
    await Promise.race([Promise.allSettled(this.#admin.map(door => door.close())), expired(adminCloseMs)])
    this.#tell('stop', 'permit')
    await this.#workers.close()
    await this.#parts.accessFile?.close(accessCloseMs)
    await this.#trail.close()
  }

  #tell(action: string, decision: 'permit' | 'error', resource?: string, rule?: string): void {
    tellGateway({ trail: this.#trail, log: this.#parts.log }, action, decision, resource, rule)
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

function expired(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms).unref()
  })
}
