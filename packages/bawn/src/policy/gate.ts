import type { Identity } from '../authn/identity.ts'
import { nearest } from '../nearest.ts'
import { PolicyError } from './error.ts'
import { builtinPolicies, type PolicyOptions } from './option.ts'
import type { Decision, Gate } from './policy.ts'

interface CompiledPolicy {
  readonly name: string
  permits(identity: Identity | undefined): boolean
  /** What the policy asks for, as a clause: `role support or billing`. */
  readonly wants: string
}

/**
 * Compiles a list of allowed policies. An empty list permits nobody.
 *
 * @param allow names of policies, in order
 * @param policies every declared policy, by name
 * @throws {PolicyError} `policy.unknown` when `allow` names one that does not exist; `policy.reserved_name` when a declared policy has
 *   the name of a built-in one
 */
export function createGate(allow: readonly string[], policies: Readonly<Record<string, PolicyOptions>>): Gate {
  const rows = compile(allow, policies)
  const denied: Decision = Object.freeze({ kind: 'deny', rule: `no policy of ${allow.join(', ')} permits` })
  const permitted = new Map<string, Decision>(
    rows.map(row => [row.name, Object.freeze({ kind: 'permit', rule: row.name })]),
  )
  return Object.freeze<Gate>({
    open: allow.includes('anyone'),
    decide(identity) {
      for (const row of rows) {
        if (row.permits(identity)) return permitted.get(row.name) ?? denied
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
): readonly string[] {
  const who = identity === undefined ? 'a caller who is not identified' : `${identity.id} (${rolesOf(identity)})`
  const lines: string[] = []
  for (const row of compile(allow, policies)) {
    const permits = row.permits(identity)
    lines.push(`policy ${row.name} wants ${row.wants}: ${permits ? 'yes' : 'no'}`)
    if (permits) return [...lines, `permitted by ${row.name}: ${who}`]
  }
  return [...lines, `denied, no policy of ${allow.join(', ')} permits: ${who}`]
}

function rolesOf(identity: Identity): string {
  return identity.roles.length === 0 ? 'no roles' : `roles ${identity.roles.join(', ')}`
}

function compile(
  allow: readonly string[],
  policies: Readonly<Record<string, PolicyOptions>>,
): readonly CompiledPolicy[] {
  for (const reserved of builtinPolicies) {
    if (Object.hasOwn(policies, reserved)) {
      throw new PolicyError('policy.reserved_name', `policy ${reserved} is built in and cannot be declared`)
    }
  }
  return allow.map(name => {
    if (name === 'anyone') return { name, permits: () => true, wants: 'nothing' }
    if (name === 'authenticated') return { name, permits: identity => identity !== undefined, wants: 'an identity' }
    const options = Object.hasOwn(policies, name) ? policies[name] : undefined
    if (options === undefined) {
      const known = [...builtinPolicies, ...Object.keys(policies)]
      const near = nearest(name, known)
      const advice = near === undefined ? `; there are: ${known.join(', ')}` : `; did you mean ${near}?`
      throw new PolicyError('policy.unknown', `no policy is named ${name}${advice}`)
    }
    const roles = new Set(options.roles)
    return {
      name,
      permits: identity => identity?.roles.some(role => roles.has(role)) ?? false,
      wants: `role ${options.roles.join(' or ')}`,
    }
  })
}
