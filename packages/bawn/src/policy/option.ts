import { z } from 'zod'
import { type Frozen, name } from '../option.ts'

/** A named rule. `roles`: the identity must have at least one of them. */
export const policyOptions = z.strictObject({
  roles: z.array(name).min(1).describe('one of them is enough'),
})
export type PolicyOptions = Frozen<z.output<typeof policyOptions>>

/** Names of policies that exist without being declared and cannot be declared. */
export const builtinPolicies = ['anyone', 'authenticated'] as const
