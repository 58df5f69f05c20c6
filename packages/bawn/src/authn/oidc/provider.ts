import type { webcrypto } from 'node:crypto'
import type * as OAuth from 'oauth4webapi'
import { readAnswerBody, readBounded } from '../../answer-body.ts'
import { AuthnError } from '../error.ts'
import { isJsonObject, type JsonObject, parseJson } from '../json.ts'
import { requestTrusted, type TlsTrust } from '../tls-fetch.ts'
import { createProviderMetadata, type ProviderMetadata } from './metadata.ts'

/** How the client proves to the provider who it is. */
export type ClientProof =
  | { readonly kind: 'none' }
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'key'; readonly key: webcrypto.CryptoKey; readonly keyId: string | undefined }

export interface ProviderOptions {
  /** Of the issuer, for messages. */
  readonly name: string
  /** Exact value of `iss`; its configuration is found below it. */
  readonly issuer: string
  readonly insecureHttp: boolean
  /** Who may answer at its endpoints. */
  readonly trust: TlsTrust
  readonly refresh: number
  readonly stale: number
  readonly leeway: number
  readonly clientId: string
  readonly proof: ClientProof
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly userinfo: boolean
}

export interface ProviderSurroundings {
  readonly fetch: typeof fetch
  /** ms since 1970 */
  readonly clock: () => number
}

/** What the provider's answer in the browser came to. */
export type Redeemed =
  | {
      readonly kind: 'redeemed'
      /** Its claims have been looked at, its signature not. */
      readonly idToken: string
      readonly userinfo: JsonObject | undefined
    }
  /** The provider has said no; `reason` is one of its words. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The answer is not what it has to be, or was not for this login. `detail` is for the operator and holds no value of it. */
  | { readonly kind: 'failed'; readonly detail: string }

/** An OpenID provider as its client sees it. Rejections are `authn.issuer_unreachable`. */
export interface OpenIdProvider {
  readonly metadata: ProviderMetadata
  /** Where the browser is sent (OpenID Connect Core section 3.1.2.1). */
  authorizationUrl(flow: {
    readonly state: string
    readonly nonce: string
    readonly challenge: string
  }): Promise<string>
  /** Exchanges the code, once. @param parameters as the browser brought them */
  redeem(
    parameters: URLSearchParams,
    flow: { readonly state: string; readonly nonce: string; readonly verifier: string },
  ): Promise<Redeemed>
  /** Where a browser ends its session at the provider (RP-Initiated Logout section 2); `undefined` where the provider has no such page, or cannot be asked. */
  endSessionUrl(idTokenHint: string | undefined, returnUri: string): Promise<string | undefined>
  /** Gives up what is under way. */
  close(): void
}

const timeoutMs = 5_000
const maxAnswerBytes = 262_144

/** What a provider says when it, or the person, does not want to (OpenID Connect Core section 3.1.2.6, RFC 6749 section 4.1.2.1). */
const refusals: readonly string[] = [
  'access_denied',
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
]
const otherErrors: readonly string[] = [
  ...['invalid_request', 'unauthorized_client', 'unsupported_response_type', 'invalid_scope', 'invalid_grant'],
  ...['invalid_client', 'unsupported_grant_type', 'request_not_supported', 'request_uri_not_supported'],
  ...['registration_not_supported', 'invalid_request_object', 'invalid_request_uri'],
]
const troubles: readonly string[] = ['server_error', 'temporarily_unavailable']

/** Loads the library, which nobody else needs. */
export async function openProvider(
  options: ProviderOptions,
  surroundings: ProviderSurroundings,
): Promise<OpenIdProvider> {
  return createProvider(await import('oauth4webapi'), options, surroundings)
}

