import { GatewayError } from '../../error.ts'
import type { BodySink, BodySource } from '../engine.ts'
import type { UpstreamOptions } from '../option.ts'
import { isIdempotent } from './exchange.ts'
import { watchHealth } from './health-check.ts'
import { RetryBudget } from './retry-budget.ts'
import { TargetHealth } from './target-health.ts'
import type { AnswerReceiver, Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.ts'

export interface BalancedDeps {
  /** Monotonic, in ms. */
  readonly now: () => number
  readonly log: (message: string) => void
}

interface Target {
  readonly server: Upstream
  readonly health: TargetHealth
}

/** Whose fault it was: the server's, and not the caller's, the body's or ours. */
const faults: ReadonlySet<string> = new Set(['http.upstream_unreachable', 'http.upstream_timeout', 'http.bad_answer'])

/**
 * Several servers that do the same. Each request goes to the one of them that has the fewest under way, of those that are well; where none is
 * well, to any of all: a health check that is wrong must not be worse than none. What failed is tried again at another one where that is
 * safe: nothing was sent yet, or sending it twice does what sending it once does, and all of it is still here.
 */
export function createBalanced(
  name: string,
  servers: readonly Upstream[],
  options: UpstreamOptions,
  deps: BalancedDeps,
): Upstream {
  return new Balanced(name, servers, options, deps)
}

class Balanced implements Upstream {
  readonly name: string
  readonly ownHeaders: readonly string[]
  readonly #targets: readonly Target[]
  readonly #retries: number
  readonly #badStatuses: ReadonlySet<number>
  readonly #budget = new RetryBudget()
  readonly #stopChecks: readonly (() => void)[]
  readonly #now: () => number
  #next = 0

  constructor(name: string, servers: readonly Upstream[], options: UpstreamOptions, { now, log }: BalancedDeps) {
    const { outlier, health: check } = options
    this.name = name
    this.ownHeaders = servers[0]?.ownHeaders ?? []
    this.#now = now
    this.#retries = options.retries ?? (servers.length > 1 ? 1 : 0)
    this.#badStatuses = new Set(outlier.status)
    const limits = { failures: outlier.failures, timeMs: outlier.time, maxTimeMs: outlier.max_time }
    this.#targets = servers.map(server => ({
      server,
      health: new TargetHealth(limits, change => log(`upstream ${name}: ${server.name} ${inWords[change]}`)),
    }))
    this.#stopChecks =
      check === undefined ? [] : this.#targets.map(({ server, health }) => watchHealth(server, check, health))
  }

  send(request: UpstreamRequest, receiver: AnswerReceiver): () => void {
    const attempt = new Attempts(request, receiver, this)
    this.#budget.earn()
    attempt.next(undefined)
    return () => attempt.abandon()
  }

  retire(): void {
    for (const stop of this.#stopChecks) stop()
    for (const { server } of this.#targets) server.retire()
  }

  /** @param besides the one that just failed */
  pick(besides: Target | undefined): Target {
    const now = this.#now()
    const all = this.#targets
    const start = this.#next++ % all.length
    let best: Target | undefined
    let bestRank = Infinity
    for (let step = 0; step < all.length; step++) {
      const target = all[(start + step) % all.length]
      if (target === undefined) continue
      const rank =
        target.health.inFlight + (target.health.isGood(now) ? 0 : 1_000_000) + (target === besides ? 2_000_000 : 0)
      if (rank < bestRank) {
        best = target
        bestRank = rank
      }
    }
    if (best === undefined) throw new TypeError(`upstream ${this.name} has no server`)
    return best
  }

  failed(target: Target): void {
    target.health.failed(this.#now())
  }

  /** @param tried so many times already */
  mayRetry(tried: number): boolean {
    return tried <= this.#retries && this.#budget.spend()
  }

  isBad(status: number): boolean {
    return this.#badStatuses.has(status)
  }
}

const inWords = {
  ejected: 'fails again and again, and is left alone for a while',
  returned: 'answers again',
  down: 'is not well, says its health check: it gets no requests',
  up: 'is well again, says its health check',
} as const

/** One request of a caller, at one server after another. */
class Attempts {
  readonly #request: UpstreamRequest
  readonly #receiver: AnswerReceiver
  readonly #owner: Balanced
  #tried = 0
  #giveUp: (() => void) | undefined
  #release: (() => void) | undefined
  #isOver = false

  constructor(request: UpstreamRequest, receiver: AnswerReceiver, owner: Balanced) {
    this.#request = request
    this.#receiver = receiver
    this.#owner = owner
  }

  abandon(): void {
    this.#isOver = true
    this.#giveUp?.()
    this.#release?.()
  }

  next(before: Target | undefined): void {
    if (this.#isOver) return
    const target = this.#owner.pick(before)
    this.#tried++
    target.health.inFlight++
    let isReleased = false
    const release = (): void => {
      if (isReleased) return
      isReleased = true
      target.health.inFlight--
    }
    this.#release = release
    const tried = this.#tried
    const giveUp = target.server.send(this.#request, {
      answer: answer => this.#answered(target, answer, release),
      fail: (error, nothingSent) => {
        release()
        const isFault = error instanceof GatewayError && faults.has(error.code)
        if (isFault) this.#owner.failed(target)
        const isSafe = nothingSent === true || (isFault && this.#isRepeatable())
        if (isSafe && !this.#isOver && this.#owner.mayRetry(this.#tried)) this.next(target)
        else this.#receiver.fail(error)
      },
    })
    // It may have failed at once, and be under way at another server by now.
    if (tried === this.#tried) this.#giveUp = giveUp
  }

  #answered(target: Target, answer: UpstreamAnswer, release: () => void): void {
    if (this.#owner.isBad(answer.head.status)) {
      this.#owner.failed(target)
      if (this.#isRepeatable() && this.#owner.mayRetry(this.#tried)) {
        if (answer.whole === undefined) answer.body.cancel()
        release()
        this.next(target)
        return
      }
    } else target.health.succeeded()
    if (answer.whole !== undefined) {
      release()
      this.#receiver.answer(answer)
      return
    }
    this.#receiver.answer({ ...answer, body: watched(answer.body, release) })
  }

  #isRepeatable(): boolean {
    return this.#request.body.kind !== 'stream' && isIdempotent(this.#request.method)
  }
}

/** The same body, and a call when nothing of it is awaited any more. */
function watched(body: BodySource, over: () => void): BodySource {
  return {
    start: sink => {
      const counted: BodySink = {
        borrows: sink.borrows === true,
        chunk: bytes => sink.chunk(bytes),
        end: () => {
          over()
          sink.end()
        },
        fail: cause => {
          over()
          sink.fail(cause)
        },
      }
      body.start(counted)
    },
    resume: () => body.resume(),
    cancel: () => {
      over()
      body.cancel()
    },
  }
}
