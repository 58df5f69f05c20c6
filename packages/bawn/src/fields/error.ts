import { GatewayError } from '../error.ts'

/** What goes wrong with protected fields. */
export class FieldError extends GatewayError<
  | 'fields.invalid'
  | 'fields.no_key'
  | 'fields.not_searchable'
  | 'fields.not_text'
  | 'fields.masked_value'
  | 'fields.unreadable'
> {}
