import { z } from 'zod'
import { addressRanges, proxyProtocolOptions } from '../authn/option.ts'
import { rateLimitOptions, routeRateLimitOptions } from '../limits/option.ts'
import { duration, type Frozen, listenAddress, name, serverTls, timeLimit } from '../option.ts'
import { outboundCredentialsOptions } from '../outbound/option.ts'
import { celText, roleWish } from '../policy/option.ts'
import { backendOptions, backendProblems } from './backend-option.ts'
import { hintProblems, hintsOptions } from './hint-option.ts'
import { hostPatternProblem } from './route-hosts.ts'

/** Of a token that is signed here: whose it is, for whom and how long. */
const ownClaims = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']

const headerName = z.string().regex(/^[A-Za-z0-9-]+$/)

export const trustedProxiesOptions = z.strictObject({
  addresses: addressRanges.describe(
    'addresses or CIDR, IPv4 or IPv6, or "local": peers whose forwarding header is believed',
  ),
  header: z
    .enum(['x-forwarded-for', 'forwarded'])
    .default('x-forwarded-for')
    .describe('which one they write: X-Forwarded-For and -Proto, or Forwarded (RFC 7239)'),
})
export type TrustedProxiesOptions = Frozen<z.output<typeof trustedProxiesOptions>>

export const httpListenerOptions = z.strictObject({
  door: z.literal('http'),
  address: listenAddress.describe('host:port to listen on; port 0 takes a free one'),
  tls: serverTls.optional().describe('without it everything crosses in clear'),
  engine: z
    .enum(['llhttp', 'node-http'])
    .default('llhttp')
    .describe('what reads HTTP: llhttp on bare sockets, or node:http, which is slower'),
  http2: z
    .boolean()
    .default(true)
    .describe('HTTP/2 is offered besides HTTP/1.1, where there is TLS (ALPN) and the engine is llhttp'),
  trusted_proxies: trustedProxiesOptions
    .optional()
    .describe('who is believed about where a request came from; without it nobody is'),
  proxy_protocol: proxyProtocolOptions
    .optional()
    .describe('whose connections begin with a PROXY header, which says where the client is'),
  max_header_bytes: z.int().min(1024).max(1_048_576).default(16_384).describe('of a request’s head'),
  max_body_bytes: z.int().min(0).default(10_485_760).describe('of a request'),
  header_timeout: timeLimit.default(10_000).describe('until a request’s head is there'),
  request_timeout: timeLimit.default(60_000).describe('until the whole request is there'),
  keep_alive_timeout: timeLimit.default(65_000).describe('how long an idle connection is kept'),
  max_connections: z.int().min(1).default(10_000).describe('of clients; more are closed at once'),
  max_websockets: z.int().min(0).default(1_000).describe('of those, WebSocket connections at a time; more get 503'),
  max_websockets_per_identity: z.int().min(1).default(100).describe('of those, of one identity; more get 503'),
  rate_limit: rateLimitOptions.optional().describe('requests to this listener, before anybody is identified'),
})
export type HttpListenerOptions = Frozen<z.output<typeof httpListenerOptions>>

