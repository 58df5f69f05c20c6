/** What a gateway of the soak has around it. */
export interface Surroundings {
  readonly name: string
  readonly ports: { readonly web: number; readonly secure: number; readonly sql: number; readonly desk: number }
  readonly upstreamPort: number
  /** URL. */
  readonly issuer: string
  readonly redisPort: number
  readonly databasePort: number
  readonly apiKeys: readonly { readonly name: string; readonly hash: string }[]
}

/** How long what is known of revocations holds when Redis is away. */
export const staleMs = 3_000

/** Two workers each. Revocations, rates and tokens are common to all gateways, in Redis; each has a trail of its own. */
export function configuration(around: Surroundings): string {
  const { name, ports, upstreamPort, issuer, redisPort, databasePort, apiKeys } = around
  const inRedis = `kind: redis, url: "redis://127.0.0.1:${redisPort}", password: file:redis.password`
  const identified = 'identity_headers: { id: X-User }, rate_limit: { per: client, rate: 1000000/s }'
  const keys = apiKeys.map(key => `{ name: ${key.name}, hash: "${key.hash}", roles: [staff] }`).join(', ')
  return `workers: 2
listeners:
  web: { door: http, address: 127.0.0.1:${ports.web} }
  secure: { door: http, address: 127.0.0.1:${ports.secure}, tls: { certificate: server.pem, key: server.key } }
  sql: { door: postgres, address: 127.0.0.1:${ports.sql} }
  desk: { door: admin, address: 127.0.0.1:${ports.desk}, token_file: ${name}.token }
databases:
  shop: { host: 127.0.0.1, port: ${databasePort}, database: postgres, tls: off, login: { user: postgres, password: file:postgres.password }, allow: [staff, billing] }
upstreams: { api: { url: "http://127.0.0.1:${upstreamPort}" } }
accounts: { members: { kind: sqlite, path: accounts.db } }
issuers:
  corp: { issuer: "${issuer}", audience: [shop], jwks: "${issuer}/jwks", insecure_http: true, algorithms: [ES256], refresh: 1s, stale: 3s }
mechanisms: { basic: {}, jwt: {}, api-key: { keys: [${keys}] } }
host_rules:
  - { door: http, use: [token, basic, jwt, api-key] }
  - { door: postgres, user: holder, use: [scram] }
  - { door: postgres, use: [jwt] }
tokens: { ${inRedis}, headers: false, ttl: 1h, max_per_subject: 500 }
policies:
  staff: { roles: [staff] }
  billing: { roles: [billing] }
  own: "identity.id == resource.path.customer"
routes:
  - { path: "/staff/{nonce}", methods: [GET], upstream: api, allow: [staff], ${identified} }
  - { path: "/own/{customer}/{nonce}", methods: [GET], upstream: api, allow: [own], ${identified} }
  - { path: "/people/{id}", methods: [GET], upstream: api, allow: [authenticated], ${identified} }
fields:
  - name: email
    columns: [public.people.email]
    json: [{ route: "/people/{id}", path: $.email, carries: plain }]
    protect: { encrypt: acrablock }
    reveal: { billing: plain, staff: { mask: email }, default: nothing }
  - name: card
    json: [{ route: "/people/{id}", path: $.card }]
    protect: { encrypt: acrastruct }
    reveal: { billing: plain, staff: { mask: keep_last, characters: 4 }, default: nothing }
revocations: { ${inRedis}, stale_after: ${staleMs}ms }
rate_limits: { ${inRedis} }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: soak-keys }
audit: { file: ${name}.jsonl }
`
}
