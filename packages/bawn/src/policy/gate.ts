import type { Need } from '../accounts/grant.ts'
import { formatNeed } from '../accounts/grant-target.ts'
import type { Identity } from '../authn/identity.ts'
import { nearest } from '../nearest.ts'
import { conditionsOf, type Verdict } from './conditions.ts'
import { PolicyError } from './error.ts'
import { explainCondition } from './expression.ts'
import type { Facts, PolicyUse } from './facts.ts'
import type { GrantGate } from './grants.ts'
import { builtinPolicies, type PolicyOptions } from './option.ts'
import type { Action, Decision, Gate } from './policy.ts'

interface CompiledPolicy {
  readonly name: string
  /** Whether it decides about who is not identified, too. */
  readonly isOpen: boolean
  readonly permit: Decision
  readonly readsBody: boolean
  decide(facts: Facts): Verdict
  /** What the policy asks for, as a clause: `role support or billing`. */
  readonly wants: string
  /** Its expression, operand by operand, for `bawn explain`. */
  explain(facts: Facts): readonly string[]
}

/** Where a list of policies is asked, and what they need for it. */
export interface GateSurroundings {
  /** Default: who somebody is, and nothing of what they ask for. */
  readonly use?: PolicyUse
  /** ms since 1970 */
  readonly now?: () => number
}

/** Where no grants are configured, nothing is granted. */
export const nothingGranted: Pick<GrantGate, 'decide'> = Object.freeze({
  decide: (_identity: Identity, needs: readonly Need[]): Decision => {
    const [first] = needs
    return { kind: 'deny', rule: first === undefined ? 'no grants' : `nothing grants ${formatNeed(first)}` }
  },
})

/**
 * Compiles a list of allowed policies. An empty list permits nobody.
 *
 * @param allow names of policies, in order
 * @param policies every declared policy, by name
 * @param grants decides policies that ask for a grant; what it throws, the gate throws: it cannot be decided
 * @throws {PolicyError} `policy.unknown` when `allow` names one that does not exist; `policy.reserved_name` when a declared policy has
 *   the name of a built-in one; `policy.bad_expression` when one cannot be asked here
 */
export function createGate(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  grants: Pick<GrantGate, 'decide'> = nothingGranted,
  { use = plain, now = Date.now }: GateSurroundings = {},
): Gate {
  const rows = compile(allow, policies, grants, use)
  // What every caller may hear says nothing of entries; `bawn explain` does.
  const rule = `no policy of ${allow.join(', ')} permits`
  const denied: Decision = Object.freeze({ kind: 'deny', rule })
  return Object.freeze<Gate>({
    open: rows.some(({ isOpen }) => isOpen),
    readsBody: rows.some(({ readsBody }) => readsBody),
    decide(identity, action) {
      const facts = factsOf(identity, action, now)
      let scope: string | undefined
      let reason: string | undefined
      for (const row of rows) {
        if (identity === undefined && !row.isOpen) continue
        const verdict = row.decide(facts)
        if (verdict.holds) return verdict.by === undefined ? row.permit : permitBy(row, verdict.by)
        scope ??= verdict.scope
        if (verdict.fault !== undefined) reason ??= `${row.name}: ${verdict.fault}`
      }
      return scope === undefined && reason === undefined ? denied : { kind: 'deny', rule, scope, reason }
    },
  })
}

const plain: PolicyUse = { kind: 'identity' }

const permitBy = ({ name }: CompiledPolicy, by: string): Decision => ({ kind: 'permit', rule: `${name}: ${by}` })

const factsOf = (identity: Identity | undefined, { request, response, acl }: Action, now: () => number): Facts => ({
  ...{ identity, request, response, acl, now },
})

/**
 * Says policy by policy why a gate decides as it does, for `bawn explain`; stops at the one that permits.
 *
 * @returns one line a policy, and one for each operand of its expression, then the decision
 * @throws {PolicyError} as `createGate`
 */
