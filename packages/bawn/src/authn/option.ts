import { z } from 'zod'
import { duration, type Frozen, name } from '../option.ts'

export const signatureAlgorithms = [
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
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number]

/** Whose tokens we believe. */
export const issuerOptions = z.strictObject({
  issuer: z.string().min(1).describe('exact value of the iss claim'),
  audience: z.array(z.string().min(1)).min(1).describe('the token must name at least one of these in aud'),
  jwks: z.string().min(1).describe('https URL or file of the key set; http is for tests and needs insecure_http'),
  insecure_http: z.boolean().default(false).describe('INSECURE: fetch the key set over plain HTTP'),
  algorithms: z.array(z.enum(signatureAlgorithms)).min(1).default(['RS256', 'PS256', 'ES256', 'EdDSA']),
  id_claim: z.string().default('sub'),
  roles_claim: z
    .string()
    .default('roles')
    .describe('claim with the roles: a list, or a string with spaces; a dotted path reaches into objects'),
  leeway: duration.default(0),
  refresh: duration.default(300_000).describe('how long a fetched key set is fresh'),
  stale: duration
    .default(3_600_000)
    .describe('how long the last good key set is still used while the issuer cannot be reached'),
})
export type IssuerOptions = Frozen<z.output<typeof issuerOptions>>

/** A service that logs in with a certificate: the CN (or client id) that it must have, and its roles. */
export const serviceOptions = z
  .strictObject({
    common_name: z.string().min(1).optional(),
    client_id: z
      .string()
      .regex(/^[0-9a-f]{128}$/)
      .optional(),
    roles: z.array(name).default([]),
  })
  .refine(
    service => service.common_name !== undefined || service.client_id !== undefined,
    'needs common_name or client_id',
  )
export type ServiceOptions = Frozen<z.output<typeof serviceOptions>>

/** Mechanisms that exist today. */
export const usableMechanisms = ['certificate', 'scram', 'jwt'] as const
export type UsableMechanism = (typeof usableMechanisms)[number]

const oneOrMany = <T extends z.ZodType>(of: T) => z.union([of.transform(value => [value]), z.array(of).min(1)])

/** One row of the ordered list: the first row whose every condition holds decides; none holds: refused. */
export const hostRuleOptions = z.strictObject({
  name: name.optional(),
  door: oneOrMany(z.enum(['http', 'postgres'])).optional(),
  user: oneOrMany(z.string().min(1)).optional().describe('exact user name as the client states it (PostgreSQL)'),
  address: oneOrMany(z.string().min(1)).optional().describe('address or CIDR, IPv4 or IPv6, or "local"'),
  tls: z.enum(['required', 'off']).optional().describe('required: only over TLS; off: only without'),
  database: oneOrMany(z.string().min(1)).optional(),
  use: z.array(z.enum(usableMechanisms)).describe('mechanisms that may be used, in order; empty refuses'),
})
export type HostRuleOptions = Frozen<z.output<typeof hostRuleOptions>>
