import { GatewayError } from '../error.ts'

export class TokenError extends GatewayError<
  | 'tokens.full'
  | 'tokens.claims_too_long'
  | 'tokens.expired_proof'
  | 'tokens.unavailable'
  | 'tokens.newer_schema'
  | 'tokens.bad_key'
  | 'tokens.bad_signing_key'
> {}

/** What a store says that cannot be read or written. */
export function tokensUnavailable(message: string, cause: unknown): TokenError {
  return new TokenError('tokens.unavailable', message, { cause })
}
