import { z } from 'zod'
import { duration, type Frozen, redisOptions, secretReference, timeLimit } from '../option.ts'

export { type SigningOptions, signingOptions } from './signing-option.ts'

const path = (text: string) =>
  z.string().regex(/^(\/[A-Za-z0-9._~-]+)+$/, `must be a path of plain segments, for example ${text}`)

const cookieOptions = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be letters, digits, "_", "-"')
    .default('bawn')
    .describe('of the cookie, after its prefix: __Host- where path is /, else __Secure-'),
  path: z
    .string()
    .regex(/^\/[A-Za-z0-9._~/-]*$/, 'must be a path, for example /')
    .default('/')
    .describe('requests below it carry the cookie'),
})

const common = {
  ttl: duration.default(900_000).describe('how long a token is valid'),
  resource: path('/tokens').default('/tokens').describe('GET and DELETE of this and /{id}, for its owner'),
  endpoint: path('/token')
    .default('/token')
    .describe('POST asks for a token; POST of this and /cookie sets it as a cookie, DELETE takes it away'),
  headers: z
    .boolean()
    .default(true)
    .describe('add Auth-Token, -Valid-Until and -Location where somebody identified by another mechanism'),
  claims: z
    .array(z.string().min(1).max(256))
    .max(32)
    .default([])
    .describe('claims at the top of the token that a token of ours is issued for; they go along, exactly as they are'),
  cookie: cookieOptions.optional().describe('believe the token in a cookie as well; this cookie reaches no upstream'),
}

/** What stands in every kind beside its own options. */
export const commonTokenOptions = z.object(common)

const kept = {
  renew: z.boolean().default(false).describe('each use moves the end: ttl after it'),
  lifetime: duration.default(43_200_000).describe('after this a token ends, however often it was renewed'),
  max_per_subject: z.int().min(1).max(1000).default(16).describe('running tokens; one more ends the oldest'),
  max_tokens: z.int().min(1).max(10_000_000).default(100_000).describe('running tokens of all; one more is refused'),
}

export const sqlitePath = z.string().min(1).describe('SQLite file; made when it is not there, mode 0600')

/** Where the revocations of signed tokens are: every node needs the same ones. */
const revocationOptions = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sqlite'), path: sqlitePath }),
  z.strictObject({ kind: z.literal('redis'), ...redisOptions }),
])
export type RevocationOptions = Frozen<z.output<typeof revocationOptions>>

const commonRevocations = {
  keep: timeLimit
    .default(86_400_000)
    .describe('how long a revocation counts where nothing else is said: no token may live longer'),
  stale_after: timeLimit
    .default(10_000)
    .describe('when the store has not answered for so long, whatever could have been revoked is refused with 503'),
  max_entries: z.int().min(1).max(10_000_000).default(1_000_000).describe('revocations; one more is refused'),
}

/** What was taken back: tokens of issuers, and API keys. */
export const revocationsOptions = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sqlite'), path: sqlitePath, ...commonRevocations }),
  z.strictObject({ kind: z.literal('redis'), ...redisOptions, ...commonRevocations }),
])
export type RevocationsOptions = Frozen<z.output<typeof revocationsOptions>>

export const memoryTokensOptions = z.strictObject({ kind: z.literal('memory'), ...common, ...kept })
export const sqliteTokensOptions = z.strictObject({ kind: z.literal('sqlite'), path: sqlitePath, ...common, ...kept })
export const redisTokensOptions = z.strictObject({ kind: z.literal('redis'), ...redisOptions, ...common, ...kept })
export const signedTokensOptions = z.strictObject({
  kind: z.literal('signed'),
  key: secretReference.describe('a private Ed25519 key in PEM (EdDSA), or 32 bytes and more in base64 (HS256)'),
  former_keys: z.array(secretReference).default([]).describe('their tokens are still believed; none is issued'),
  issuer: z.string().min(1).max(256).default('bawn').describe('the iss claim'),
  revocations: revocationOptions.describe('what every node reads at each use of a token'),
  ...common,
})

/** Tokens of our own; which kinds there are stands in `builtin.ts` as well. */
export const tokensOptions = z.discriminatedUnion('kind', [
  memoryTokensOptions,
  sqliteTokensOptions,
  redisTokensOptions,
  signedTokensOptions,
])
export type TokensOptions = Frozen<z.output<typeof tokensOptions>>

/** What every kind has: of the door, and how long a token is valid. */
export const commonTokenKeys = {
  kind: true,
  ttl: true,
  resource: true,
  endpoint: true,
  headers: true,
  claims: true,
  cookie: true,
} as const
/** What one kind has besides: for whoever opens it. */
export type TokensOptionsOf<Kind extends TokensOptions['kind']> = Omit<
  Extract<TokensOptions, { readonly kind: Kind }>,
  keyof typeof commonTokenKeys
>
