import { z } from 'zod'
import type { Need } from '../accounts/grant.ts'
import { parseNeed } from '../accounts/grant-target.ts'
import { type Frozen, name } from '../option.ts'
import { CelError } from './cel/fault.ts'
import { maxTextLength } from './cel/parser.ts'
import { compileCondition, compileValue } from './expression.ts'
import { type PolicyUse, parametersOf } from './facts.ts'

const grant = z.string().transform((text, context) => {
  const need = parseNeed(text)
  if (need !== undefined) return need
  const message =
    'must be a privilege and what it is on: DQL on table shop.public.people, DDL on schema shop.public, AL on cluster'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

/** RFC 6749 section 3.3. */
const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, 'must be one scope: no spaces, quotes or backslashes')
const scalar = z.union([
  z.string().min(1),
  z
    .number()
    .refine(
      number => !Number.isInteger(number) || Number.isSafeInteger(number),
      'an integer beyond 2^53 is not compared exactly: write it in an expression (cel)',
    ),
  z.boolean(),
])

const anyAll = <T extends z.ZodType>(of: T) => ({
  any: z.array(of).min(1).optional().describe('one of them is enough'),
  all: z.array(of).min(1).optional().describe('all of them are needed'),
})
const isWish = ({ any, all }: { readonly any?: unknown; readonly all?: unknown }): boolean =>
  any !== undefined || all !== undefined
const needsWish = 'needs any, or all, or both'

const claim = z
  .string()
  .regex(
    /^[^\p{Cc}]{1,256}$/u,
    'must be the name of a claim: department, realm_access.level, https://example.org/tenant',
  )

/** An expression of CEL; its text is read, and its types checked, where the file is checked. */
export const celText = z.string().min(1).max(maxTextLength).describe('an expression that must be true')

/** Roles that are wanted. */
export const roleWish = z.union([z.array(name).min(1), z.strictObject(anyAll(name)).refine(isWish, needsWish)])

const declaredPolicy = z
  .strictObject({
    roles: roleWish.optional().describe('roles of the caller: a list of which one is enough, or any and all'),
    scopes: z
      .union([
        z.array(scope).min(1),
        z
          .strictObject({
            ...anyAll(scope),
            claim: claim
              .optional()
              .describe('claim that holds them: its name, or a path with dots; default: scope, else scp'),
          })
          .refine(isWish, needsWish),
      ])
      .optional()
      .describe(
        'scopes of the token: a list of which one is enough, or any and all; what is missing is told in the 403',
      ),
    claims: z
      .record(
        claim,
        z.union([
          scalar.transform(value => ({ any: [value], all: undefined })),
          z
            .array(scalar)
            .min(1)
            .transform(any => ({ any, all: undefined })),
          z.strictObject(anyAll(scalar)).refine(isWish, needsWish),
        ]),
      )
      .optional()
      .describe(
        'claims of the token, by name or path with dots, and what they must be: a value, a list of which one is enough, or any and all',
      ),
    grant: z
      .union([grant.transform(need => [need]), z.array(grant).min(1)])
      .optional()
      .describe('what must be granted, all of it: DQL on table shop.public.people'),
    cel: celText.optional().describe('an expression that must be true: identity.claims.sub == resource.path.customer'),
    anonymous: z
      .boolean()
      .default(false)
      .describe('the expression also decides about callers who are not identified; identity.isKnown is false then'),
  })
  .refine(
    ({ anonymous: _, ...conditions }) => Object.values(conditions).some(condition => condition !== undefined),
    'needs roles, scopes, claims, grant or cel',
  )
  .refine(
    ({ anonymous, cel, roles, scopes, claims, grant: needs }) =>
      !anonymous || (cel !== undefined && [roles, scopes, claims, needs].every(condition => condition === undefined)),
    'must have cel, and nothing else, where it is anonymous: who is not identified has no roles, scopes, claims or grants',
  )

/** A named rule: a text is `cel`. Where it has several conditions, all must hold. */
export const policyOptions = z.union([celText.transform((cel): PolicyOptions => ({ cel })), declaredPolicy])

type Wish<Value> =
  | readonly Value[]
  | { readonly any?: readonly Value[] | undefined; readonly all?: readonly Value[] | undefined }
export type ClaimValue = string | number | boolean

/** A policy as it is declared. */
export interface PolicyOptions {
  readonly roles?: Wish<string> | undefined
  readonly scopes?: (Wish<string> & { readonly claim?: string | undefined }) | undefined
  readonly claims?: Readonly<Record<string, Wish<ClaimValue>>> | undefined
  readonly grant?: readonly Need[] | undefined
  readonly cel?: string | undefined
  readonly anonymous?: boolean | undefined
}

/** The roles of which one is enough, where a policy asks for nothing else; `undefined` where it does. */
export function onlyRoles({ roles, anonymous: _, ...others }: PolicyOptions): readonly string[] | undefined {
  const { any, all } = wishOf(roles)
  const isAlone = all === undefined && Object.values(others).every(condition => condition === undefined)
  return isAlone ? any : undefined
}

/** A list is `any`. */
export function wishOf<Value>(wish: Wish<Value> | undefined): {
  readonly any?: readonly Value[] | undefined
  readonly all?: readonly Value[] | undefined
} {
  if (wish === undefined) return {}
  return isList(wish) ? { any: wish } : { any: wish.any, all: wish.all }
}

const isList = <Value>(wish: Wish<Value>): wish is readonly Value[] => Array.isArray(wish)

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
export const builtinPolicies = ['anyone', 'authenticated', 'acl'] as const

/** What is wrong with an expression, and where in its text. */
export interface ExpressionProblem {
  readonly message: string
  readonly suggestion: string | undefined
  /** Offsets, in UTF-16 units. */
  readonly start: number
  readonly end: number
}

/** Checks an expression for one use of it. @param as what it is to yield. @returns undefined when nothing is wrong */
export function expressionProblem(
  text: string,
  use: PolicyUse,
  as: 'condition' | 'value' = 'condition',
): ExpressionProblem | undefined {
  try {
    if (as === 'value') compileValue(text, use)
    else compileCondition(text, use)
    return undefined
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    const { message, suggestion, start, end } = error
    return { message, suggestion, start, end }
  }
}

/** A request to a route, or an answer of it, as policies are asked about it. */
export function routeUse(kind: 'request' | 'response', route: string): PolicyUse {
  return { kind, route, parameters: parametersOf(route) }
}
