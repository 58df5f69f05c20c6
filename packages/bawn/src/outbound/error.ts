import { GatewayError } from '../error.ts'

/** What goes wrong with the gateway's own credentials. */
export class OutboundError extends GatewayError<
  'outbound.token_unavailable' | 'outbound.refused' | 'outbound.bad_credentials' | 'outbound.unsignable'
> {}
