import { clientBasic } from '../oauth.ts'
import { type ClientAssertion, createClientAssertion } from './client-assertion.ts'
import type { OutboundCredentials } from './credentials.ts'
import { createHeldToken, type FetchedToken } from './held-token.ts'
import type { ClientCredentialsOptions } from './option.ts'

/** What this needs of the outside. */
export interface TokenEndpoint {
  /** Sends a form and gives the body of a 200; rejects with anything else. Bounded in time and size by whoever makes it. */
  post(url: string, headers: Readonly<Record<string, string>>, form: string): Promise<Uint8Array>
  /** ms since 1970 */
  readonly clock: () => number
}

/**
 * A token of the gateway's own by the client credentials grant (RFC 6749 section 4.4).
 *
 * @param secret what a reference stands for
 * @throws {OutboundError} `outbound.bad_credentials`
 */
export function createClientCredentials(
  options: ClientCredentialsOptions,
  { post, clock }: TokenEndpoint,
  secret: (reference: string) => string,
): OutboundCredentials {
  const clientSecret = options.client_secret && secret(options.client_secret)
  const assertion =
    options.private_key === undefined
      ? undefined
      : createClientAssertion({
          clientId: options.client_id,
          audience: options.token_url,
          privateKey: secret(options.private_key),
          keyId: options.key_id,
        })
  return createHeldToken({
    header: 'Authorization',
    from: new URL(options.token_url).host,
    fetch: () => request(options, clientSecret, assertion, { post, clock }),
    clock,
  })
}

async function request(
  options: ClientCredentialsOptions,
  clientSecret: string | undefined,
  assertion: ClientAssertion | undefined,
  { post, clock }: TokenEndpoint,
): Promise<FetchedToken> {
  const form = new URLSearchParams(options.parameters)
  form.set('grant_type', 'client_credentials')
  if (options.scopes.length > 0) form.set('scope', options.scopes.join(' '))
  if (options.audience !== undefined) form.set('audience', options.audience)
  if (options.resource !== undefined) form.set('resource', options.resource)
  const headers: Record<string, string> = {
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
  }
  if (assertion !== undefined) {
    form.set('client_id', options.client_id)
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    form.set('client_assertion', assertion.make(clock()))
  } else if (options.authentication === 'post') {
    form.set('client_id', options.client_id)
    form.set('client_secret', clientSecret ?? '')
  } else {
    headers['authorization'] = clientBasic(options.client_id, clientSecret ?? '')
  }
  return read(await post(options.token_url, headers, form.toString()))
}

/** RFC 6749 section 5.1. Token types other than Bearer need what this does not have. */
function read(body: Uint8Array): FetchedToken {
  const answer: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
  if (typeof answer !== 'object' || answer === null) throw new Error('the answer is no object')
  const { access_token: token, token_type: type, expires_in: expires }: Record<string, unknown> = { ...answer }
  if (typeof token !== 'string') throw new Error('the answer has no access_token')
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') throw new Error('the token is no bearer token')
  const told = typeof expires === 'string' && /^[0-9]{1,9}$/.test(expires) ? Number(expires) : expires
  return { token, lifetime: typeof told === 'number' && told > 0 && told < 1e9 ? told : undefined }
}
