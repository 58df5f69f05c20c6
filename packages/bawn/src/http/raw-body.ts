import type { BodySink, BodySource } from './engine.ts'
import { HttpError } from './problem.ts'

/** The body of one request, between the connection that fills it and the door that takes it. */
export class RawBody implements BodySource {
  /** What was received and not taken yet. */
  readonly #queue: Buffer[] = []
  readonly #invite: (() => void) | undefined
  readonly #more: () => void
  #sink: BodySink | undefined
  #state: 'waiting' | 'flowing' | 'full' | 'dropped' | 'over' = 'waiting'
  #complete = false
  #failure: Error | undefined

  /**
   * @param invite tells a client that waits for it (`Expect: 100-continue`) to send the body
   * @param more the connection may be read again
   */
  constructor(invite: (() => void) | undefined, more: () => void) {
    this.#invite = invite
    this.#more = more
  }

  /** Whether the connection should be read on: what is there has been taken, or is thrown away. */
  get isTaking(): boolean {
    return this.#queue.length === 0 && this.#state !== 'full'
  }

  start(sink: BodySink): void {
    if (this.#state !== 'waiting') return
    this.#sink = sink
    this.#state = 'flowing'
    this.#invite?.()
    // Whoever starts it may still be putting together what takes it.
    queueMicrotask(() => this.#flow())
  }

  resume(): void {
    if (this.#state !== 'full') return
    this.#state = 'flowing'
    this.#flow()
  }

  cancel(): void {
    if (this.#state === 'over') return
    this.#state = 'dropped'
    this.#queue.length = 0
    this.#more()
  }

  push(bytes: Buffer): void {
    if (this.#state === 'dropped' || this.#state === 'over') return
    this.#queue.push(bytes)
    if (this.#state === 'flowing') this.#flow()
  }

  complete(): void {
    this.#complete = true
    if (this.#state === 'flowing') this.#flow()
  }

  fail(): void {
    this.#failure ??= new HttpError('http.client_left', 'the client closed the connection in the middle of its request')
    if (this.#state === 'flowing' || this.#state === 'full') this.#flow()
  }

  #flow(): void {
    const sink = this.#sink
    if (sink === undefined) return
    while (this.#state === 'flowing') {
      const next = this.#queue.shift()
      if (next === undefined) break
      if (!sink.chunk(next) && this.#isFlowing()) this.#state = 'full'
    }
    if (this.#failure !== undefined && !this.#complete && this.#isLive()) {
      this.#state = 'over'
      this.#queue.length = 0
      sink.fail(this.#failure)
      return
    }
    if (!this.#isFlowing()) return
    if (this.#complete) {
      this.#state = 'over'
      sink.end()
    } else this.#more()
  }

  /** A sink may cancel while it takes a piece. */
  #isFlowing(): boolean {
    return this.#state === 'flowing'
  }

  #isLive(): boolean {
    return this.#state === 'flowing' || this.#state === 'full'
  }
}
