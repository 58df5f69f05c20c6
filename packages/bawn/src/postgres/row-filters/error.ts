import { GatewayError } from '../../error.ts'

/** A row filter cannot be used. */
export class RowFilterError extends GatewayError<'postgres.row_filter_invalid'> {}
