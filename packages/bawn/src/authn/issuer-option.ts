import { z } from 'zod'
import { duration, type Frozen, name, secretReference } from '../option.ts'

/** Signatures that a public key verifies (RFC 7518 sections 3.3 to 3.5, RFC 8037). */
export const publicKeyAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const
/** HMAC (RFC 7518 section 3.2): whoever can verify such a token can make one. */
export const secretAlgorithms = ['HS256', 'HS384', 'HS512'] as const
export const signatureAlgorithms = [...publicKeyAlgorithms, ...secretAlgorithms] as const
export type PublicKeyAlgorithm = (typeof publicKeyAlgorithms)[number]
export type SecretAlgorithm = (typeof secretAlgorithms)[number]
export type SignatureAlgorithm = PublicKeyAlgorithm | SecretAlgorithm

/** How the key of an encrypted token is found (RFC 7518 section 4). Neither RSA1_5 (padding oracles) nor PBES2 (its cost is the sender's choice). */
export const keyManagementAlgorithms = [
  'RSA-OAEP-256',
  'RSA-OAEP',
  'ECDH-ES',
  'ECDH-ES+A128KW',
  'ECDH-ES+A192KW',
  'ECDH-ES+A256KW',
  'A128KW',
  'A192KW',
  'A256KW',
  'A128GCMKW',
  'A192GCMKW',
  'A256GCMKW',
  'dir',
] as const
export type KeyManagementAlgorithm = (typeof keyManagementAlgorithms)[number]

/** How the content of an encrypted token is sealed (RFC 7518 section 5). */
export const contentEncryptions = [
  'A128GCM',
  'A192GCM',
  'A256GCM',
  'A128CBC-HS256',
  'A192CBC-HS384',
  'A256CBC-HS512',
] as const
export type ContentEncryption = (typeof contentEncryptions)[number]

export const decryptionOptions = z.strictObject({
  keys: z
    .array(secretReference)
    .min(1)
    .max(4)
    .describe(
      'private keys in PEM (RSA, EC, X25519), JWK with kid, or shared keys in base64; several while one is exchanged',
    ),
  algorithms: z
    .array(z.enum(keyManagementAlgorithms))
    .min(1)
    .default(['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'])
    .describe('of key management (alg); a key is used with its own only'),
  encryption: z
    .array(z.enum(contentEncryptions))
    .min(1)
    .default(['A128GCM', 'A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'])
    .describe('of content (enc)'),
})
export type DecryptionOptions = Frozen<z.output<typeof decryptionOptions>>

/** Which members of a token's header name its key; in `kid_x5t` both have to fit. */
export const keyNaming = ['kid', 'x5t', 'x5t#S256', 'kid_x5t'] as const
export type KeyNaming = (typeof keyNaming)[number]

/** A further check of a token, by a plug-in: what stands beside `check` is for the plug-in to judge (`config/check-issuers.ts`). */
export const tokenCheckOptions = z.looseObject({
  check: name.describe('a check that a plug-in has; its options stand beside it'),
})

const isOf = <T extends string>(names: readonly T[], value: string): value is T => names.some(name => name === value)