const upstreamUrl = z
  .string()
  .regex(/^https?:\/\/[^/?#]+(\/[^?#]*)?$/, 'must be http(s)://host:port or http(s)://host:port/prefix')

const statusList = z.array(z.int().min(100).max(599)).min(1)

export const healthCheckOptions = z.strictObject({
  path: z
    .string()
    .regex(/^\/[!-~]*$/, 'must be a path: /healthz')
    .describe('what is asked for with GET, behind the prefix'),
  interval: timeLimit.default(5_000).describe('between two questions'),
  timeout: timeLimit.default(2_000).describe('for an answer'),
  status: statusList.default([200, 204]).describe('of answers that say that it is well'),
  healthy: z.int().min(1).max(100).default(2).describe('such answers in a row until it gets requests again'),
  unhealthy: z.int().min(1).max(100).default(2).describe('others in a row until it gets none'),
})
export type HealthCheckOptions = Frozen<z.output<typeof healthCheckOptions>>

export const upstreamOptions = z
  .strictObject({
    url: upstreamUrl.optional().describe('where it is; a prefix stands before every path. This or urls'),
    urls: z
      .array(upstreamUrl)
      .min(1)
      .max(64)
      .optional()
      .describe('servers that do the same: each request goes to the one of them with the fewest under way'),
    retries: z
      .int()
      .min(0)
      .max(5)
      .optional()
      .describe(
        'how often a request is sent again, to another server if there is one, where that is safe: nothing was sent, or the method is idempotent and the body is here; of all requests at most a fifth. Default: 1 with several urls, else 0',
      ),
    outlier: z
      .strictObject({
        failures: z
          .int()
          .min(1)
          .max(1_000)
          .default(5)
          .describe('in a row: no connection, no answer in time, or a bad one'),
        status: statusList
          .default([502, 503, 504])
          .describe('of answers that count as failures, and are asked for again'),
        time: timeLimit.default(10_000).describe('how long; n times as long for the nth time in a row'),
        max_time: timeLimit.default(300_000).describe('and no longer'),
      })
      .prefault({})
      .describe('when one of several servers is left alone, and for how long'),
    health: healthCheckOptions
      .optional()
      .describe('asks each server whether it is well; one that is not gets no requests. Default: nobody is asked'),
    ca: z.string().optional().describe('PEM file of authorities, instead of the system ones'),
    client_certificate: z
      .strictObject({
        certificate: z.string().describe('PEM file: the certificate and its chain'),
        key: z.string().describe('PEM file: the private key'),
      })
      .optional()
      .describe('what the gateway shows of itself in TLS'),
    credentials: outboundCredentialsOptions
      .optional()
      .describe('how the gateway says who it is: in place of whatever the caller sent'),
    connect_timeout: timeLimit.default(5_000).describe('until it is connected, TLS included'),
    response_timeout: timeLimit.default(30_000).describe('until the response head'),
    idle_timeout: timeLimit.default(30_000).describe('between two pieces of a response body'),
    max_connections: z.int().min(1).default(256).describe('to each server at a time; further requests wait'),
    reuse_after_body: z
      .boolean()
      .default(true)
      .describe(
        'false, for a server that may answer without having read the body: a request that has one is the last on its connection',
      ),
  })
  .refine(({ url, urls }) => (url === undefined) !== (urls === undefined), 'needs url or urls, and not both')
export type UpstreamOptions = Frozen<z.output<typeof upstreamOptions>>

/** Of all its servers. */
export function urlsOf({ url, urls }: Pick<UpstreamOptions, 'url' | 'urls'>): readonly string[] {
  return urls ?? (url === undefined ? [] : [url])
}

const origin = z
  .string()
  .regex(
    /^(?:\*|https?:\/\/(?:\*\.)?[a-z0-9.-]+(?::[0-9]{1,5})?|https?:\/\/\[[0-9a-f:.]+\](?::[0-9]{1,5})?)$/,
    'must be an origin in small letters: https://app.example, https://*.app.example, or * for all',
  )

export const corsOptions = z
  .strictObject({
    origins: z
      .array(origin)
      .min(1)
      .describe(
        'whose pages may read answers: https://app.example, https://*.app.example for every name under it, or *',
      ),
    headers: z
      .array(headerName)
      .default(['Authorization', 'Content-Type'])
      .describe('headers that such a page may send'),
    expose: z.array(headerName).default([]).describe('headers of answers that it may read, besides the usual ones'),
    credentials: z
      .boolean()
      .default(false)
      .describe('cookies of the upstream and certificates may go along; not with origins: ["*"]'),
    max_age: duration
      .refine(ms => ms <= 86_400_000, 'must be at most 1d')
      .default(600_000)
      .describe('how long a browser remembers what it was told before a request'),
  })
  .refine(
    ({ origins, credentials }) => !credentials || !origins.includes('*'),
    'credentials needs the origins by name: with * every page of the world would act as the person before the browser',
  )
export type CorsOptions = Frozen<z.output<typeof corsOptions>>

export const errorPageOptions = z
  .strictObject({
    body: z.string().optional().describe('the text; this or file'),
    file: z.string().optional().describe('file with the text, at most 1 MiB; read at start and at each reload'),
    content_type: z
      .string()
      .regex(/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:; ?[\w-]+=[\w-]+)*$/, 'must be a media type: text/html; charset=utf-8')
      .default('application/problem+json')
      .describe('media type of it'),
    status: z.int().min(400).max(599).optional().describe('status of the answer instead'),
  })
  .refine(({ body, file }) => (body === undefined) !== (file === undefined), 'needs body or file, and not both')
export type ErrorPageOptions = Frozen<z.output<typeof errorPageOptions>>

const method = z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

export const aclRuleOptions = z.strictObject({
  name: name.describe('for the audit trail, and bawn explain'),
  effect: z
    .enum(['allow', 'deny'])
    .describe('deny refuses, whatever a route’s policies say; allow permits where a route’s allow has acl'),
  priority: z
    .int()
    .min(-1_000_000)
    .max(1_000_000)
    .default(0)
    .describe('lower numbers are asked first; of one number deny before allow, then in the order of the file'),
  path: z
    .string()
    .startsWith('/')
    .optional()
    .describe('/orders/{id}, or /admin/* with all below it; default: every path'),
  methods: z.array(method).min(1).optional().describe('default: every method'),
  addresses: addressRanges.optional().describe('of the client: addresses or CIDR, or "local"; default: every one'),
  roles: roleWish.optional().describe('roles of the caller: a list of which one is enough, or any and all'),
  when: celText
    .optional()
    .describe('an expression that must be true; without an answer, deny denies and allow does not allow'),
})
export type AclRuleOptions = Frozen<z.output<typeof aclRuleOptions>>

const plainRouteOptions = z.strictObject({
  path: z.string().startsWith('/').describe('/orders, /orders/{customer}, /files/*'),
  hosts: z
    .array(
      z.string().superRefine((text, context) => {
        const message = hostPatternProblem(text)
        if (message !== undefined) context.addIssue({ code: 'custom', message })
      }),
    )
    .min(1)
    .optional()
    .describe(
      'names by which it is asked for (Host): shop.example, or *.example for every name under it; the longest that has a route for the path decides. Default: every name',
    ),
  methods: z.array(method).min(1).describe('HEAD and OPTIONS are not implied'),
  upstream: name.optional().describe('where requests go: a name of upstreams. This or backends'),
  upstream_path: z
    .string()
    .startsWith('/')
    .optional()
    .describe(
      'path that the upstream gets, behind the prefix of its url: literals, {parameter} of path, {identity.id}, {identity.claims.name}, and * at its end for what * of path stands for. Default: the path as it was asked for',
    ),
  backends: z
    .array(backendOptions)
    .min(1)
    .max(16)
    .optional()
    .describe(
      'in place of upstream: all are asked at once, and one JSON answer is made of theirs; objects of one name become one, of other members of one name that of the later in this list counts',
    ),
  sequential: z
    .boolean()
    .default(false)
    .describe('backends are asked one after the other, and may use what those before them answered'),
  allow: z.array(name).min(1).describe('policies; one that permits is enough. anyone makes the route public'),
  issuers: z
    .array(name)
    .min(1)
    .optional()
    .describe('whose tokens are taken here, names of issuers; default: those of all'),
  response_allow: z
    .array(name)
    .min(1)
    .optional()
    .describe(
      'policies about the answer; where none permits, it is withheld: 403. By then the upstream has done what it was asked',
    ),
  request_headers: z
    .array(headerName)
    .optional()
    .describe(
      'what the upstream may see of the caller’s headers; default: all but hop-by-hop, credentials and identity headers',
    ),
  query: z
    .array(z.string().min(1))
    .optional()
    .describe('names of the parameters that the upstream may see of the query, in exact case; default: all'),
  identity_headers: z
    .strictObject({
      id: headerName.optional().describe('header that gets the id'),
      roles: headerName.optional().describe('header that gets the roles'),
      claims: z
        .record(headerName, z.string().min(1))
        .default({})
        .describe(
          'headers that get claims of the token: header: claim, a dotted path reaches into objects; lists are joined with commas, and what is missing or no text makes no header',
        ),
      signed: z
        .strictObject({
          header: headerName.describe('header that gets the token'),
          signing: name.describe('whose key signs it: a name of signing'),
          audience: z.string().min(1).optional().describe('aud; default: the name of the upstream'),
          ttl: timeLimit.default(60_000).describe('how long it is good'),
          claims: z.array(z.string().min(1)).default([]).describe('claims of the caller’s token that go along'),
        })
        .optional()
        .describe('header that gets a signed token (JWT) of who is asking: sub, roles, aud, exp'),
    })
    .optional()
    .describe('headers in which the upstream learns who is asking; a caller’s own are always removed'),
  hints: hintsOptions
    .optional()
    .describe(
      'what the policies say of rows and fields, for the backend to apply; without it a request does not go on',
    ),
  response_timeout: timeLimit
    .optional()
    .describe('until the head of an answer, with backends until all answers are whole; default: that of the upstream'),
  max_body_bytes: z.int().min(0).optional().describe('of a request, where it is less than that of the listener'),
  max_json_bytes: z
    .int()
    .min(1)
    .default(8_388_608)
    .describe(
      'of a body in which fields are opened, or that response_allow asks about; of all answers of backends together, of which each has an equal share',
    ),
  sign: z
    .strictObject({
      signing: name.describe('whose key signs: a name of signing'),
      members: z.array(z.string().min(1)).min(1).describe('members of the answer that are claims, and become tokens'),
      format: z
        .enum(['compact', 'json'])
        .default('compact')
        .describe('compact, or the flattened JSON serialization as a string'),
      typ: z
        .string()
        .regex(/^[A-Za-z0-9!#$&^_.+-]{1,64}$/, 'must be a media type without application/: at+jwt')
        .default('JWT')
        .describe('type that the header of a token states'),
      claims: z
        .array(
          z
            .string()
            .min(1)
            .max(256)
            .refine(text => !ownClaims.includes(text), 'is said by the gateway, or the login'),
        )
        .max(32)
        .default([])
        .describe(
          'claims at the top of the token that the caller has proven itself with; they go along, exactly as they are, and what the login says of them does not',
        ),
      ttl: duration.default(900_000).describe('how long a token is good: where exp is missing, and at most'),
    })
    .optional()
    .describe('what a login answers in JSON with status 200 is signed: for clients that get tokens of yours'),
  websocket: z
    .boolean()
    .default(false)
    .describe(
      'a GET may become a WebSocket connection (HTTP/1.1, engine llhttp); not with fields, which nobody could open there',
    ),
  websocket_max: z
    .int()
    .min(1)
    .optional()
    .describe('of this route at a time; more get 503. Default: as many as the listener has'),
  websocket_idle_timeout: timeLimit.default(300_000).describe('without a byte either way: then it is closed'),
  websocket_lifetime: timeLimit.optional().describe('then it is closed, whatever passes; default: none'),
  websocket_origins: z
    .array(origin.refine(text => !text.includes('*'), 'must be one origin, without *'))
    .default([])
    .describe('whose pages may open one as the person before the browser, besides those of the host that is asked'),
  cors: corsOptions
    .optional()
    .describe(
      'pages of other origins that may read answers; what the upstream says of it goes. Default: the upstream’s matter',
    ),
  cache_max_age: duration
    .optional()
    .describe(
      'how long answers of 200 to GET and HEAD may be kept: by the caller alone where somebody has to be identified, or the upstream is shown a credential of the caller, else by everybody. Default: what the upstream says, for the caller alone where somebody has to be identified',
    ),
  errors: z
    .record(z.string().regex(/^[45][0-9][0-9]$/, 'must be a status from 400 to 599'), errorPageOptions)
    .default({})
    .describe('what this route answers in place of the gateway’s problem documents, by their status'),
  rate_limit: routeRateLimitOptions.optional().describe('requests to this route; besides that of the listener'),
})

export const routeOptions = plainRouteOptions.superRefine((route, context) => {
  backendProblems(route, (path, message) => context.addIssue({ code: 'custom', path, message }))
  hintProblems(route, (path, message) => context.addIssue({ code: 'custom', path, message }))
})
export type RouteOptions = Frozen<z.output<typeof routeOptions>>
