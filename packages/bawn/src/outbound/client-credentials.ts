import { bearerToken, clientBasic } from '../oauth.ts'
import { type ClientAssertion, createClientAssertion } from './client-assertion.ts'
import type { OutboundCredentials, ProofHeader } from './credentials.ts'
import { OutboundError } from './error.ts'
import type { ClientCredentialsOptions } from './option.ts'

/** What this needs of the outside. */
export interface TokenEndpoint {
  /** Sends a form and gives the body of a 200; rejects with anything else. Bounded in time and size by whoever makes it. */
  post(url: string, headers: Readonly<Record<string, string>>, form: string): Promise<Uint8Array>
  /** ms since 1970 */
  readonly clock: () => number
}

interface HeldToken {
  readonly proof: ProofHeader
  /** ms since 1970: from then on another is fetched beside the requests. */
  readonly renewAt: number
  /** ms since 1970 */
  readonly until: number
}

/** A token whose end the server does not tell is asked for anew after this: RFC 6749 section 5.1 leaves it open. */
const untoldLifetimeSeconds = 300
/** A token that ends sooner than this after now is not used for a request that takes its time. */
const marginMs = 5_000
/** After a failure the endpoint is left alone for so long. */
const pauseMs = 1_000

/**
 * A token of the gateway's own by the client credentials grant (RFC 6749 section 4.4): kept, renewed before it ends while the old one
 * goes on serving, fetched once however many requests wait for it, and fetched anew when the upstream refuses it.
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
  let held: HeldToken | undefined
  let underWay: Promise<HeldToken> | undefined
  let failedAt = Number.NEGATIVE_INFINITY
  let failure: unknown

  const fetchToken = (): Promise<HeldToken> => {
    underWay ??= request(options, clientSecret, assertion, { post, clock })
      .then(token => {
        held = token
        return token
      })
      .catch((cause: unknown) => {
        failedAt = clock()
        failure = cause
        throw unavailable(options, cause)
      })
      .finally(() => {
        underWay = undefined
      })
    return underWay
  }
  const mayAsk = (): boolean => clock() - failedAt >= pauseMs

  return {
    headers: ['authorization'],
    proof() {
      const now = clock()
      if (held !== undefined && now < held.until) {
        // The token that is there serves until it ends: what goes wrong here shows when it has.
        if (now >= held.renewAt && mayAsk()) void fetchToken().catch(() => {})
        return held.proof
      }
      if (underWay === undefined && !mayAsk()) throw unavailable(options, failure)
      return fetchToken().then(({ proof }) => proof)
    },
    refused(proof) {
      // Somebody else may have been refused before, and have fetched another.
      if (held?.proof === proof) held = undefined
      return true
    },
    close: () => {
      held = undefined
    },
  }
}

function unavailable({ token_url: url }: ClientCredentialsOptions, cause: unknown): OutboundError {
  return new OutboundError('outbound.token_unavailable', `${new URL(url).host} gives no token`, { cause })
}

async function request(
  options: ClientCredentialsOptions,
  clientSecret: string | undefined,
  assertion: ClientAssertion | undefined,
  { post, clock }: TokenEndpoint,
): Promise<HeldToken> {
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
  const askedAt = clock()
  return read(await post(options.token_url, headers, form.toString()), askedAt)
}

/** RFC 6749 section 5.1. Token types other than Bearer need what this does not have. */
function read(body: Uint8Array, askedAt: number): HeldToken {
  const answer: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
  if (typeof answer !== 'object' || answer === null) throw new Error('the answer is no object')
  const { access_token: token, token_type: type, expires_in: expires }: Record<string, unknown> = { ...answer }
  if (typeof token !== 'string' || !bearerToken.test(token)) throw new Error('the answer has no access_token')
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') throw new Error('the token is no bearer token')
  const told = typeof expires === 'string' && /^[0-9]{1,9}$/.test(expires) ? Number(expires) : expires
  const seconds = typeof told === 'number' && told > 0 && told < 1e9 ? told : untoldLifetimeSeconds
  const lifetimeMs = seconds * 1000
  const until = askedAt + Math.max(1_000, lifetimeMs - Math.min(marginMs, lifetimeMs / 5))
  return {
    proof: Object.freeze({ name: 'Authorization', value: `Bearer ${token}` }),
    renewAt: askedAt + Math.min(lifetimeMs * 0.8, until - askedAt),
    until,
  }
}
