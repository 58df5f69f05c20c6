import { STATUS_CODES } from 'node:http'
import { type ErrorCode, errors, GatewayError } from '../error.ts'

/** The codes of this door. */
export type HttpCode = Extract<ErrorCode, `http.${string}`>

/** An error of the HTTP door. The message is for the log: a caller gets the code and the hint. */
export class HttpError extends GatewayError<HttpCode> {}

/** An answer of our own, complete. `headers` is flat: name, value, name, value. */
export interface Problem {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer
}

/** RFC 9110 section 10.2.3: how long to wait after a 503. */
const retryAfterSeconds = 5

const forOperator = 'Tell the operator the request id; the log has the details'

/**
 * A problem document (RFC 9457). Holds nothing of the request but our own id: no path, no header, no value, so that no answer
 * can be made to carry somebody else's text.
 *
 * @param status overrides the code's own status (an upstream's 404 stays 404 when its body is replaced)
 * @param extra more headers, flat
 */
export function problem(
  code: ErrorCode,
  requestId: string,
  extra: readonly string[] = [],
  status: number = errors[code].status,
): Problem {
  const spec = errors[code]
  // RFC 9457 section 3.1.4: detail helps the client to correct the problem. What only the operator can correct is for the log.
  const detail = spec.blame === 'caller' || spec.blame === 'upstream' ? spec.hint : forOperator
  const document = {
    type: `urn:bawn:error:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code,
    detail,
    request_id: requestId,
  }
  const body = Buffer.from(`${JSON.stringify(document)}\n`)
  const headers = [
    'Content-Type',
    'application/problem+json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'X-Request-Id',
    requestId,
    ...extra,
  ]
  if (status === 503) headers.push('Retry-After', String(retryAfterSeconds))
  return { status, headers, body }
}

/** Whether the operator has to hear of it: whatever the caller did wrong alone is in the audit trail and nowhere else. */
export function isForTheLog(error: unknown): boolean {
  return !(error instanceof GatewayError) || error.spec.blame !== 'caller'
}
