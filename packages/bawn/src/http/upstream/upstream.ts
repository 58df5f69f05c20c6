import type { BodySource } from '../engine.ts'
import type { AnswerHead } from './answer-parser.ts'

/** A request towards an upstream. */
export interface UpstreamRequest {
  readonly method: string
  /** Request line and headers, each ended by CRLF; no framing header, no empty line. Latin-1. */
  readonly head: string
  readonly body:
    | { readonly kind: 'none' }
    | { readonly kind: 'bytes'; readonly bytes: Buffer }
    /** @property length in bytes; `undefined` sends it in chunks */
    | { readonly kind: 'stream'; readonly source: BodySource; readonly length: number | undefined }
  /** ms until the head of the answer; `undefined`: the upstream's own. */
  readonly responseMs?: number | undefined
}

export interface UpstreamAnswer {
  readonly head: AnswerHead
  /** The whole body when it came together with the head: then `body` is not to be started. Empty where there is none. */
  readonly whole: Buffer | undefined
  readonly body: BodySource
}

/** Exactly one of the two is called, once. */
export interface AnswerReceiver {
  answer(answer: UpstreamAnswer): void
  /** @param error a `GatewayError` where somebody could tell what is wrong */
  fail(error: unknown): void
}

/** One backend with its pool of kept connections. */
export interface Upstream {
  readonly name: string
  /** Host header: name and, where it is not the scheme's own, port. */
  readonly host: string
  /** What stands before every path: empty, or `/prefix` without a slash at its end. */
  readonly prefix: string
  /** Headers that the gateway writes itself, to say who it is; in lower case. A caller's own do not get there. */
  readonly ownHeaders: readonly string[]
  /** @returns a function that gives the exchange up: the connection is closed, nothing is called any more */
  send(request: UpstreamRequest, receiver: AnswerReceiver): () => void
  /** No new requests come: idle connections close now, others after their answer. */
  retire(): void
}
