import type { BodySource } from '../engine.ts'
import type { AnswerHead } from './answer-parser.ts'

/** A request towards an upstream. */
export interface UpstreamRequest {
  readonly method: string
  /** Path and query, behind the upstream's prefix. Latin-1. */
  readonly target: string
  /** Headers, each ended by CRLF; no Host, no framing header, no empty line. Latin-1. */
  readonly head: string
  readonly body:
    | { readonly kind: 'none' }
    | { readonly kind: 'bytes'; readonly bytes: Buffer }
    /** A GET that asks for another protocol. @property lines its headers, hop-by-hop ones too, each ended by CRLF */
    | { readonly kind: 'upgrade'; readonly lines: string }
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
  /** After 101: sends what a source gives, to its end, as `body` is what comes. */
  readonly send?: (source: BodySource) => void
}

/** Exactly one of the two is called, once. */
export interface AnswerReceiver {
  answer(answer: UpstreamAnswer): void
  /**
   * @param error a `GatewayError` where somebody could tell what is wrong
   * @param nothingSent no byte of the request left, and nothing was taken of a body that streams
   */
  fail(error: unknown, nothingSent?: boolean): void
}

/** A backend: one server with its pool of kept connections, or several that do the same. */
export interface Upstream {
  readonly name: string
  /** Headers that the gateway writes itself, to say who it is; in lower case. A caller's own do not get there. */
  readonly ownHeaders: readonly string[]
  /** @returns a function that gives the exchange up: the connection is closed, nothing is called any more */
  send(request: UpstreamRequest, receiver: AnswerReceiver): () => void
  /** No new requests come: idle connections close now, others after their answer. */
  retire(): void
}
