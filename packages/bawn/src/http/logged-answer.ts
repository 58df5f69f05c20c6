import type { AccessLog } from '../audit/access-log.ts'
import { errors } from '../error.ts'
import type { AnswerWatcher, BodySource, FrontAnswer } from './engine.ts'
import type { HttpCode, Problem } from './problem.ts'
import type { Turn } from './turn.ts'

/** As nginx says that the client left before it was answered. */
const clientLeft = 499

/** An answer that writes its line of the access log when it is over. */
export class LoggedAnswer implements FrontAnswer, AnswerWatcher {
  /** Whose answer it is; set before anything is answered. */
  turn: Turn | undefined
  requestId: string | undefined
  protected readonly inner: FrontAnswer
  readonly borrows: boolean
  readonly #log: AccessLog
  /** Monotonic, in ms. */
  readonly #clock: () => number
  readonly #begun: number
  #watcher: AnswerWatcher | undefined
  protected status = 0
  #bytes = 0
  #isOver = false

  protected constructor(inner: FrontAnswer, log: AccessLog, clock: () => number) {
    this.inner = inner
    this.borrows = inner.borrows === true
    this.#log = log
    this.#clock = clock
    this.#begun = clock()
  }

  static of(inner: FrontAnswer, log: AccessLog, clock: () => number): LoggedAnswer {
    return inner.upgrade === undefined ? new LoggedAnswer(inner, log, clock) : new LoggedUpgrade(inner, log, clock)
  }

  watch(watcher: AnswerWatcher): void {
    this.#watcher = watcher
    this.inner.watch(this)
  }

  drained(): void {
    this.#watcher?.drained()
  }

  closed(code: HttpCode | undefined): void {
    this.#watcher?.closed(code)
    if (this.status === 0) this.status = code === undefined ? clientLeft : errors[code].status
    this.#over(false)
  }

  send(status: number, headers: readonly string[], body: Buffer | undefined): void {
    this.status = status
    this.#bytes = body?.length ?? 0
    this.inner.send(status, headers, body)
    this.#over(true)
  }

  head(status: number, headers: readonly string[]): void {
    this.status = status
    this.inner.head(status, headers)
  }

  write(bytes: Buffer): boolean {
    this.#bytes += bytes.length
    return this.inner.write(bytes)
  }

  end(): void {
    this.inner.end()
    this.#over(true)
  }

  refuse(problem: Problem): void {
    this.status = problem.status
    this.#bytes = problem.body.length
    this.inner.refuse(problem)
    this.#over(true)
  }

  abort(): void {
    this.inner.abort()
    if (this.status === 0) this.status = clientLeft
    this.#over(false)
  }

  #over(isComplete: boolean): void {
    const { turn } = this
    if (this.#isOver || turn === undefined) return
    this.#isOver = true
    const { method, target, httpVersion, remoteAddress, rawHeaders } = turn.request
    this.#log.request({
      requestId: turn.requestId,
      address: remoteAddress,
      identity: turn.identity,
      method,
      target,
      route: turn.resource,
      httpVersion,
      host: headerIn(rawHeaders, 'host'),
      referer: headerIn(rawHeaders, 'referer'),
      userAgent: headerIn(rawHeaders, 'user-agent'),
      status: this.status,
      bytes: this.#bytes,
      durationMs: this.#clock() - this.#begun,
      isComplete,
      carriers: turn.state.mechanisms.carriers.query,
    })
  }
}

class LoggedUpgrade extends LoggedAnswer {
  upgrade(headers: readonly string[]): BodySource | undefined {
    const source = this.inner.upgrade?.(headers)
    if (source !== undefined) this.status = 101
    return source
  }
}

/** The first of this name. @param name in small letters */
function headerIn(rawHeaders: readonly string[], name: string): string | undefined {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const found = rawHeaders[at]
    if (found?.length === name.length && (found === name || found.toLowerCase() === name)) return rawHeaders[at + 1]
  }
  return undefined
}
