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

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function parseHostPort(text: string): HostPort {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
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

/** A door's TLS. Paths are relative to the configuration file. */
export const serverTls = z.strictObject({
  certificate: z.string().describe('PEM file: the certificate and its chain'),
  key: z.string().describe('PEM file: the private key'),
  client_ca: z.string().optional().describe('PEM file: authorities whose client certificates are believed'),
  client_certificate: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe('whether clients are asked for a certificate; required refuses those without'),
})
export type ServerTls = Frozen<z.output<typeof serverTls>>

/** TLS towards a database: verified unless it is off. Paths are relative to the configuration file. */
export const databaseTls = z
  .union([
    z.literal('off'),
    z.strictObject({
      ca: z.string().optional().describe('PEM file of authorities, instead of the system ones'),
      server_name: z.string().optional().describe('name that its certificate must have; default: host'),
    }),
  ])
  .default({})
  .describe('verify-full by default; off is for a server on the same machine')

/** What the gateway logs in to a database with. */
export const databaseLogin = z
  .strictObject({
    user: z.string().min(1).describe('role that the gateway logs in as'),
    password: secretReference.describe('its password'),
  })
  .describe('the gateway’s own credential; users never hold it')
