import { z } from 'zod'
import { type Frozen, secretReference } from '../option.ts'

export const signingAlgorithms = [
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
  'HS256',
  'HS384',
  'HS512',
] as const
export type SigningAlgorithm = (typeof signingAlgorithms)[number]

/** Keys by which the gateway signs what others believe: a login's claims, and who is asking. */
export const signingOptions = z
  .strictObject({
    algorithm: z.enum(signingAlgorithms).default('ES256').describe('of signatures; the key has to fit'),
    key: secretReference.describe(
      'signs: a private key in PEM (PKCS#8), or for HS256, HS384, HS512 base64 of at least as many bytes as the hash has. bawn reload reads it anew',
    ),
    key_id: z
      .string()
      .regex(/^[A-Za-z0-9._~-]{1,128}$/, 'must be letters, digits, ".", "_", "~", "-"')
      .optional()
      .describe('name of the key in tokens; default: its thumbprint (RFC 7638), for secrets a digest'),
    other_keys: z
      .array(secretReference)
      .max(8)
      .default([])
      .describe('keys that are published besides, private or public, in PEM: the one before, and the next'),
    issuer: z.string().min(1).max(256).optional().describe('iss of what is signed and says none of its own'),
    jwks: z
      .string()
      .regex(/^(\/[A-Za-z0-9._~-]+)+$/, 'must be a path of plain segments: /.well-known/jwks.json')
      .optional()
      .describe('path at the HTTP doors where anybody gets the public keys (RFC 7517)'),
  })
  .refine(
    ({ algorithm, jwks, other_keys: others }) =>
      !algorithm.startsWith('HS') || (jwks === undefined && others.length === 0),
    'a secret is never published: jwks and other_keys are for the other algorithms',
  )
export type SigningOptions = Frozen<z.output<typeof signingOptions>>