function createProvider(
  oauth: typeof OAuth,
  options: ProviderOptions,
  { fetch: fetchUrl, clock }: ProviderSurroundings,
): OpenIdProvider {
  const { name, clientId, redirectUri, proof, trust } = options
  const closing = new AbortController()

  /** Whole answers of a bounded size: the library reads them without a limit. */
  const boundedFetch = async (url: string, init: OAuth.CustomFetchOptions<string, unknown>): Promise<Response> => {
    const { method, headers: sent } = init
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)])
    const form = init.body instanceof URLSearchParams ? init.body.toString() : undefined
    const { status, headers, body } =
      trust.ca === undefined && trust.pins === undefined
        ? await fetchPublic(fetchUrl, url, { method, headers: sent, body: form }, signal)
        : await fetchNarrowly(url, trust, { method, headers: sent, body: form }, signal)
    if (status >= 500) throw new Error(`status ${status}`)
    if (status < 200 || (status >= 300 && status < 400)) throw new Error(`status ${status}, a redirect perhaps`)
    return new Response(status === 204 || status === 205 ? null : body, { status, headers })
  }
  const request = () => ({
    [oauth.customFetch]: boundedFetch,
    [oauth.allowInsecureRequests]: options.insecureHttp,
  })
  const client = (): OAuth.Client => ({
    client_id: clientId,
    [oauth.clockSkew]: Math.round((clock() - Date.now()) / 1000),
    [oauth.clockTolerance]: Math.ceil(options.leeway / 1000),
  })

  const metadata = createProviderMetadata(
    options,
    async () => {
      closing.signal.throwIfAborted()
      const issuer = new URL(options.issuer)
      const found = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, request()))
      // The library compares what URLs mean; the claim is compared to the letter (OpenID Connect Discovery section 4.3).
      if (found.issuer !== options.issuer) throw new Error('its configuration names another issuer')
      endpoint(found.authorization_endpoint, 'authorization_endpoint', options.insecureHttp)
      endpoint(found.token_endpoint, 'token_endpoint', options.insecureHttp)
      if (options.userinfo) endpoint(found.userinfo_endpoint, 'userinfo_endpoint', options.insecureHttp)
      if (found.end_session_endpoint !== undefined) {
        endpoint(found.end_session_endpoint, 'end_session_endpoint', options.insecureHttp)
      }
      return found
    },
    clock,
  )

  const authentication = (server: OAuth.AuthorizationServer): OAuth.ClientAuth => {
    switch (proof.kind) {
      case 'none':
        return oauth.None()
      case 'key':
        return oauth.PrivateKeyJwt(proof.keyId === undefined ? proof.key : { key: proof.key, kid: proof.keyId })
      case 'secret': {
        // Basic, which every provider has to take (RFC 6749 section 2.3.1), unless this one says that it does not.
        const methods = server.token_endpoint_auth_methods_supported
        const inBody = methods?.includes('client_secret_basic') === false && methods.includes('client_secret_post')
        return inBody ? oauth.ClientSecretPost(proof.secret) : oauth.ClientSecretBasic(proof.secret)
      }
    }
  }

  const failed = (error: unknown, what: string): Redeemed => {
    if (error instanceof oauth.ResponseBodyError) {
      const word = wordOf(error.error)
      if (troubles.includes(word)) throw unreachable(what, word)
      return { kind: 'failed', detail: `${what}: ${word}` }
    }
    // Its cause may hold a token or claims, its message does not.
    if (
      error instanceof oauth.OperationProcessingError ||
      error instanceof oauth.UnsupportedOperationError ||
      error instanceof oauth.WWWAuthenticateChallengeError
    ) {
      return { kind: 'failed', detail: `${what}: ${error.message}` }
    }
    throw unreachable(what, error instanceof Error ? error.message : 'unknown')
  }
  const unreachable = (what: string, detail: string): AuthnError =>
    new AuthnError('authn.issuer_unreachable', `${what} of the provider ${name}: ${detail}`)

  return {
    metadata,
    async authorizationUrl({ state, nonce, challenge }) {
      const server = await metadata.load()
      const url = endpoint(server.authorization_endpoint, 'authorization_endpoint', options.insecureHttp)
      const parameters = {
        client_id: clientId,
        redirect_uri: redirectUri,
        response_type: 'code',
        response_mode: 'query',
        scope: ['openid', ...options.scopes.filter(scope => scope !== 'openid')].join(' '),
        state,
        nonce,
        code_challenge: challenge,
        code_challenge_method: 'S256',
      }
      for (const [key, value] of Object.entries(parameters)) url.searchParams.set(key, value)
      return url.href
    },
    async redeem(parameters, { state, nonce, verifier }) {
      const server = await metadata.load()
      let answer: URLSearchParams
      try {
        answer = oauth.validateAuthResponse(server, client(), parameters, state)
      } catch (error) {
        if (!(error instanceof oauth.AuthorizationResponseError)) return failed(error, 'the answer in the browser')
        const word = wordOf(error.error)
        if (troubles.includes(word)) throw unreachable('the answer in the browser', word)
        return refusals.includes(word)
          ? { kind: 'refused', reason: word }
          : { kind: 'failed', detail: `the answer in the browser: ${word}` }
      }
      let tokens: OAuth.TokenEndpointResponse
      try {
        const response = await oauth.authorizationCodeGrantRequest(
          server,
          client(),
          authentication(server),
          answer,
          redirectUri,
          verifier,
          request(),
        )
        tokens = await oauth.processAuthorizationCodeResponse(server, client(), response, {
          expectedNonce: nonce,
          requireIdToken: true,
        })
      } catch (error) {
        return failed(error, 'the token endpoint')
      }
      const { id_token: idToken } = tokens
      const subject = oauth.getValidatedIdTokenClaims(tokens)?.sub
      if (idToken === undefined || subject === undefined) return { kind: 'failed', detail: 'there is no ID token' }
      if (!options.userinfo) return { kind: 'redeemed', idToken, userinfo: undefined }
      try {
        const response = await oauth.userInfoRequest(server, client(), tokens.access_token, request())
        // Read by ourselves as well: the library's JSON takes the last of two members of one name.
        const userinfo = parseJson(new Uint8Array(await response.clone().arrayBuffer()))
        await oauth.processUserInfoResponse(server, client(), subject, response)
        return isJsonObject(userinfo)
          ? { kind: 'redeemed', idToken, userinfo }
          : { kind: 'failed', detail: 'the userinfo endpoint: no JSON object' }
      } catch (error) {
        return failed(error, 'the userinfo endpoint')
      }
    },
    async endSessionUrl(idTokenHint, returnUri) {
      const server = await metadata.load().catch(() => undefined)
      if (server?.end_session_endpoint === undefined) return undefined
      const url = endpoint(server.end_session_endpoint, 'end_session_endpoint', options.insecureHttp)
      if (idTokenHint !== undefined) url.searchParams.set('id_token_hint', idTokenHint)
      url.searchParams.set('client_id', clientId)
      url.searchParams.set('post_logout_redirect_uri', returnUri)
      return url.href
    },
    close: () => closing.abort(new Error('the gateway is stopping')),
  }
}

