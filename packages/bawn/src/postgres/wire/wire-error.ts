import { GatewayError } from '../../error.ts'

/** Bytes that are not protocol 3. The message names the rule that was broken, never the bytes. */
export class WireError extends GatewayError<'postgres.protocol'> {
  constructor(message: string, options?: ErrorOptions) {
    super('postgres.protocol', message, options)
  }
}
