import type { OutboundCredentials } from './credentials.ts'
import { OutboundError } from './error.ts'
import { createHeldToken, type FetchedToken } from './held-token.ts'
import { type GoogleOptions, missingLibrary } from './option.ts'
import type { PostForm } from './post-form.ts'

const defaultTokenUri = 'https://oauth2.googleapis.com/token'

interface ServiceAccount {
  readonly email: string
  readonly key: string
  readonly tokenUri: string
}

/**
 * A token that Google issues to the gateway: an ID token for an `audience`, or an access token for `scopes`.
 *
 * @param post for the token endpoint of a service account
 * @param clock ms since 1970
 * @param secret what a reference stands for
 * @throws {OutboundError} `outbound.bad_credentials`
 */
export function createGoogleCredentials(
  options: GoogleOptions,
  { post, clock }: { readonly post: PostForm; readonly clock: () => number },
  secret: (reference: string) => string,
): OutboundCredentials {
  const account =
    options.credentials === undefined ? undefined : parseServiceAccount(secret(options.credentials), options)
  const missing = missingLibrary(options)
  if (missing !== undefined) throw new OutboundError('outbound.bad_credentials', missing)
  return createHeldToken({
    header: options.header,
    from: account === undefined ? 'the metadata server' : new URL(account.tokenUri).host,
    fetch: () => withinTime(options.timeout, ask(options, account, post, clock)),
    clock,
  })
}

async function ask(
  { audience, scopes }: GoogleOptions,
  account: ServiceAccount | undefined,
  post: PostForm,
  clock: () => number,
): Promise<FetchedToken> {
  const { JWT, Compute } = await import('google-auth-library')
  // A new one each time: what it keeps, it would give again after the upstream has refused it.
  const client =
    account === undefined
      ? new Compute({ scopes: [...scopes] })
      : new JWT({
          email: account.email,
          key: account.key,
          scopes: [...scopes],
          transporterOptions: through(post, account),
        })
  try {
    if (audience !== undefined) {
      const token = await client.fetchIdToken(audience)
      return { token, lifetime: secondsUntil(endOf(token), clock) }
    }
    const { token } = await client.getAccessToken()
    if (typeof token !== 'string') throw new Error('the answer has no access_token')
    return { token, lifetime: secondsUntil(client.credentials.expiry_date ?? undefined, clock) }
  } catch (cause) {
    // Its errors hold the request, and that holds what signs for us.
    throw new Error(cause instanceof Error ? cause.message : 'no answer')
  }
}

/** What the library sends goes the way of everything else that the gateway asks for: bounded, without redirects, once. */
function through(post: PostForm, { tokenUri }: ServiceAccount) {
  return {
    retryConfig: { retry: 0 },
    fetchImplementation: async (_url: unknown, init?: { readonly body?: unknown }): Promise<Response> => {
      const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
      const body = await post(tokenUri, headers, String(init?.body))
      return new Response(Buffer.from(body), { headers: { 'content-type': 'application/json' } })
    },
  }
}

/** The `exp` of an ID token, in ms; whether it is true is for the upstream to judge. */
function endOf(token: string): number | undefined {
  const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
  const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined
  return typeof exp === 'number' ? exp * 1000 : undefined
}

function secondsUntil(end: number | undefined, clock: () => number): number | undefined {
  if (end === undefined || !Number.isFinite(end)) return undefined
  const seconds = (end - clock()) / 1000
  if (seconds <= 0) throw new Error('the token is over already')
  return seconds
}

function parseServiceAccount(text: string, { insecure_http: mayBePlain }: GoogleOptions): ServiceAccount {
  const bad = (what: string): OutboundError =>
    new OutboundError('outbound.bad_credentials', `credentials is no key of a service account: ${what}`)
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    // The error of JSON.parse quotes what it read.
    throw bad('it is no JSON')
  }
  if (typeof read !== 'object' || read === null) throw bad('it is no object')
  const { type, client_email: email, private_key: key, token_uri: uri }: Record<string, unknown> = { ...read }
  if (type !== 'service_account') throw bad('its type is not service_account')
  if (typeof email !== 'string' || typeof key !== 'string') throw bad('it needs client_email and private_key')
  const tokenUri = uri ?? defaultTokenUri
  if (typeof tokenUri !== 'string' || !URL.canParse(tokenUri)) throw bad('its token_uri is no URL')
  if (!tokenUri.startsWith('https:') && !(mayBePlain && tokenUri.startsWith('http:'))) {
    throw bad('its token_uri is not https: tests may say insecure_http')
  }
  return { email, key, tokenUri }
}

function withinTime<Value>(timeoutMs: number, promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
