import type { AnswerReceiver, UpstreamRequest } from './upstream.ts'

/** Idempotent methods (RFC 9110 section 9.2.2): sending one twice does what sending it once does. */
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])

/** Whether sending it twice does what sending it once does. */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method)
}

/** One request and its answer, on whichever connection it lands. */
export class Exchange {
  readonly request: UpstreamRequest
  readonly receiver: AnswerReceiver
  /** A byte of the answer came. */
  touched = false
  retried = false
  /** Headers that go along on the present connection alone, each ended by CRLF. */
  extra = ''
  /** Nobody listens any more. */
  settled = false

  constructor(request: UpstreamRequest, receiver: AnswerReceiver) {
    this.request = request
    this.receiver = receiver
  }

  /** What is written on the present connection. */
  get outgoing(): UpstreamRequest {
    const { request, extra } = this
    return extra === '' ? request : { ...request, head: `${request.head}${extra}` }
  }

  /**
   * A kept connection may close at the moment we write to it; the upstream then has not seen the request, or has seen it and did not
   * answer. Only what may be done twice is sent again, only once, and only if we still have all of it.
   */
  get repeatable(): boolean {
    return !this.touched && !this.retried && this.request.body.kind !== 'stream' && isIdempotent(this.request.method)
  }
}
