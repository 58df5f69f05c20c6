import type { Need } from '../accounts/grant.ts'
import { formatNeed } from '../accounts/grant-target.ts'
import type { Identity } from '../authn/identity.ts'
import { nearest } from '../nearest.ts'
import { PolicyError } from './error.ts'
import type { GrantGate } from './grants.ts'
import { builtinPolicies, type PolicyOptions } from './option.ts'
import type { Decision, Gate } from './policy.ts'

interface CompiledPolicy {
  readonly name: string
  /** `rule` of a permission names the policy, and the entry where a grant decided. */
  decide(identity: Identity | undefined): Decision
  /** What the policy asks for, as a clause: `role support or billing`. */
  readonly wants: string
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
 *   the name of a built-in one
 */
export function createGate(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  grants: Pick<GrantGate, 'decide'> = nothingGranted,
): Gate {
  const rows = compile(allow, policies, grants)
  // What every caller may hear says nothing of entries; `bawn explain` does.
  const denied: Decision = Object.freeze({ kind: 'deny', rule: `no policy of ${allow.join(', ')} permits` })
  return Object.freeze<Gate>({
    open: allow.includes('anyone'),
    decide(identity) {
      for (const row of rows) {
        const decision = row.decide(identity)
        if (decision.kind === 'permit') return decision
      }
      return denied
    },
  })
}

/**
 * Says policy by policy why a gate decides as it does, for `bawn explain`; stops at the one that permits.
 *
 * @returns one line a policy, then the decision
 * @throws {PolicyError} as `createGate`
 */
export function explainGate(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  identity: Identity | undefined,
  grants: Pick<GrantGate, 'decide'> = nothingGranted,
): readonly string[] {
  const who = identity === undefined ? 'a caller who is not identified' : `${identity.id} (${rolesOf(identity)})`
  const lines: string[] = []
  for (const row of compile(allow, policies, grants)) {
    const { kind, rule } = row.decide(identity)
    const because = rule === row.name ? '' : `, ${rule.replace(`${row.name}: `, '')}`
    lines.push(`policy ${row.name} wants ${row.wants}: ${kind === 'permit' ? 'yes' : 'no'}${because}`)
    if (kind === 'permit') return [...lines, `permitted by ${row.name}: ${who}`]
  }
  return [...lines, `denied, no policy of ${allow.join(', ')} permits: ${who}`]
}

function rolesOf(identity: Identity): string {
  return identity.roles.length === 0 ? 'no roles' : `roles ${identity.roles.join(', ')}`
}

function compile(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
  grants: Pick<GrantGate, 'decide'>,
): readonly CompiledPolicy[] {
  for (const reserved of builtinPolicies) {
    if (Object.hasOwn(policies, reserved)) {
      throw new PolicyError('policy.reserved_name', `policy ${reserved} is built in and cannot be declared`)
    }
  }
  return allow.map(name => {
    if (name === 'anyone') return { name, decide: byItself(name, () => true), wants: 'nothing' }
    if (name === 'authenticated') {
      return { name, decide: byItself(name, identity => identity !== undefined), wants: 'an identity' }
    }
    const options = Object.hasOwn(policies, name) ? policies[name] : undefined
    if (options === undefined) {
      const known = [...builtinPolicies, ...Object.keys(policies)]
      const near = nearest(name, known)
      const advice = near === undefined ? `; there are: ${known.join(', ')}` : `; did you mean ${near}?`
      throw new PolicyError('policy.unknown', `no policy is named ${name}${advice}`)
    }
    return declared(name, options, grants)
  })
}

function declared(name: string, options: PolicyOptions, grants: Pick<GrantGate, 'decide'>): CompiledPolicy {
  const { roles, grant: needs } = options
  const wanted = new Set(roles)
  const hasRole = (identity: Identity | undefined): boolean =>
    identity !== undefined && (roles === undefined || identity.roles.some(role => wanted.has(role)))
  const byRole = byItself(name, hasRole)
  const wants = [
    ...(roles === undefined ? [] : [`role ${roles.join(' or ')}`]),
    ...(needs === undefined ? [] : [needs.map(formatNeed).join(' and ')]),
  ].join(', and ')
  if (needs === undefined) return { name, decide: byRole, wants }
  return {
    name,
    decide(identity) {
      const decision = byRole(identity)
      if (identity === undefined || decision.kind === 'deny') return decision
      const { kind, rule } = grants.decide(identity, needs)
      return { kind, rule: `${name}: ${rule}` }
    },
    wants,
  }
}

/** A policy whose name says it all. */
function byItself(name: string, permits: (identity: Identity | undefined) => boolean): CompiledPolicy['decide'] {
  const permit = Object.freeze<Decision>({ kind: 'permit', rule: name })
  const deny = Object.freeze<Decision>({ kind: 'deny', rule: name })
  return identity => (permits(identity) ? permit : deny)
}
