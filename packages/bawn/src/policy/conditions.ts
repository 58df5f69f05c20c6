import type { Need } from '../accounts/grant.ts'
import { formatNeed } from '../accounts/grant-target.ts'
import { claimAt } from '../authn/jwt-claims.ts'
import { CelError } from './cel/fault.ts'
import { PolicyError } from './error.ts'
import { compileCondition, whyNoAnswer } from './expression.ts'
import type { Facts, PolicyUse } from './facts.ts'
import type { GrantGate } from './grants.ts'
import { type ClaimValue, type PolicyOptions, wishOf } from './option.ts'
import { scopesOf, wordsOf } from './scopes.ts'

/** What one condition of a policy says. */
export type Verdict =
  /** @property by the entry that decided, where it was a grant */
  | { readonly holds: true; readonly by?: string | undefined }
  | {
      readonly holds: false
      readonly by?: string | undefined
      /** The scopes that were needed. */
      readonly scope?: string | undefined
      /** Why there is no answer, for the trail. */
      readonly fault?: string | undefined
    }

/** A condition of a policy. Those of scopes come last: who lacks something else is not asked for a scope. */
export interface PolicyCondition {
  /** What it asks for, as a clause: `role support or billing`. */
  readonly wants: string
  test(facts: Facts): Verdict
}

const yes: Verdict = Object.freeze({ holds: true })
const no: Verdict = Object.freeze({ holds: false })

interface Wanted<Value> {
  readonly any?: readonly Value[] | undefined
  readonly all?: readonly Value[] | undefined
}

function has<Value>(found: readonly unknown[], { any, all }: Wanted<Value>): boolean {
  return (any?.some(one => found.includes(one)) ?? true) && (all?.every(one => found.includes(one)) ?? true)
}

const clause = <Value>({ any, all }: Wanted<Value>): string =>
  [any?.join(' or '), all?.join(' and ')].filter(part => part !== undefined).join(', and ')

function rolesCondition(wanted: Wanted<string>): PolicyCondition {
  return {
    wants: `role ${clause(wanted)}`,
    test: ({ identity }) => (identity !== undefined && has(identity.roles, wanted) ? yes : no),
  }
}

function scopesCondition(wanted: Wanted<string>, claim: string | undefined): PolicyCondition {
  // RFC 6750 section 3: the scope that is necessary; of several that would do, the first.
  const scope = [...(wanted.all ?? []), ...(wanted.any ?? []).slice(0, 1)].join(' ')
  const missing: Verdict = Object.freeze({ holds: false, scope })
  return {
    wants: `scope ${clause(wanted)}`,
    test: ({ identity }) => {
      if (identity === undefined) return no
      const scopes = claim === undefined ? scopesOf(identity.claims) : wordsOf(claimAt(identity.claims, claim))
      return has(scopes, wanted) ? yes : missing
    },
  }
}

const isScalar = (value: unknown): value is ClaimValue => ['string', 'number', 'boolean'].includes(typeof value)

function claimCondition(claim: string, wanted: Wanted<ClaimValue>): PolicyCondition {
  return {
    wants: `claim ${claim} ${clause(wanted)}`,
    test: ({ identity }) => {
      const value = identity === undefined ? undefined : claimAt(identity.claims, claim)
      const found = Array.isArray(value) ? value : isScalar(value) ? [value] : []
      return has(found, wanted) ? yes : no
    },
  }
}

function grantCondition(needs: readonly Need[], grants: Pick<GrantGate, 'decide'>): PolicyCondition {
  return {
    wants: needs.map(formatNeed).join(' and '),
    test: ({ identity }) => {
      if (identity === undefined) return no
      const { kind, rule } = grants.decide(identity, needs)
      return { holds: kind === 'permit', by: rule }
    },
  }
}

function celCondition(name: string, text: string, use: PolicyUse): PolicyCondition {
  const condition = compiledOrRefused(name, () => compileCondition(text, use))
  return {
    wants: text.replaceAll(/\s+/g, ' ').trim(),
    test: facts => {
      try {
        return condition(facts) ? yes : no
      } catch (cause) {
        return { holds: false, fault: whyNoAnswer(cause) }
      }
    },
  }
}

/** @throws {PolicyError} `policy.bad_expression` */
export function compiledOrRefused<Result>(name: string, compile: () => Result): Result {
  try {
    return compile()
  } catch (cause) {
    if (!(cause instanceof CelError)) throw cause
    const advice = cause.suggestion === undefined ? '' : `; ${cause.suggestion}`
    const message = `policy ${name}, at character ${cause.start + 1}: ${cause.message}${advice}`
    throw new PolicyError('policy.bad_expression', message, { cause })
  }
}

/** Everything that a policy asks for, in the order in which it is asked. @throws {PolicyError} `policy.bad_expression` */
export function conditionsOf(
  name: string,
  options: PolicyOptions,
  grants: Pick<GrantGate, 'decide'>,
  use: PolicyUse,
): readonly PolicyCondition[] {
  const { roles, scopes, claims, grant, cel } = options
  return [
    ...(roles === undefined ? [] : [rolesCondition(wishOf(roles))]),
    ...Object.entries(claims ?? {}).map(([claim, wish]) => claimCondition(claim, wishOf(wish))),
    ...(cel === undefined ? [] : [celCondition(name, cel, use)]),
    ...(grant === undefined ? [] : [grantCondition(grant, grants)]),
    ...(scopes === undefined ? [] : [scopesCondition(wishOf(scopes), 'claim' in scopes ? scopes.claim : undefined)]),
  ]
}
