import { createServer } from 'node:net'
import { Worker } from 'node:worker_threads'
import type { ReadyCheck } from './admin/door.ts'
import type { SessionRow } from './admin/sessions.ts'
import type { AccessSink } from './audit/access-file.ts'
import type { Metrics } from './audit/metrics.ts'
import { sumExpositions } from './audit/metrics-sum.ts'
import { firstThread, type SharedTrail } from './audit/shared-trail.ts'
import { createNoncePlace, type NoncePlace, nonceThreadEnded } from './authn/nonce-memory.ts'
import type { ForwardedCancel, GoodConfig } from './doors.ts'
import { GatewayError } from './error.ts'
import { SessionSlots } from './limits/session-slots.ts'
import { createNumbersPlace, numbersThreadEnded } from './limits/shared-numbers.ts'
import { listening } from './listening.ts'
import { parseHostPort } from './option.ts'
import type { LogEntry } from './postgres/state.ts'
import { processSecret } from './process-secret.ts'
import { slotsOfWorker } from './remote-slots.ts'
import type { ServerTurns } from './server.ts'
import { createThreadCalls, type ThreadCalls } from './thread-calls.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { tokenAnswers } from './tokens/remote.ts'
import { type RevokedDesk, remoteRevoked } from './tokens/revoked/remote.ts'
import type { FirstThreadAnswers, WorkerAnswers, WorkerStart } from './worker.ts'
import type { NextWorkers, Workers } from './workers.ts'

/** Of a worker that does not stay: it is started again after the first, then twice as long each time, up to the last. */
const backOffMs = { first: 100, last: 30_000 } as const
/** A worker that has served for so long begins anew with the first back-off. */
const steadyMs = 60_000
/** How long a worker that is asked by an operator may take; one that has stopped answering is told of. */
const answerMs = 10_000
/** Of one that is asked about a cancel request: anybody may send one. */
const cancelMs = 2_000
/** A worker that is asked whether it is there, during a reload, and says nothing for so long, hangs: another one takes its place. */
const hungMs = 20_000
const askEveryMs = 1_000

export interface WorkerThreadsOptions extends ServerTurns {
  readonly configPath: string
  readonly count: number
  readonly version: string
  readonly startedAt: number
  readonly trail: SharedTrail
  readonly metrics: Metrics
  readonly log: (entry: LogEntry) => void
  /** `undefined`: no access log is written. */
  readonly accessFile: AccessSink | undefined
  /** Takes whole lines of the log, of workers. */
  readonly writeLog: (line: string) => void
}

/** A worker that runs. */
interface Running {
  readonly index: number
  readonly worker: Worker
  readonly calls: ThreadCalls<WorkerAnswers>
  readonly since: number
  /** Listens. */
  serves: boolean
  /** What it had counted when it last said so. */
  counted: string
}

/** Several threads that serve, and what they have together (docs/decisions/0028). */
export class WorkerThreads implements Workers {
  readonly #options: WorkerThreadsOptions
  readonly #numbers = createNumbersPlace()
  readonly #nonces: NoncePlace
  readonly #slots = new SessionSlots()
  readonly #tokens = tokenAnswers(createMemoryTokenStore())
  readonly #running = new Map<number, Running>()
  readonly #backOff = new Map<number, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #current: GoodConfig | undefined
  #addresses: Readonly<Record<string, string>> = {}
  /** Of workers that have ended. */
  #counted = ''
  #stopping = false

  constructor(options: WorkerThreadsOptions) {
    this.#options = options
    this.#nonces = createNoncePlace(options.startedAt)
    // Before the first of them, so that it is the same in all.
    processSecret('workers')
  }

