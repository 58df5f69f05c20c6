import { z } from 'zod'
import { parseNeed } from '../accounts/grant-target.ts'
import { type Frozen, name } from '../option.ts'

const grant = z.string().transform((text, context) => {
  const need = parseNeed(text)
  if (need !== undefined) return need
  const message =
    'must be a privilege and what it is on: DQL on table shop.public.people, DDL on schema shop.public, AL on cluster'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

/** A named rule. Where it has `roles` and `grant`, both must hold. */
export const policyOptions = z
  .strictObject({
    roles: z.array(name).min(1).optional().describe('one of them is enough'),
    grant: z
      .union([grant.transform(need => [need]), z.array(grant).min(1)])
      .optional()
      .describe('what must be granted, all of it: DQL on table shop.public.people; with roles, both must hold'),
  })
  .refine(({ roles, grant: needs }) => roles !== undefined || needs !== undefined, 'needs roles, or grant, or both')
export type PolicyOptions = Frozen<z.output<typeof policyOptions>>

/** Who administers and what is enforced, where grants are. */
export const grantsOptions = z.strictObject({
  accounts: name.describe('account store whose users and roles have grants'),
  databases: z
    .array(name)
    .min(1)
    .optional()
    .describe('databases behind the PostgreSQL door where every statement needs its grants (default: all)'),
  superusers: z
    .array(z.string().min(1).max(128))
    .default([])
    .describe('users of that store who need no grant, and cannot be changed in SQL'),
})
export type GrantsOptions = Frozen<z.output<typeof grantsOptions>>

/** Whether statements in this database need grants. */
export function isEnforced(grants: GrantsOptions | undefined, database: string): boolean {
  return grants !== undefined && grants.databases?.includes(database) !== false
}

/** Names of policies that exist without being declared and cannot be declared. */
export const builtinPolicies = ['anyone', 'authenticated'] as const
