import { basicValue } from '../oauth.ts'
import { createClientCredentials } from './client-credentials.ts'
import type { OutboundCredentials } from './credentials.ts'
import { createFixedCredentials } from './fixed.ts'
import type { OutboundCredentialsOptions } from './option.ts'
import { createPostForm } from './post-form.ts'

/**
 * The credential that a configuration gives an upstream.
 *
 * @param surroundings `clock`: ms since 1970; `secret`: what a reference stands for
 * @throws {OutboundError} `outbound.bad_credentials`
 */
export function openCredentials(
  options: OutboundCredentialsOptions,
  { clock, secret }: { readonly clock: () => number; readonly secret: (reference: string) => string },
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
  }
}

/** Names of the headers that the credential goes in, in lower case; opens nothing. */
export function headersOf(options: OutboundCredentialsOptions | undefined): readonly string[] {
  if (options === undefined) return []
  return [options.kind === 'api-key' ? options.header.toLowerCase() : 'authorization']
}
