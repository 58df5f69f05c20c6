import { GatewayError } from '../error.ts'

/** What goes wrong with the audit trail. */
export class AuditError extends GatewayError<
  'audit.unwritable' | 'audit.locked' | 'audit.broken_chain' | 'audit.access_log'
> {}
