import { type ErrorCode, errors, GatewayError } from '../error.ts'
import { buildErrorResponse } from './wire/error-response.ts'

export type PostgresErrorCode = Extract<ErrorCode, `postgres.${string}`>

/** What the door itself refuses or cannot do. Ends as an ErrorResponse with the code's SQLSTATE. */
export class PostgresError extends GatewayError<PostgresErrorCode> {}

/** @returns an ErrorResponse that ends the connection */
export function fatalResponse(error: GatewayError): Buffer {
  return buildErrorResponse({
    severity: 'FATAL',
    sqlstate: error.spec.sqlstate,
    message: error.message,
    hint: error.spec.hint,
  })
}

/** @returns an ErrorResponse that ends a statement; `requestId` is where the operator finds it in the trail */
export function errorResponse(
  code: ErrorCode,
  message: string,
  requestId: string,
  more: { readonly hint?: string; readonly position?: number | undefined } = {},
): Buffer {
  return buildErrorResponse({
    severity: 'ERROR',
    sqlstate: errors[code].sqlstate,
    message,
    detail: `bawn: ${code}, request ${requestId}`,
    hint: more.hint ?? errors[code].hint,
    position: more.position,
  })
}

/** @returns an ErrorResponse as PostgreSQL itself would write it */
export function bareResponse(
  code: ErrorCode,
  message: string,
  more: { readonly position?: number | undefined } = {},
): Buffer {
  return buildErrorResponse({
    severity: 'ERROR',
    sqlstate: errors[code].sqlstate,
    message,
    position: more.position,
  })
}

/** Anything thrown, as an error that may leave the gateway: what we did not foresee is a bug and says nothing of itself. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown
  return new GatewayError('gateway.bug', 'the gateway failed', { cause: thrown })
}
