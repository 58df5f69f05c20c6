import { z } from 'zod'

/** An option as everybody but its schema sees it: nothing of it can be changed. */
export type Frozen<T> = T extends string ? T : T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T

// Option parsers that more than one folder's schema uses. Every schema is strict: an unknown key stops the start.

/** Where a secret is found: `env:NAME` or `file:path`; never the secret itself. Resolved once, at start, by `config/secret.ts`. */
export const secretReference = z
  .string()
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, 'must be env:NAME or file:path, never the secret itself')
export type SecretReference = string

/** `host:port`, `[v6]:port`; port 0 asks the system for a free one. */
export const listenAddress = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$/, 'must be host:port, for example 127.0.0.1:8080')

/** `host:port` of a server to connect to. */
export const hostAddress = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$/, 'must be host:port, for example db1.internal:5432')
  .refine(text => {
    const { port } = parseHostPort(text)
    return port > 0 && port <= 65_535
  }, 'its port must be 1 to 65535')

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function parseHostPort(text: string): HostPort {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

/** The reverse of `parseHostPort`: IPv6 addresses stand in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** What a timer of Node counts to: longer, it fires at once. */
const longestMs = 2_147_483_647

/** `250ms`, `5s`, `10m`, `1h`, `1d`, at most 24d; yields milliseconds. */
export const duration = z
  .string()
  .regex(/^[0-9]+(ms|s|m|h|d)$/, 'must be a number and a unit: 250ms, 5s, 10m, 1h, 1d')
  .transform(text => {
    const unit = text.replace(/^[0-9]+/, '') as keyof typeof unitMs
    return Number.parseInt(text, 10) * unitMs[unit]
  })
  .refine(milliseconds => milliseconds <= longestMs, 'must be at most 24d')

/** A limit in time: 0 would mean "no limit" to a timer, and nobody who writes 0 means that. */
export const timeLimit = duration.refine(milliseconds => milliseconds > 0, 'must be more than 0')

/** A name of ours: letters, digits, `_`, `-`, `.`; at most 128 characters. */
export const name = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/, 'must be a name: letters, digits, "_", "-", "."')

/** One value, or a list of them; always comes out as a list. */
export const oneOrMany = <T extends z.ZodType>(of: T) => z.union([of.transform(value => [value]), z.array(of).min(1)])

