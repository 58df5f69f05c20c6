import { basicValue } from '../oauth.ts'
import { awsHeaders, createAwsSignature } from './aws-sigv4.ts'
import { createClientCredentials } from './client-credentials.ts'
import type { OutboundCredentials } from './credentials.ts'
import { createFixedCredentials } from './fixed.ts'
import { createGoogleCredentials } from './google.ts'
import type { ConnectionHandshake } from './handshake.ts'
import { createNtlmHandshake } from './ntlm.ts'
import type { AwsSigv4Options, NtlmOptions, OutboundCredentialsOptions } from './option.ts'
import { createPostForm } from './post-form.ts'
import type { RequestSignature } from './signature.ts'

/** `clock`: ms since 1970; `secret`: what a reference stands for. */
export interface CredentialSurroundings {
  readonly clock: () => number
  readonly secret: (reference: string) => string
}

/**
 * The credential that a configuration gives an upstream, of those that do not look at the request.
 *
 * @throws {OutboundError} `outbound.bad_credentials`
 */
export function openCredentials(
  options: Exclude<OutboundCredentialsOptions, AwsSigv4Options | NtlmOptions>,
  { clock, secret }: CredentialSurroundings,
): OutboundCredentials {
  switch (options.kind) {
    case 'basic':
      return createFixedCredentials('Authorization', basicValue(options.user, secret(options.password)))
    case 'api-key':
      return createFixedCredentials(options.header, `${options.prefix}${secret(options.key)}`)
    case 'bearer':
      return createFixedCredentials('Authorization', `Bearer ${secret(options.token)}`)
    case 'client-credentials': {
      const post = createPostForm(options.ca, options.timeout)
      return createClientCredentials(options, { post, clock }, secret)
    }
    case 'google':
      return createGoogleCredentials(options, { post: createPostForm(options.ca, options.timeout), clock }, secret)
  }
}

/** A credential that covers the request. @throws {OutboundError} `outbound.bad_credentials` */
export function openSignature(options: AwsSigv4Options, { clock, secret }: CredentialSurroundings): RequestSignature {
  return createAwsSignature(options, clock, secret)
}

/** A credential that holds for a connection. */
export function openHandshake(options: NtlmOptions, { clock, secret }: CredentialSurroundings): ConnectionHandshake {
  return createNtlmHandshake(options, clock, secret)
}

/** Names of the headers that the credential goes in, in lower case; opens nothing. */
export function headersOf(options: OutboundCredentialsOptions | undefined): readonly string[] {
  if (options === undefined) return []
  switch (options.kind) {
    case 'aws-sigv4':
      return awsHeaders
    case 'api-key':
    case 'google':
      return [options.header.toLowerCase()]
    case 'basic':
    case 'bearer':
    case 'client-credentials':
    case 'ntlm':
      return ['authorization']
  }
}
