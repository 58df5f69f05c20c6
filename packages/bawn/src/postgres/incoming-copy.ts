import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../error.ts'
import type { Field, FieldView } from '../fields/field.ts'
import type { Conversation } from './conversation.ts'
import { malformed } from './copy/copy-error.ts'
import { CopyStream } from './copy/stream.ts'
import type { Execution } from './execution.ts'
import { toGatewayError } from './failure.ts'
import type { CopyPlan } from './sql/plan.ts'
import { MessageBuilder } from './wire/builder.ts'
import { formatByteaText, parseByteaText } from './wire/bytea.ts'
import { front } from './wire/message.ts'

const copyDone = Buffer.from([front.copyDone, 0, 0, 0, 4])

/** @returns a CopyFail message */
export function copyFail(why: string): Buffer {
  return new MessageBuilder().begin(front.copyFail).cstring(why).end().take()
}

/** COPY … FROM STDIN into protected columns: what the client sends is sealed as INSERT does it. */
export class IncomingCopy {
  readonly #talk: Conversation
  readonly #execution: Execution
  readonly #stream: CopyStream
  /** CopyDone or CopyFail was sent to the server: what still comes is plaintext that nobody reads. */
  #over = false

  constructor(talk: Conversation, execution: Execution, plan: CopyPlan) {
    this.#talk = talk
    this.#execution = execution
    const views = plan.columns.map(field => (field === undefined ? undefined : talk.viewOf(field)))
    const isBinary = plan.format.kind === 'binary'
    this.#stream = new CopyStream(plan, talk.limits.maxFrameBytes, (place, value) => {
      const view = views[place]
      if (view === undefined) throw new TypeError('a column that is not protected')
      return this.#seal(view, value, isBinary)
    })
  }

  /** A piece of CopyData without its header. */
  data(bytes: Buffer): void {
    this.#attempt(out => this.#stream.push(bytes, out))
  }

  /** CopyDone. */
  done(): void {
    this.#attempt(out => this.#stream.finish(out))
    this.#end(copyDone)
  }

  /** The server is made to fail, and the client gets this in place of its error. */
  fail(failure: { readonly code: ErrorCode; readonly message: string }): void {
    this.#execution.failure = failure
    this.#end(copyFail(`bawn: ${failure.code}, request ${this.#execution.requestId}`))
  }

  #attempt(work: (out: MessageBuilder) => void): void {
    const talk = this.#talk
    if (this.#over || talk.incoming !== this) return
    const out = new MessageBuilder(8 * 1024)
    try {
      work(out)
      talk.toServer.append(out.take())
    } catch (thrown) {
      const error = toGatewayError(thrown)
      const message = `COPY, row ${this.#stream.rows}: ${error.message}`
      talk.state.log({ level: 'error', message, requestId: this.#execution.requestId, cause: thrown })
      this.fail({ code: error.code, message })
    }
  }

  #end(message: Buffer): void {
    if (this.#over) return
    this.#over = true
    this.#talk.toServer.append(message)
    this.#talk.noteCopyEnd()
  }

  #seal(view: FieldView, value: Buffer, isBinary: boolean): Uint8Array {
    const { field } = view
    const sealed = view.protect(plaintextOf(field, value, isBinary))
    this.#execution.uses.add(field.name, 'sealed')
    return isBinary ? sealed : formatByteaText(sealed)
  }
}

/** @throws {PostgresError} `postgres.copy_malformed` */
function plaintextOf(field: Field, value: Buffer, isBinary: boolean): Buffer {
  if (field.type === 'bytes') {
    const bytes = isBinary ? value : parseByteaText(value)
    if (bytes === undefined) throw malformed(`a value of field ${field.name} is no valid input for type bytea`)
    return bytes
  }
  if (!isUtf8(value) || value.includes(0)) throw malformed(`a value of field ${field.name} is not UTF-8 text`)
  return value
}