export function explainGate(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  identity: Identity | undefined,
  grants: Pick<GrantGate, 'decide'> = nothingGranted,
  { use = plain, now = Date.now }: GateSurroundings = {},
  action: Action = { door: 'http', verb: 'GET' },
): readonly string[] {
  const who = identity === undefined ? 'a caller who is not identified' : `${identity.id} (${rolesOf(identity)})`
  const facts = factsOf(identity, action, now)
  const lines: string[] = []
  for (const row of compile(allow, policies, grants, use)) {
    const verdict: Verdict = identity === undefined && !row.isOpen ? { holds: false } : row.decide(facts)
    const because = verdict.by === undefined ? '' : `, ${verdict.by}`
    lines.push(`policy ${row.name} wants ${row.wants}: ${verdict.holds ? 'yes' : 'no'}${because}`)
    if (identity !== undefined || row.isOpen) lines.push(...row.explain(facts))
    if (verdict.holds) return [...lines, `permitted by ${row.name}: ${who}`]
  }
  return [...lines, `denied, no policy of ${allow.join(', ')} permits: ${who}`]
}

function rolesOf(identity: Identity): string {
  return identity.roles.length === 0 ? 'no roles' : `roles ${identity.roles.join(', ')}`
}

const holds: Verdict = Object.freeze({ holds: true })
const fails: Verdict = Object.freeze({ holds: false })

function compile(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  grants: Pick<GrantGate, 'decide'>,
  use: PolicyUse,
): readonly CompiledPolicy[] {
  for (const reserved of builtinPolicies) {
    if (Object.hasOwn(policies, reserved)) {
      throw new PolicyError('policy.reserved_name', `policy ${reserved} is built in and cannot be declared`)
    }
  }
  return allow.map((name): CompiledPolicy => {
    const permit = Object.freeze<Decision>({ kind: 'permit', rule: name })
    const built = { name, permit, readsBody: false, explain: () => [] }
    if (name === 'anyone') return { ...built, isOpen: true, decide: () => holds, wants: 'nothing' }
    if (name === 'authenticated') {
      return { ...built, isOpen: false, decide: ({ identity }) => (identity ? holds : fails), wants: 'an identity' }
    }
    if (name === 'acl') {
      const decide = ({ acl }: Facts): Verdict => (acl === undefined ? fails : { holds: true, by: acl })
      return { ...built, isOpen: false, decide, wants: 'a rule of the acl that allows it' }
    }
    const options = Object.hasOwn(policies, name) ? policies[name] : undefined
    if (options !== undefined) return declared(name, permit, options, grants, use)
    const known = [...builtinPolicies, ...Object.keys(policies)]
    const near = nearest(name, known)
    const advice = near === undefined ? `; there are: ${known.join(', ')}` : `; did you mean ${near}?`
    throw new PolicyError('policy.unknown', `no policy is named ${name}${advice}`)
  })
}

function declared(
  name: string,
  permit: Decision,
  options: PolicyOptions,
  grants: Pick<GrantGate, 'decide'>,
  use: PolicyUse,
): CompiledPolicy {
  const conditions = conditionsOf(name, options, grants, use)
  const { cel } = options
  return {
    name,
    permit,
    isOpen: options.anonymous === true,
    // A way of writing it that this does not see has no body to ask about, and denies.
    readsBody: cel !== undefined && /\bresponse\s*\.\s*body\b/.test(cel),
    wants: conditions.map(({ wants }) => wants).join(', and '),
    decide(facts) {
      let last: Verdict = fails
      for (const condition of conditions) {
        const verdict = condition.test(facts)
        if (!verdict.holds) return verdict
        // Where a grant decided, its entry is told.
        if (last.by === undefined) last = verdict
      }
      return last
    },
    explain: facts => (cel === undefined ? [] : explainCondition(cel, use, facts)),
  }
}