interface Message {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

interface WholeAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
}

/** Follows no redirect: where one leads, nobody wrote into the configuration, and it would get the code or the token. */
async function fetchPublic(
  fetchUrl: typeof fetch,
  url: string,
  { method, headers, body }: Message,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const form = body === undefined ? {} : { body }
  const response = await fetchUrl(url, { method, headers, redirect: 'manual', signal, ...form })
  const whole = await readAnswerBody(response, maxAnswerBytes, 'any')
  return { status: response.status, headers: response.headers, body: whole }
}

async function fetchNarrowly(
  url: string,
  trust: TlsTrust,
  message: Message,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const response = await requestTrusted(new URL(url), trust, message, signal)
  const headers = new Headers()
  for (const name of ['content-type', 'www-authenticate']) {
    const value = response.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  return { status: response.statusCode ?? 0, headers, body: await readBounded(response, maxAnswerBytes) }
}

/** Words of providers go into the trail: only known ones do. */
function wordOf(error: string): string {
  return [...refusals, ...otherErrors, ...troubles].includes(error) ? error : 'another error'
}

function endpoint(text: string | undefined, what: string, insecureHttp: boolean): URL {
  const url = text === undefined ? null : URL.parse(text)
  if (url === null || url.hash !== '') throw new Error(`its ${what} is no URL`)
  if (url.protocol !== 'https:' && !(insecureHttp && url.protocol === 'http:')) {
    throw new Error(`its ${what} is not https`)
  }
  return url
}
