/**
 * What a header is to a gateway.
 * - `hop`: between two neighbours only (RFC 9110 section 7.6.1); never passed on
 * - `framing`: says where a message ends; each side makes its own
 * - `forwarding`: says who came and by which way; only ours is believed
 * - `identity`: says who somebody is; only ours is believed
 * - `override`: asks a server to see another method, path or host than the one that was decided on
 * - `credential`: for whom it is addressed to, so only passed on where a route lists it
 * - `odd`: has characters that some servers fold together (CGI, WSGI, PHP and nginx maps see `X_User` as `X-User`)
 * - `validator`: lets a cache or a range refer to bytes that field routes replace
 * - `content`: says how a body is to be read
 */
export type HeaderKind =
  | 'pass'
  | 'hop'
  | 'framing'
  | 'host'
  | 'forwarding'
  | 'identity'
  | 'override'
  | 'credential'
  | 'odd'
  | 'validator'
  | 'content'

export interface HeaderClass {
  /** Lower case. */
  readonly name: string
  readonly kind: HeaderKind
  /** Which caches it speaks to; `undefined`: none. */
  readonly caching: 'own' | 'shared' | undefined
}

// Shared caches go by the ones that are theirs before Cache-Control (RFC 9213; Surrogate-Control of Edge Architecture; nginx).
const sharedCacheRules = /^(?:surrogate-control|x-accel-expires|(?:[a-z0-9-]+-)?cdn-cache-control)$/
const cacheRules = /^(?:cache-control|expires|pragma)$/

const table: Readonly<Record<Exclude<HeaderKind, 'pass' | 'odd'>, readonly string[]>> = {
  hop: [
    ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'http2-settings'],
    ...['proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info', 'expect'],
    // Not hop-by-hop by its own RFC (7838), but it would lead clients past the gateway.
    'alt-svc',
  ],
  framing: ['content-length', 'transfer-encoding'],
  host: ['host'],
  forwarding: [
    ...['forwarded', 'via', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'true-client-ip', 'cf-connecting-ip'],
    ...['fastly-client-ip', 'x-envoy-external-address', 'x-request-id', 'x-original-forwarded-for', 'x-remote-ip'],
    ...[
      'x-remote-addr',
      'x-originating-ip',
      'x-proxyuser-ip',
      'x-host',
      'x-original-host',
      'x-scheme',
      'x-url-scheme',
      'x-proto',
      'front-end-https',
    ],
    ...['client-ip', 'proxy-client-ip', 'wl-proxy-client-ip', 'fly-client-ip', 'do-connecting-ip', 'x-sucuri-clientip'],
    ...['cf-connecting-ipv6', 'cf-pseudo-ipv4', 'x-azure-clientip', 'x-azure-socketip', 'x-appengine-user-ip'],
    ...['x-nf-client-connection-ip', 'x-envoy-internal', 'x-original-remote-addr'],
  ],
  identity: [
    ...['remote-user', 'x-remote-user', 'x-user', 'x-user-id', 'x-user-name', 'x-username', 'x-user-email', 'x-email'],
    ...[
      'x-user-role',
      'x-user-roles',
      'x-role',
      'x-roles',
      'x-groups',
      'x-auth-user',
      'x-auth-roles',
      'x-auth-request-user',
    ],
    ...['x-authenticated-user', 'x-authenticated-userid', 'x-authenticated-groups', 'x-authenticated-scope'],
    ...['x-credential-identifier', 'x-consumer-id', 'x-consumer-username', 'x-consumer-custom-id', 'x-subject'],
    ...['client-cert', 'client-cert-chain', 'x-client-cert', 'x-client-dn', 'x-client-verify', 'x-amzn-oidc-identity'],
    ...[
      'x-amzn-oidc-data',
      'x-amzn-oidc-accesstoken',
      'x-goog-authenticated-user-email',
      'x-goog-authenticated-user-id',
    ],
    ...['x-goog-iap-jwt-assertion', 'cf-access-authenticated-user-email', 'cf-access-jwt-assertion'],
    ...['remote-name', 'remote-email', 'remote-group', 'remote-groups', 'x-remote-group', 'x-remote-groups'],
    ...['x-userinfo', 'x-user-info', 'x-endpoint-api-userinfo', 'x-apigateway-api-userinfo', 'x-arr-clientcert'],
    ...['x-tls-client-cert', 'x-anonymous-consumer', 'x-jwt-assertion', 'x-jwt-payload'],
  ],
  override: [
    ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-original-uri'],
    ...['x-rewrite-url', 'x-original-method', 'x-override-url', 'x-envoy-original-path'],
    // CGI and its heirs make HTTP_PROXY of it, by which the backend's own requests then go out (CVE-2016-5385 and others).
    'proxy',
  ],
  credential: ['authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token', 'x-access-token'],
  validator: [
    ...['etag', 'last-modified', 'accept-ranges', 'content-range', 'content-md5', 'digest', 'content-digest'],
    ...['repr-digest', 'range', 'if-range', 'if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since'],
    ...['cache-control', 'expires', 'pragma', 'surrogate-control', 'cdn-cache-control', 'age'],
  ],
  content: ['content-type', 'content-encoding', 'content-language', 'content-location', 'content-disposition'],
}

