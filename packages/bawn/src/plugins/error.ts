import { GatewayError } from '../error.ts'

export class PluginError extends GatewayError<
  | 'plugins.not_found'
  | 'plugins.bad_module'
  | 'plugins.wrong_api'
  | 'plugins.duplicate_kind'
  | 'plugins.bad_integrity'
  | 'plugins.changed'
  | 'plugins.failed'
> {}