const httpUrl = z
  .string()
  .regex(/^https?:\/\/[^/?#@\s]+([/?][^#\s]*)?$/i, 'must be an http or https URL without user and password')
const fromCertificate = (what: string) =>
  z
    .enum(['ignore', 'use', 'prefer'])
    .default('ignore')
    .describe(
      `${what} that the certificate names: ignore asks none of them; use asks them besides url; prefer asks url only where none of them answers`,
    )
const whichCertificates = z
  .enum(['whole_chain', 'leaf'])
  .default('whole_chain')
  .describe('whole_chain looks at every certificate below the root, leaf at the peer’s own only')
const cacheTime = timeLimit
  .default(300_000)
  .describe('how long an answer is believed before it is asked for anew; never beyond what it says itself')

/** How it is found out that a certificate was revoked. Without it nobody is asked. */
export const revocationOptions = z
  .strictObject({
    ocsp: z
      .strictObject({
        url: httpUrl.optional().describe('responder that is asked about every certificate'),
        from_certificate: fromCertificate('responders'),
        required: z
          .enum(['deny_unknown', 'allow_unknown', 'require_good'])
          .default('deny_unknown')
          .describe(
            'deny_unknown: one responder says good and none unknown; allow_unknown: unknown is good enough; require_good: every responder that is asked says good',
          ),
        check: whichCertificates,
        nonce: z
          .enum(['optional', 'required', 'off'])
          .default('optional')
          .describe('required refuses answers that were made in advance; off is for responders that take no nonce'),
        cache_time: cacheTime,
        timeout: timeLimit.default(5_000).describe('for a responder to answer'),
      })
      .optional()
      .describe('responders (RFC 6960)'),
    crl: z
      .strictObject({
        url: oneOrMany(httpUrl).optional().describe('lists to fetch, of any of the authorities'),
        file: oneOrMany(z.string().min(1)).optional().describe('lists in DER or PEM, read anew when they change'),
        from_certificate: fromCertificate('lists'),
        check: whichCertificates,
        cache_time: cacheTime,
        cache_size: z.int().min(1).max(10_000).default(16).describe('lists that certificates name, kept at a time'),
        max_bytes: z.int().min(1_024).max(16_777_215).default(8_388_608).describe('of a list'),
        timeout: timeLimit.default(10_000).describe('for a list to be there'),
      })
      .optional()
      .describe('revocation lists (RFC 5280)'),
    hosts: z
      .array(
        z.string().regex(/^[a-z0-9.-]+(:[0-9]{1,5})?$|^\[[0-9a-f:]+\](:[0-9]{1,5})?$/i, 'must be a host, or host:port'),
      )
      .default([])
      .describe('hosts that addresses in certificates may lead to: from_certificate asks no other'),
  })
  .refine(({ ocsp, crl }) => ocsp !== undefined || crl !== undefined, 'needs ocsp or crl')
export type RevocationOptions = Frozen<z.output<typeof revocationOptions>>

const serverName = z
  .string()
  .max(253)
  .regex(
    /^(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i,
    'must be a host name, api.example.org, or *.example.org for one label more',
  )

/** A door's TLS. Paths are relative to the configuration file. */
export const serverTls = z.strictObject({
  certificate: z.string().describe('PEM file: the certificate and its chain'),
  key: z.string().describe('PEM file: the private key'),
  certificates: z
    .array(
      z.strictObject({
        names: z
          .array(serverName)
          .min(1)
          .describe('host names, which the certificate has to have; *.example.org is one label more'),
        certificate: z.string().describe('PEM file: the certificate and its chain'),
        key: z.string().describe('PEM file: its private key'),
      }),
    )
    .default([])
    .describe('further ones, for clients that ask for one of these names (SNI)'),
  unknown_name: z
    .enum(['default', 'refuse'])
    .default('default')
    .describe(
      'what a client gets who asks for a name that no certificate is for: certificate, or no connection. Who asks for none gets certificate',
    ),
  client_ca: z.string().optional().describe('PEM file: authorities whose client certificates are believed'),
  client_certificate: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe('whether clients are asked for a certificate; required refuses those without'),
  revocation: revocationOptions
    .optional()
    .describe('how it is found out that a client’s certificate was revoked; default: nobody is asked'),
})
export type ServerTls = Frozen<z.output<typeof serverTls>>

/** TLS towards a database. Paths are relative to the configuration file. */
export const databaseTlsOptions = z.strictObject({
  ca: z.string().optional().describe('PEM file of authorities, instead of the system ones'),
  server_name: z.string().optional().describe('name that its certificate must have; default: host'),
  certificate: z.string().optional().describe('PEM file: the gateway’s own certificate, where the server wants one'),
  key: z.string().optional().describe('PEM file: its private key'),
  channel_binding: z
    .enum(['prefer', 'require'])
    .default('prefer')
    .describe('require refuses every login but SCRAM-SHA-256-PLUS, which nobody between us and the server can pass on'),
  negotiation: z
    .enum(['postgres', 'direct'])
    .default('postgres')
    .describe('direct begins with TLS at once, as PostgreSQL 17 and newer can'),
})

/** Verified unless it is off. */
export const databaseTls = z
  .union([z.literal('off'), databaseTlsOptions])
  .prefault({})
  .describe('verify-full by default; off is for a server on the same machine')
export type DatabaseTls = Frozen<z.output<typeof databaseTls>>

/** A program that prints a password. */
export const passwordCommand = z.strictObject({
  run: z
    .array(z.string().min(1))
    .min(1)
    .describe(
      'the program and its arguments, without a shell; a path is relative to this file, a bare name is looked up in PATH',
    ),
  timeout: timeLimit.default(10_000).describe('then it is killed, and the login fails'),
  cache_time: timeLimit
    .default(300_000)
    .describe('how long what it printed is used; a password that the server refuses is fetched anew at once'),
})
export type PasswordCommandOptions = Frozen<z.output<typeof passwordCommand>>

/** What the gateway logs in to a database with. */
export const databaseLogin = z
  .strictObject({
    user: z.string().min(1).describe('role that the gateway logs in as'),
    password: secretReference
      .optional()
      .describe(
        'its password; file: is read at each login, so that it may change. Left out where tls.certificate is enough',
      ),
    password_command: passwordCommand
      .optional()
      .describe('instead of password: a program prints it, for tokens that live for minutes'),
  })
  .describe('the gateway’s own credential; users never hold it')
export type DatabaseCredential = Frozen<z.output<typeof databaseLogin>>

/** How Redis (7 or newer) or Valkey is reached. */
export const redisOptions = {
  url: z
    .string()
    .regex(
      /^rediss?:\/\/[^/?#@]+(\/[0-9]{1,2})?$/,
      'must be redis(s)://host:port or with /database, without a password',
    )
    .describe('redis(s)://host:port/database'),
  user: z.string().min(1).optional().describe('who the gateway is there'),
  password: secretReference.optional().describe('of the gateway there'),
  ca: z.string().optional().describe('PEM file of authorities, instead of the system ones (rediss)'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9:_.-]{1,64}$/, 'must be letters, digits, ":", "_", "-", "."')
    .default('bawn')
    .describe('of every key there'),
}

export type RedisOptions = Frozen<z.output<z.ZodObject<typeof redisOptions>>>