/** Whose tokens we believe. */
export const issuerOptions = z
  .strictObject({
    issuer: z.string().min(1).describe('exact value of the iss claim'),
    audience: z.array(z.string().min(1)).min(1).describe('the token must name at least one of these in aud'),
    audience_match: z.enum(['any', 'all']).default('any').describe('all: the token must name every one of them'),
    jwks: z
      .union([
        z.string().min(1),
        z.strictObject({ keys: z.array(z.record(z.string(), z.unknown())).min(1).describe('public keys (RFC 7517)') }),
      ])
      .optional()
      .describe('https URL or file of the key set (JSON, or public keys and certificates in PEM), or the set itself'),
    discovery: z
      .boolean()
      .default(false)
      .describe('instead of jwks: where the key set is, is read at issuer (OpenID Connect Discovery, RFC 8414)'),
    signing: name.optional().describe('instead of jwks: the gateway’s own keys, a name of signing'),
    insecure_http: z.boolean().default(false).describe('INSECURE: fetch the key set over plain HTTP'),
    ca: z
      .string()
      .optional()
      .describe(
        'PEM file: the only authorities that may vouch for the URL of jwks, and for where people log in; default: public ones',
      ),
    pins: z
      .array(z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be base64url of a SHA-256'))
      .min(1)
      .optional()
      .describe(
        'SHA-256 of public keys (SPKI) in base64url: one must be in the chain at the URL of jwks, and where people log in',
      ),
    key_id: z.enum(keyNaming).default('kid').describe('what in the header of a token names its key'),
    secret: secretReference
      .optional()
      .describe('instead of jwks, for HS256, HS384, HS512: the secret that the issuer signs with'),
    former_secrets: z
      .array(secretReference)
      .max(4)
      .default([])
      .describe('secrets that are still believed while they are exchanged'),
    secret_encoding: z
      .enum(['base64', 'hex', 'text'])
      .default('base64')
      .describe('how bytes are made of the secrets: base64 takes both alphabets; text is its UTF-8'),
    algorithms: z
      .array(z.enum(signatureAlgorithms))
      .min(1)
      .optional()
      .describe(
        'of signatures; a key is used with its own only. Default with jwks: RS256, PS256, ES256, EdDSA; with secret: HS256',
      ),
    typ: z
      .string()
      .regex(/^[A-Za-z0-9!#$&^_.+-]{1,64}$/, 'must be a media type without application/: at+jwt')
      .optional()
      .describe('type that every token must state, such as at+jwt (RFC 9068); default: JWT, at+jwt or none'),
    decryption: decryptionOptions
      .optional()
      .describe('takes tokens encrypted to us (RFC 7516) besides; the token inside must be signed'),
    insecure_without_exp: z
      .boolean()
      .default(false)
      .describe('INSECURE: believe tokens that never end; without it exp is required'),
    id_claim: z.string().default('sub').describe('claim with the id of who is asking'),
    roles_claim: z
      .string()
      .default('roles')
      .describe('claim with the roles: a list, or a string with spaces; a dotted path reaches into objects'),
    fixed_roles: z
      .array(name)
      .default([])
      .describe('roles of everybody with a token of this issuer, besides those in it'),
    scope: z
      .string()
      .default('')
      .describe('what a PostgreSQL client is told to ask for (oauthbearer); empty leaves it to the client'),
    leeway: duration.default(0).describe('how far clocks may differ'),
    refresh: duration.default(300_000).describe('how long a fetched key set is fresh'),
    stale: duration
      .default(3_600_000)
      .describe('how long the last good key set is still used while the issuer cannot be reached'),
    checks: z
      .array(tokenCheckOptions)
      .default([])
      .describe('what plug-ins say of a token whose signature and claims are good: all of them have to accept it'),
  })
  .superRefine((options, { addIssue, issues }) => {
    // A key that is misspelt is one mistake.
    if (issues.length > 0) return
    const { jwks, secret, discovery, signing } = options
    const wrong = (path: (string | number)[], message: string): void => addIssue({ code: 'custom', path, message })
    if ([jwks !== undefined, discovery, signing !== undefined, secret !== undefined].filter(Boolean).length !== 1) {
      return wrong(
        [],
        'needs jwks, discovery, signing or secret, and not two of them: what a public key verifies and what a secret does must never mix',
      )
    }
    const usable = secret === undefined ? publicKeyAlgorithms : secretAlgorithms
    for (const [place, algorithm] of (options.algorithms ?? []).entries()) {
      if (isOf<string>(usable, algorithm)) continue
      wrong(
        ['algorithms', place],
        `${algorithm} is not for ${secret === undefined ? 'jwks' : 'secret'}: use ${usable.join(', ')}`,
      )
    }
    const address = discovery ? options.issuer : jwks
    const isHttps = typeof address === 'string' && /^https:/i.test(address)
    for (const key of ['ca', 'pins'] as const) {
      if (options[key] !== undefined && !isHttps) wrong([key], `${key} is for jwks or discovery at an https URL`)
    }
    if (secret === undefined && options.former_secrets.length > 0)
      wrong(['former_secrets'], 'former_secrets is for secret')
    if (secret !== undefined && options.key_id !== 'kid') wrong(['key_id'], 'key_id is for jwks: secrets have no name')
  })
export type IssuerOptions = Frozen<z.output<typeof issuerOptions>>

const usual = {
  jwks: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  secret: ['HS256'],
} as const

/** What tokens of an issuer may be signed with. */
export function algorithmsOf(issuer: Pick<IssuerOptions, 'algorithms' | 'secret'>): readonly SignatureAlgorithm[] {
  return issuer.algorithms ?? (issuer.secret === undefined ? usual.jwks : usual.secret)
}
