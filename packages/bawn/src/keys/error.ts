import { GatewayError } from '../error.ts'

/** What goes wrong with keys and where they live. */
export class KeyError extends GatewayError<
  | 'keys.not_found'
  | 'keys.bad_client_id'
  | 'keys.bad_master_key'
  | 'keys.insecure_mode'
  | 'keys.unwrap_failed'
  | 'keys.unreadable'
  | 'keys.exists'
  | 'keys.locked'
> {}
