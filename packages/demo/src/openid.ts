import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import Provider, { type Adapter, type AdapterPayload, type JWK, type ResourceServer } from 'oidc-provider'
import { listen } from './listen.ts'
import {
  answerInteraction,
  type BrowserClient,
  browserClientMetadata,
  loginConfiguration,
  logoutQuestion,
} from './openid-login.ts'

export interface Person {
  readonly id: string
  readonly roles: readonly string[]
  /** What the provider asks of this person, as the password of Basic authentication. */
  readonly secret: string
}

export interface OpenIdOptions {
  readonly people: readonly Person[]
  /** The `aud` of every token. */
  readonly audience: string
  /** Default: a free one. */
  readonly port?: number
  /** How long a token is valid. */
  readonly tokenLifetimeSeconds?: number
  /** How access tokens are signed, and encrypted if at all; default: signed with ES256. */
  readonly jwt?: ResourceServer['jwt']
  /** What sends people here to log in; they type their id and their secret. */
  readonly browser?: BrowserClient
  /** How the provider reaches others, to tell them of a logout. */
  readonly fetch?: typeof fetch
  /** Default: one of its own. */
  readonly keys?: OpenIdKeys
}

/** What it publishes, and signs with. */
export interface OpenIdKeys {
  /** Private keys for ES256, each with a `kid`; all of them are published. */
  readonly jwks: readonly JWK[]
  /** `kid` of the one that signs. */
  readonly signing: string
}

export interface OpenId {
  /** Exact value of the `iss` claim. */
  readonly issuer: string
  readonly jwksUrl: string
  readonly tokenUrl: string
  /** Fetches a token over the wire, as any client would. */
  token(id: string): Promise<string>
  /** From now on it has these keys. */
  exchangeKeys(keys: OpenIdKeys): void
  close(): Promise<void>
}

/**
 * A certified OpenID provider (`oidc-provider`) on 127.0.0.1, over plain HTTP. People are clients of their own and get their
 * token by client credentials, where nobody sits at a browser: `curl -u alice:SECRET TOKEN_URL -d grant_type=client_credentials`.
 * Tokens are JWTs signed with ES256, `sub` and `preferred_username` are the id, `roles` is a list.
 */
export async function startOpenId(options: OpenIdOptions): Promise<OpenId> {
  const server = createServer()
  const port = await listen(server, options.port ?? 0)
  const issuer = `http://127.0.0.1:${port}`
  let provider = createProvider(issuer, options)
  let answer = provider.callback()
  server.on('request', (request, response) => {
    answerInteraction(provider, options.people, request, response).then(
      done => (done ? undefined : answer(request, response)),
      () => response.writeHead(400).end(),
    )
  })
  const tokenUrl = `${issuer}/token`
  return {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    tokenUrl,
    exchangeKeys(keys) {
      provider = createProvider(issuer, { ...options, keys })
      answer = provider.callback()
    },
    async token(id) {
      const person = options.people.find(one => one.id === id)
      if (person === undefined) throw new TypeError(`nobody is called ${id}`)
      const answer = await fetch(tokenUrl, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${person.id}:${person.secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
      const body: unknown = await answer.json()
      if (
        typeof body === 'object' &&
        body !== null &&
        'access_token' in body &&
        typeof body.access_token === 'string'
      ) {
        return body.access_token
      }
      throw new Error(`no token for ${id}: ${JSON.stringify(body)}`)
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function createProvider(issuer: string, options: OpenIdOptions): Provider {
  const { people, audience, tokenLifetimeSeconds = 43_200, browser, keys = createKeys() } = options
  const { jwt = { sign: { alg: 'ES256', kid: keys.signing } } } = options
  const login = loginConfiguration(people, browser?.claimsIn ?? 'id_token')
  const resource = `urn:${audience}`
  const roles = new Map(people.map(person => [person.id, person.roles]))
  const persons = people.map(person => ({
    client_id: person.id,
    client_secret: person.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }))
  return new Provider(issuer, {
    ...login,
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    adapter: createMemoryAdapter,
    clients: browser === undefined ? persons : [...persons, browserClientMetadata(browser)],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    ttl: { ...login.ttl, ClientCredentials: tokenLifetimeSeconds },
    jwks: { keys: keys.jwks.map(key => ({ ...key, use: 'sig', alg: 'ES256' })) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource: logoutQuestion },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // An access token for userinfo is for the provider itself.
        defaultResource: (_, client) => (client.clientId === browser?.id ? undefined : resource),
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: tokenLifetimeSeconds,
          jwt,
        }),
      },
    },
    extraTokenClaims: (_, token) =>
      token.kind === 'ClientCredentials' && token.clientId !== undefined
        ? { preferred_username: token.clientId, roles: [...(roles.get(token.clientId) ?? [])] }
        : undefined,
  })
}

function createKeys(): OpenIdKeys {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { jwks: [{ ...privateKey.export({ format: 'jwk' }), kid: 'demo' }], signing: 'demo' }
}

/** Sessions, codes and grants, of one kind in each. */
function createMemoryAdapter(): Adapter {
  const entries = new Map<string, AdapterPayload>()
  const find = (matches: (payload: AdapterPayload) => boolean) => Promise.resolve([...entries.values()].find(matches))
  return {
    upsert: async (id, payload) => void entries.set(id, payload),
    find: id => Promise.resolve(entries.get(id)),
    findByUid: uid => find(payload => payload.uid === uid),
    findByUserCode: code => find(payload => payload.userCode === code),
    consume: async id => {
      const payload = entries.get(id)
      if (payload !== undefined) payload.consumed = true
    },
    destroy: async id => void entries.delete(id),
    revokeByGrantId: async grantId => {
      for (const [id, payload] of entries) if (payload.grantId === grantId) entries.delete(id)
    },
  }
}
