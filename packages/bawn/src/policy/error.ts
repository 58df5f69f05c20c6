import { GatewayError } from '../error.ts'

/** What goes wrong with policies, at start. */
export class PolicyError extends GatewayError<'policy.unknown' | 'policy.reserved_name' | 'policy.bad_expression'> {}
