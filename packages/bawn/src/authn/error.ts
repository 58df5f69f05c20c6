import { GatewayError } from '../error.ts'

export class AuthnError extends GatewayError<
  | 'authn.required'
  | 'authn.failed'
  | 'authn.issuer_unreachable'
  | 'authn.bad_issuer'
  | 'authn.weak_secret'
  | 'authn.bad_decryption_key'
  | 'authn.busy'
  | 'authn.bad_service'
  | 'authn.bad_address'
  | 'authn.bad_certificate'
  | 'authn.upstream_scram'
  | 'authn.introspection_unreachable'
  | 'authn.bad_digest_user'
> {}