  async start(loaded: GoodConfig): Promise<Readonly<Record<string, string>>> {
    this.#current = loaded
    for (const [name, listener] of Object.entries(loaded.config.listeners)) {
      if (listener.door !== 'admin') await refuseTaken(name, listener.address)
    }
    // The first one takes the ports that the system gives for 0; the others share them.
    this.#addresses = await this.#launch(0)
    await Promise.all(Array.from({ length: this.#options.count - 1 }, (_, n) => this.#launch(n + 1)))
    return this.#addresses
  }

  async #launch(index: number): Promise<Readonly<Record<string, string>>> {
    const { configPath, count, version, startedAt, trail } = this.#options
    const loaded = this.#current
    if (loaded === undefined) throw new TypeError('a worker before the configuration')
    const thread = firstThread + 1 + index
    const data: WorkerStart = {
      ...{ configPath, index, count, thread, version, startedAt },
      ...{ trail: trail.place, numbers: this.#numbers, nonces: this.#nonces },
    }
    // Built packages hold JavaScript under the same names.
    const file = new URL(import.meta.url.endsWith('.ts') ? 'worker.ts' : 'worker.js', import.meta.url)
    const worker = new Worker(file, { workerData: data, name: `worker ${index + 1}` })
    const slots = slotsOfWorker(this.#slots)
    const answers: FirstThreadAnswers = {
      ...slots,
      ...this.#tokens,
      log: line => this.#options.writeLog(line),
      accessLines: lines => this.#options.accessFile?.write(lines),
      counted: text => {
        running.counted = text
      },
      cancelElsewhere: request => this.#cancelElsewhere(request),
    }
    const calls = createThreadCalls<WorkerAnswers>(worker, { ...answers })
    const running: Running = { index, worker, calls, since: performance.now(), serves: false, counted: '' }
    let cause: unknown
    worker.once('error', error => {
      cause = error
    })
    worker.once('exit', () => {
      this.#running.delete(index)
      trail.ended(thread)
      numbersThreadEnded(this.#numbers, thread, firstThread)
      nonceThreadEnded(this.#nonces, thread, firstThread)
      slots.ended()
      this.#counted = sumExpositions('', [], [this.#counted, running.counted])
      const error = new GatewayError('gateway.worker_ended', `worker ${index + 1} has ended`, { cause })
      calls.end(error)
      if (running.serves && !this.#stopping) this.#restart(index, running, error)
    })
    this.#running.set(index, running)
    try {
      const asked = { bytes: loaded.source.bytes, addresses: this.#addresses }
      const addresses = await calls.call('start', asked)
      running.serves = true
      return addresses
    } catch (error) {
      await worker.terminate()
      throw error
    }
  }

  /** Loudly: its sessions are gone, and whatever was under way in it. */
  #restart(index: number, { since }: Pick<Running, 'since'>, error: GatewayError): void {
    const { log, tell, inTurn, metrics } = this.#options
    const isSteady = performance.now() - since > steadyMs
    const waitMs = isSteady ? backOffMs.first : (this.#backOff.get(index) ?? backOffMs.first)
    this.#backOff.set(index, Math.min(waitMs * 2, backOffMs.last))
    const message = `worker ${index + 1} has ended, and its connections with it: it is started again in ${waitMs} ms`
    log({ level: 'error', message, requestId: '-', cause: error })
    tell('worker ended', 'error', `worker ${index + 1}`)
    metrics.workerEnds.add()
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void inTurn(async () => {
        if (this.#stopping) return
        const launchedAt = performance.now()
        try {
          await this.#launch(index)
          log({ level: 'warn', message: `worker ${index + 1} serves again`, requestId: '-' })
          tell('worker started', 'permit', `worker ${index + 1}`)
        } catch (cause) {
          const again = new GatewayError('gateway.worker_ended', `worker ${index + 1} did not start`, { cause })
          if (!this.#stopping) this.#restart(index, { since: launchedAt }, again)
        }
      })
    }, waitMs)
    this.#timers.add(timer)
  }

  async prepare(next: GoodConfig): Promise<NextWorkers> {
    const workers = this.#serving()
    const abort = async (): Promise<void> => {
      await Promise.allSettled(workers.map(one => this.#unlessHung(one, one.calls.call('abort'))))
    }
    const prepared = await Promise.allSettled(
      workers.map(one => this.#unlessHung(one, one.calls.call('prepare', next.source.bytes))),
    )
    const failures = prepared.flatMap(one => (one.status === 'rejected' ? [one.reason] : []))
    // One that has ended begins anew when the reload is over, with what is in force then.
    const failed =
      failures.find(error => !hasEnded(error)) ?? (failures.length === workers.length ? failures[0] : undefined)
    if (failed !== undefined) {
      await abort()
      throw failed
    }
    return {
      abort,
      commit: async () => {
        // Whoever ends from now on is started again with it.
        this.#current = next
        await Promise.all(
          workers.map(one =>
            // It has the old one or half of the new one: neither may serve.
            this.#unlessHung(one, one.calls.call('commit')).catch(() => one.worker.terminate()),
          ),
        )
      },
    }
  }

  /** Work of a worker that may take long, while it says that it is there. One that does not is ended, and so is the work. */
  async #unlessHung<Result>({ worker, calls }: Running, work: Promise<Result>): Promise<Result> {
    let isOver = false
    const watch = async (): Promise<void> => {
      while (!isOver) {
        await withTimeout(calls.call('alive'), hungMs, new GatewayError('gateway.worker_silent', 'it does not answer'))
        await new Promise(resolve => setTimeout(resolve, askEveryMs))
      }
    }
    watch().catch(cause => {
      if (isOver || hasEnded(cause)) return
      const message = `${worker.threadName} has not answered for ${hungMs} ms during a reload: it is ended`
      this.#options.log({ level: 'error', message, requestId: '-', cause })
      void worker.terminate()
    })
    try {
      return await work
    } finally {
      isOver = true
    }
  }

  /** Whichever worker has the session, every other one is asked, until it says so. One that hangs keeps nobody. */
  async #cancelElsewhere(request: ForwardedCancel): Promise<void> {
    const tooLate = new GatewayError('gateway.worker_silent', 'a worker does not answer')
    const others = [...this.#running].flatMap(([index, { calls }]) => (index === request.from ? [] : [calls]))
    const asked = others.map(async calls => {
      // The first that succeeds is waited for: not to have it counts as a failure.
      if (!(await withTimeout(calls.call('cancel', request), cancelMs, tooLate))) throw tooLate
    })
    await Promise.any(asked).catch(() => {})
  }

  #serving(): readonly Running[] {
    return [...this.#running.values()].filter(({ serves }) => serves)
  }

  /** Asks every worker that serves. One that ends meanwhile has no part in it. */
  async #all<Result>(
    ask: (calls: ThreadCalls<WorkerAnswers>, worker: number) => Promise<Result>,
  ): Promise<readonly Result[]> {
    const asked = this.#serving().map(running => timely(running, calls => ask(calls, running.index + 1)))
    const answers = await Promise.allSettled(asked)
    return answers.flatMap(one => {
      if (one.status === 'fulfilled') return [one.value]
      if (hasEnded(one.reason)) return []
      throw one.reason
    })
  }

  /** Each check once: it is good where it is good for every worker. */
  async checks(): Promise<readonly ReadyCheck[]> {
    const found = new Map<string, ReadyCheck>()
    for (const check of (await this.#all(calls => calls.call('checks'))).flat()) {
      if (found.get(check.name)?.ok !== false) found.set(check.name, check)
    }
    const workers = Array.from({ length: this.#options.count }, (_, index) => ({
      name: `worker ${index + 1}`,
      ok: this.#running.get(index)?.serves === true,
    }))
    return [...found.values(), ...workers]
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const asked = this.#all(async (calls, worker) => (await calls.call('sessions')).map(row => ({ ...row, worker })))
    return (await asked).flat()
  }

  async endSessions(ids: ReadonlySet<string>): Promise<void> {
    await this.#all(calls => calls.call('endSessions', ids))
  }

  revoked(): RevokedDesk | undefined {
    if (this.#current?.config.revocations === undefined) return undefined
    return remoteRevoked({
      ask: question => this.#one(calls => calls.call('revoked', question)),
      hear: async () => {
        await this.#all(calls => calls.call('hearRevoked'))
      },
    })
  }

  /** Asks a worker that serves: another one where it has ended meanwhile. */
  async #one<Result>(ask: (calls: ThreadCalls<WorkerAnswers>) => Promise<Result>): Promise<Result> {
    for (const running of this.#serving()) {
      try {
        return await timely(running, ask)
      } catch (error) {
        if (!hasEnded(error)) throw error
      }
    }
    throw new GatewayError('gateway.worker_ended', 'no worker serves')
  }

  async metrics(): Promise<string> {
    const workers = await this.#all(calls => calls.call('metrics'))
    const { metrics } = this.#options
    metrics.workers.set(this.#serving().length)
    return sumExpositions(metrics.expose(), workers, [this.#counted])
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearTimeout(timer)
    const tooLong = new GatewayError('gateway.worker_silent', 'a worker does not come to its end')
    await Promise.allSettled(
      this.#serving().map(({ calls }) => withTimeout(calls.call('drain', timeoutMs), timeoutMs + answerMs, tooLong)),
    )
  }

  async close(): Promise<void> {
    this.#stopping = true
    await Promise.allSettled(
      [...this.#running.values()].map(async ({ calls, worker, serves }) => {
        if (serves) await withTimeout(calls.call('close'), answerMs, new Error('too slow')).catch(() => {})
        await worker.terminate()
      }),
    )
  }
}

/** Rejects with `gateway.worker_silent` too. */
function timely<Result>(
  { calls, worker }: Running,
  ask: (calls: ThreadCalls<WorkerAnswers>) => Promise<Result>,
): Promise<Result> {
  const message = `${worker.threadName} has not answered for ${answerMs} ms`
  return withTimeout(ask(calls), answerMs, new GatewayError('gateway.worker_silent', message))
}

/** With `reusePort` a port could be shared with another program of the same user, unnoticed. */
async function refuseTaken(name: string, address: string): Promise<void> {
  const wanted = parseHostPort(address)
  if (wanted.port === 0) return
  const probe = createServer()
  try {
    await listening(probe, wanted)
  } catch (cause) {
    throw new GatewayError('gateway.listen', `listener ${name} cannot have ${address}`, { cause })
  }
  await new Promise(resolve => probe.close(resolve))
}

/** Whatever was asked of a worker that has ended meanwhile. */
function hasEnded(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'gateway.worker_ended'
}

async function withTimeout<Result>(work: Promise<Result>, ms: number, error: Error): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(error), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
