import { z } from 'zod'
import { duration, type Frozen, listenAddress, name, serverTls } from '../option.ts'

export const httpListenerOptions = z.strictObject({
  door: z.literal('http'),
  address: listenAddress,
  tls: serverTls.optional(),
  engine: z.enum(['node-http']).default('node-http'),
  max_header_bytes: z.int().min(1024).max(1_048_576).default(16_384),
  max_body_bytes: z.int().min(0).default(10_485_760).describe('of a request'),
  header_timeout: duration.default(10_000),
  request_timeout: duration.default(60_000),
  keep_alive_timeout: duration.default(65_000),
  max_connections: z.int().min(1).default(10_000),
})
export type HttpListenerOptions = Frozen<z.output<typeof httpListenerOptions>>

export const upstreamOptions = z.strictObject({
  url: z.string().regex(/^https?:\/\/[^/?#]+(\/[^?#]*)?$/, 'must be http(s)://host:port or http(s)://host:port/prefix'),
  ca: z.string().optional().describe('PEM file of authorities, instead of the system ones'),
  connect_timeout: duration.default(5_000),
  response_timeout: duration.default(30_000).describe('until the response head'),
  idle_timeout: duration.default(30_000).describe('between two pieces of a response body'),
  max_connections: z.int().min(1).default(256),
})
export type UpstreamOptions = Frozen<z.output<typeof upstreamOptions>>

export const routeOptions = z.strictObject({
  path: z.string().startsWith('/').describe('/orders, /orders/{customer}, /files/*'),
  methods: z.array(z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])).min(1),
  upstream: name,
  allow: z.array(name).min(1).describe('policies; one that permits is enough. anyone makes the route public'),
  request_headers: z
    .array(z.string().regex(/^[A-Za-z0-9-]+$/))
    .optional()
    .describe(
      'what the upstream may see of the caller’s headers; default: all but hop-by-hop, credentials and identity headers',
    ),
  identity_headers: z
    .strictObject({
      id: z
        .string()
        .regex(/^[A-Za-z0-9-]+$/)
        .optional(),
      roles: z
        .string()
        .regex(/^[A-Za-z0-9-]+$/)
        .optional(),
    })
    .optional()
    .describe('headers in which the upstream learns who is asking; a caller’s own are always removed'),
  max_json_bytes: z.int().min(1).default(8_388_608).describe('of a body in which fields are opened'),
})
export type RouteOptions = Frozen<z.output<typeof routeOptions>>
