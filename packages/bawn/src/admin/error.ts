import { type ErrorCode, GatewayError } from '../error.ts'

/** Codes of the admin door. */
export type AdminCode = Extract<ErrorCode, `admin.${string}`>

/** An error of the admin door. */
export class AdminError extends GatewayError<AdminCode> {}