/** Families whose every member is one of these, whatever follows. */
const families: readonly (readonly [string, HeaderKind])[] = [
  // `X-Forward-For` too: it is misspelt in many a backend.
  ['x-forward', 'forwarding'],
  // A handshake of its own is made with the upstream.
  ['sec-websocket-', 'hop'],
  ['x-bawn-', 'identity'],
  ['x-auth-request-', 'identity'],
  ['x-ssl-', 'identity'],
  ['ssl-client-', 'identity'],
  ['x-client-cert-', 'identity'],
  ['x-ms-client-principal', 'identity'],
  ['x-ms-token-', 'identity'],
  // Grafana and others behind a proxy that authenticates.
  ['x-webauth-', 'identity'],
  ['x-authentik-', 'identity'],
  ['x-pomerium-', 'identity'],
  ['x-vouch-', 'identity'],
  ['x-consumer-', 'identity'],
  ['x-authenticated-', 'identity'],
  ['x-token-', 'identity'],
  ['x-jwt-claim-', 'identity'],
  ['x-hasura-', 'identity'],
  // Kubernetes.
  ['impersonate-', 'identity'],
  ['x-remote-extra-', 'identity'],
]

const known = new Map<string, HeaderKind>()
for (const [kind, names] of Object.entries(table) as [HeaderKind, readonly string[]][]) {
  for (const name of names) known.set(name, kind)
}

function classify(raw: string): HeaderClass {
  const name = internal(raw.toLowerCase())
  const caching = sharedCacheRules.test(name) ? 'shared' : cacheRules.test(name) ? 'own' : undefined
  if (!/^[a-z0-9-]+$/.test(name)) return { name, kind: 'odd', caching }
  const family = families.find(([prefix]) => name.startsWith(prefix))
  return { name, kind: family?.[1] ?? known.get(name) ?? 'pass', caching }
}

/** The same text as names in a program are kept: V8 then compares it with those without looking at its characters. */
function internal(name: string): string {
  return Object.keys({ [name]: true })[0] ?? name
}

// Clients choose names, so the cache is bounded: full, it keeps what it has, which are the names of ordinary clients.
const maxCached = 1024
const cache = new Map<string, HeaderClass>()

/** @param raw a header's name as it came */
export function headerClass(raw: string): HeaderClass {
  const cached = cache.get(raw)
  if (cached !== undefined) return cached
  const made = classify(raw)
  if (cache.size < maxCached && raw.length <= 64) cache.set(raw, made)
  return made
}
