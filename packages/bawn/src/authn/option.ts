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
  algorithms: z
    .array(z.enum(signatureAlgorithms))
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('of signatures; a key is used with its own only'),
  id_claim: z.string().default('sub').describe('claim with the id of who is asking'),
  roles_claim: z
    .string()
    .default('roles')
    .describe('claim with the roles: a list, or a string with spaces; a dotted path reaches into objects'),
  scope: z
    .string()
    .default('')
    .describe('what a PostgreSQL client is told to ask for (oauthbearer); empty leaves it to the client'),
  leeway: duration.default(0).describe('how far clocks may differ'),
  refresh: duration.default(300_000).describe('how long a fetched key set is fresh'),
  stale: duration
    .default(3_600_000)
    .describe('how long the last good key set is still used while the issuer cannot be reached'),
})
export type IssuerOptions = Frozen<z.output<typeof issuerOptions>>

/** A service that logs in with a certificate: the CN (or client id) that it must have, and its roles. */
export const serviceOptions = z
  .strictObject({
    common_name: z.string().min(1).optional().describe('CN that its certificate has'),
    client_id: z
      .string()
      .regex(/^[0-9a-f]{128}$/, 'must be 128 hexadecimal digits: bawn keys client-id prints them')
      .optional()
      .describe('client id of its certificate: bawn keys client-id'),
    roles: z.array(name).default([]).describe('what it has once it is identified'),
  })
  .refine(
    service => service.common_name !== undefined || service.client_id !== undefined,
    'needs common_name or client_id',
  )
export type ServiceOptions = Frozen<z.output<typeof serviceOptions>>

/** Mechanisms that exist today. */
export const usableMechanisms = ['certificate', 'scram', 'jwt', 'password', 'oauthbearer', 'trust'] as const
export type UsableMechanism = (typeof usableMechanisms)[number]

const oneOrMany = <T extends z.ZodType>(of: T) => z.union([of.transform(value => [value]), z.array(of).min(1)])

/** One row of the ordered list: the first row whose every condition holds decides; none holds: refused. */
export const hostRuleOptions = z.strictObject({
  name: name.optional().describe('for the audit trail and bawn explain; default: its place in the list'),
  door: oneOrMany(z.enum(['http', 'postgres']))
    .optional()
    .describe('default: both'),
  user: oneOrMany(z.string().min(1)).optional().describe('exact user name as the client states it (PostgreSQL)'),
  address: oneOrMany(z.string().min(1)).optional().describe('address or CIDR, IPv4 or IPv6, or "local"'),
  tls: z.enum(['required', 'off']).optional().describe('required: only over TLS; off: only without'),
  database: oneOrMany(z.string().min(1)).optional().describe('a name of databases (PostgreSQL)'),
  use: z.array(z.enum(usableMechanisms)).describe('mechanisms that may be used, in order; empty refuses'),
})
export type HostRuleOptions = Frozen<z.output<typeof hostRuleOptions>>
