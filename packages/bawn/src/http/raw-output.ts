import type { Socket } from 'node:net'
import { RelayOutput } from '../socket-fast-path.ts'
import { lastAnswer } from './front-answer.ts'
import type { ConnectionContext } from './raw-connection.ts'

/** So much that is held leaves at once: of a client that pipelines. */
const maxHeld = 65_536

/** What leaves on one connection: of an answer nothing before the trail has written what it says of it. */
export class RawOutput {
  readonly #socket: Socket
  readonly #output: RelayOutput
  readonly #context: ConnectionContext
  /** Whole answers that have not left. */
  #held = ''
  /** The line of the answer under way is written. */
  #isTold = false
  /** Nothing leaves any more. */
  #isOver = false
  /** When the client must have taken what was written, in ms of the context's clock. */
  deadline = Number.POSITIVE_INFINITY

  constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket
    this.#output = new RelayOutput(socket)
    this.#context = context
  }

  get isBehind(): boolean {
    return this.#output.isBehind
  }

  /** What is written from now on is of another answer. */
  begin(): void {
    this.#isTold = false
  }

  /** @returns false when the client is slower than we are */
  write(bytes: Buffer | string): boolean {
    if (!this.#isTold) this.#tell()
    this.#isTold = true
    return this.pass(bytes)
  }

  /** A whole answer. Those of one turn of the event loop leave at its end: their lines are written by one call. */
  hold(text: string): void {
    const isFirst = this.#held === ''
    this.#held += text
    if (isFirst) this.#context.releaseLater(this)
    if (this.#held.length > maxHeld) this.release()
  }

  /** Sends what was held. */
  release(): void {
    const text = this.#held
    if (text === '') return
    this.#held = ''
    this.#tell()
    this.#send(text)
  }

  /** What is no answer, or has its line already. */
  pass(bytes: Buffer | string): boolean {
    this.release()
    return this.#send(bytes)
  }

  /** The connection is closed. */
  drop(): void {
    this.#held = ''
  }

  /** Where the trail cannot be told of an answer, the client gets another, and no more. */
  #tell(): void {
    const instead = this.#isOver ? undefined : this.#context.handlers.commit()
    if (instead === undefined) return
    this.#send(lastAnswer(instead))
    this.#isOver = true
    this.#socket.destroySoon()
  }

  #send(bytes: Buffer | string): boolean {
    if (this.#isOver) return true
    const taken = typeof bytes === 'string' ? this.#output.writeText(bytes) : this.#output.write(bytes)
    if (!taken) this.deadline = this.#context.now() + this.#context.limits.writeTimeoutMs
    return taken
  }
}
