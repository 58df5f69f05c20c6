import { type ErrorCode, errors, GatewayError } from './error.ts'

// Questions from one thread to another, and their answers. Both ends are this program: what arrives has the type that was sent.

/** What one side answers, by name. Arguments and results can be posted. */
export type Answers = { readonly [name: string]: (value: never) => unknown }

/** A `MessagePort` or a `Worker`. */
export interface ThreadPort {
  postMessage(message: unknown): void
  on(event: 'message', listener: (message: unknown) => void): unknown
}

export interface ThreadCalls<Asked> {
  /** Rejects with what the other side threw, as a `GatewayError` of the same code where it was one; or with what `end` was given. */
  call<Name extends keyof Asked & string>(name: Name, ...value: ArgumentOf<Asked[Name]>): Promise<ResultOf<Asked[Name]>>
  /** No answer is waited for. */
  tell<Name extends keyof Asked & string>(name: Name, ...value: ArgumentOf<Asked[Name]>): void
  /** The other side is gone. */
  end(error: Error): void
}

type ArgumentOf<Answer> = Answer extends (...value: infer Value) => unknown ? Value : never
type ResultOf<Answer> = Answer extends (...value: never) => infer Result ? Awaited<Result> : never

type Message =
  | { readonly kind: 'ask'; readonly id: number | undefined; readonly name: string; readonly value: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: PostedError }

interface PostedError {
  readonly code: string | undefined
  readonly message: string
  readonly stack: string | undefined
  readonly cause: PostedError | undefined
}

/** @param answers what this side answers; a question without an `id` wants none */
export function createThreadCalls<Asked>(port: ThreadPort, answers: Answers): ThreadCalls<Asked> {
  const open = new Map<number, { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }>()
  let nextId = 0
  let ended: Error | undefined

  const post = (message: Message): void => port.postMessage(message)
  const answer = async ({ id, name, value }: Extract<Message, { kind: 'ask' }>): Promise<void> => {
    try {
      const result = await answers[name]?.(value as never)
      if (id !== undefined) post({ kind: 'answer', id, value: result })
    } catch (error) {
      if (id === undefined) throw error
      post({ kind: 'failure', id, error: posted(error) })
    }
  }
  port.on('message', received => {
    const message = received as Message
    switch (message.kind) {
      case 'ask':
        void answer(message)
        return
      case 'answer':
        open.get(message.id)?.resolve(message.value as never)
        break
      case 'failure':
        open.get(message.id)?.reject(unposted(message.error))
        break
    }
    open.delete(message.id)
  })
  return {
    call: (name, ...[value]) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) {
          reject(ended)
          return
        }
        nextId += 1
        open.set(nextId, { resolve, reject })
        post({ kind: 'ask', id: nextId, name, value })
      }),
    tell(name, ...[value]) {
      if (ended === undefined) post({ kind: 'ask', id: undefined, name, value })
    },
    end(error) {
      ended = error
      for (const { reject } of open.values()) reject(error)
      open.clear()
    },
  }
}

function posted(error: unknown): PostedError {
  if (!(error instanceof Error)) return { code: undefined, message: 'not an error', stack: undefined, cause: undefined }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const cause = error.cause === undefined ? undefined : posted(error.cause)
  return { code, message: error.message, stack: error.stack, cause }
}

const isOurs = (code: string | undefined): code is ErrorCode => code !== undefined && Object.hasOwn(errors, code)

function unposted({ code, message, stack, cause }: PostedError): Error {
  const options = cause === undefined ? {} : { cause: unposted(cause) }
  const error = isOurs(code) ? new GatewayError(code, message, options) : new Error(message, options)
  if (stack !== undefined) error.stack = stack
  return isOurs(code) || code === undefined ? error : Object.assign(error, { code })
}
