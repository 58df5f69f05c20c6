import { parentPort, workerData } from 'node:worker_threads'
import type { ReadyCheck } from './admin/door.ts'
import { AdminError } from './admin/error.ts'
import type { SessionRow } from './admin/sessions.ts'
import { AccessBatch } from './audit/access-file.ts'
import { createAccessLog } from './audit/access-log.ts'
import { createMetrics } from './audit/metrics.ts'
import { joinSharedTrail, type TrailPlace } from './audit/shared-trail.ts'
import { type NoncePlace, openNonceMemory } from './authn/nonce-memory.ts'
import { openKeystore, type Surroundings } from './compose.ts'
import { composeLimits } from './compose-limits.ts'
import { ConfigError, parseSource } from './config/load.ts'
import { loadConfiguration } from './configuration.ts'
import { Doors, type ForwardedCancel, type GoodConfig, type NextState } from './doors.ts'
import { type NumbersPlace, sharedNumbers } from './limits/shared-numbers.ts'
import { createLog } from './log.ts'
import { createMeteredTrail } from './metered-trail.ts'
import { remoteSlots, type SlotAnswers } from './remote-slots.ts'
import { createThreadCalls } from './thread-calls.ts'
import { remoteTokenStore, type TokenAnswers } from './tokens/remote.ts'
import { answerRevoked, ownRevoked, type RevokedQuestion } from './tokens/revoked/remote.ts'
import { shareOf } from './worker-share.ts'

// The thread of one worker: doors like those of a gateway with one thread, and around them what all workers have together. Started by
// worker-threads.ts, which alone talks to it.

/** What a worker is born with. */
export interface WorkerStart {
  readonly configPath: string
  /** From 0. */
  readonly index: number
  readonly count: number
  /** This thread, as `Exclusion` counts them. */
  readonly thread: number
  readonly trail: TrailPlace
  readonly numbers: NumbersPlace
  readonly nonces: NoncePlace
  readonly version: string
  readonly startedAt: number
}

/** What a worker answers. `bytes`: of the configuration file, so that all of them read the same. */
export interface WorkerAnswers {
  start(asked: {
    readonly bytes: Uint8Array
    readonly addresses: Readonly<Record<string, string>>
  }): Promise<Readonly<Record<string, string>>>
  prepare(bytes: Uint8Array): Promise<void>
  commit(): void
  /** Nothing: that it comes back at all is the answer. */
  alive(): void
  abort(): Promise<void>
  checks(): Promise<readonly ReadyCheck[]>
  metrics(): string
  sessions(): readonly SessionRow[]
  endSessions(ids: ReadonlySet<string>): void
  cancel(request: ForwardedCancel): Promise<boolean>
  revoked(question: RevokedQuestion): Promise<unknown>
  /** Reads what is new in the list of what was revoked. */
  hearRevoked(): Promise<void>
  drain(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

/** What a worker asks of the first thread. */
export interface FirstThreadAnswers extends SlotAnswers, TokenAnswers {
  log(line: string): void
  /** Lines of the access log. */
  accessLines(lines: string): void
  /** What it has counted, so that it is not lost when this thread is. */
  counted(text: string): void
  cancelElsewhere(request: ForwardedCancel): Promise<void>
}

/** What was counted by a worker that ends between two of these is not in the metrics. */
const countedEveryMs = 1_000

if (parentPort === null) throw new Error('this is the thread of a worker')
const start = workerData as WorkerStart
const { configPath, index, count, thread } = start

const answers: WorkerAnswers = {
  async start({ bytes, addresses }) {
    const loaded = await load(bytes)
    doors = new Doors(await surroundingsOf(loaded), { addresses, index, cancel: first.cancelElsewhere })
    return doors.start(loaded)
  },
  async prepare(bytes) {
    next = await doors?.prepare(await load(bytes))
  },
  commit() {
    next?.commit()
    next = undefined
  },
  async abort() {
    await next?.abort()
    next = undefined
  },
  alive: () => {},
  checks: async () => (await doors?.checks()) ?? [],
  metrics: () => doors?.metrics() ?? '',
  sessions: () => doors?.sessions() ?? [],
  endSessions: ids => doors?.endSessions(ids),
  cancel: async request => (await doors?.cancel(request)) === true,
  async revoked(question) {
    const list = doors?.revoked
    if (list === undefined) throw new AdminError('admin.no_revocations', 'the configuration has no revocations')
    return answerRevoked(ownRevoked(list), question)
  },
  hearRevoked: async () => doors?.revoked?.load(),
  drain: async timeoutMs => doors?.drain(timeoutMs),
  async close() {
    await doors?.close()
    await closeLimits()
    accessLines.flush()
    await surroundings?.trail.close()
  },
}

let doors: Doors | undefined
let closeLimits: () => Promise<void> = async () => {}
let next: NextState | undefined
let surroundings: Surroundings | undefined
const calls = createThreadCalls<FirstThreadAnswers>(parentPort, { ...answers })
/** One thread writes the file: lines of two would be mixed where they go to a pipe. */
const accessLines = new AccessBatch(lines => calls.tell('accessLines', lines))
const first = {
  slotAsk: (question: Parameters<SlotAnswers['slotAsk']>[0]) => calls.call('slotAsk', question),
  slotLeave: (id: number) => calls.tell('slotLeave', id),
  slotResize: (size: Parameters<SlotAnswers['slotResize']>[0]) => calls.tell('slotResize', size),
  tokens: (question: Parameters<TokenAnswers['tokens']>[0]) => calls.call('tokens', question),
  cancelElsewhere: (request: ForwardedCancel) => calls.call('cancelElsewhere', request).catch(() => {}),
}

async function load(bytes: Uint8Array): Promise<GoodConfig> {
  const loaded = await loadConfiguration(configPath, parseSource(configPath, bytes))
  if (loaded.kind === 'ok') return { ...loaded, config: shareOf(loaded.config, count) }
  throw new ConfigError('config.invalid', `${configPath} has ${loaded.problems.length} problems`)
}

async function surroundingsOf({ config }: GoodConfig): Promise<Surroundings> {
  const metrics = createMetrics({ version: start.version }, start.startedAt)
  const log = createLog(line => calls.tell('log', line), Date.now, index + 1)
  const numbers = sharedNumbers(start.numbers, thread)
  const shared = joinSharedTrail(start.trail, thread, {
    file: config.audit.file,
    key: openKeystore(config, process.env).audit(),
    fsync: config.audit.fsync,
    clock: Date.now,
    onUnwritable: cause => {
      const message = 'the audit trail cannot be written: nothing is answered'
      log({ level: 'error', message, requestId: '-', cause })
    },
  })
  const counted = (): void => calls.tell('counted', metrics.expose())
  setInterval(counted, countedEveryMs).unref()
  process.once('exit', counted)
  const { limiter, throttle, close } = await composeLimits(config, { environment: process.env, log, metrics, numbers })
  closeLimits = close
  surroundings = {
    trail: createMeteredTrail(shared, metrics),
    metrics,
    clock: Date.now,
    log,
    accessLog: config.access_log && createAccessLog(config.access_log, accessLines, Date.now),
    throttle,
    limiter,
    numbers,
    nonces: openNonceMemory(start.nonces, thread),
    slots: remoteSlots(first),
    memoryTokens: remoteTokenStore(first),
  }
  return surroundings
}
