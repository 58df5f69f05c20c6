import { type AddressRange, isInRange, parseAddress, parseAddressRange } from '../authn/address.ts'
import type { Identity } from '../authn/identity.ts'
import { conditionsOf, type PolicyCondition } from '../policy/conditions.ts'
import { type Facts, parametersOf, type RequestFacts } from '../policy/facts.ts'
import { nothingGranted } from '../policy/gate.ts'
import type { Decision, Gate } from '../policy/policy.ts'
import type { AclRuleOptions } from './option.ts'
import { HttpError } from './problem.ts'
import { parsePattern, patternMatches, type RoutePattern } from './route-pattern.ts'

/** What the list says of a request. @property rule name of the rule that decided */
export type AclDecision =
  | { readonly kind: 'allow'; readonly rule: string }
  | Extract<Decision, { readonly kind: 'deny' }>
  | undefined

export interface Acl {
  /**
   * The rule that denies whoever it may be: for what the gateway answers itself, which is not behind a route's gate. A rule that asks who it is
   * may allow, and does not deny: nobody could log in, or out.
   */
  deniedBefore(request: RequestFacts): Extract<Decision, { readonly kind: 'deny' }> | undefined
  /** The first rule that holds; `undefined` when none does. */
  decide(identity: Identity | undefined, request: RequestFacts | undefined): AclDecision
  /** A line for each rule, in the order in which they are asked, up to the one that decides. */
  explain(identity: Identity | undefined, request: RequestFacts | undefined): readonly string[]
}

interface Rule {
  readonly name: string
  readonly denies: boolean
  readonly decision: Exclude<AclDecision, undefined>
  /** By its roles, or its expression. */
  readonly asksWho: boolean
  /** Whether it is about such a request, whoever asks. */
  concerns(request: RequestFacts): boolean
  /** @returns a text: there is no answer, and why */
  holds(facts: Facts): boolean | string
}

/** Lower numbers first; of one number, those that deny; then in the order of the file. */
export function aclOrder(rules: readonly AclRuleOptions[]): readonly AclRuleOptions[] {
  const rank = ({ effect }: AclRuleOptions): number => (effect === 'deny' ? 0 : 1)
  return rules.toSorted((a, b) => a.priority - b.priority || rank(a) - rank(b))
}

/**
 * Compiles the rules of `acl`. What has no answer denies where the rule denies, and is passed over where it allows.
 *
 * @param now ms since 1970
 * @throws {HttpError} `http.bad_route` for a path that is none; {PolicyError} `policy.bad_expression`
 */
export function createAcl(options: readonly AclRuleOptions[], now: () => number): Acl {
  const rules = aclOrder(options).map(compile)
  const factsOf = (identity: Identity | undefined, request: RequestFacts | undefined): Facts => ({
    ...{ identity, request, response: undefined, now },
  })
  return Object.freeze<Acl>({
    deniedBefore(request) {
      const facts = factsOf(undefined, request)
      for (const { concerns, asksWho, denies, decision, holds } of rules) {
        if (asksWho) {
          if (!denies && concerns(request)) return undefined
          continue
        }
        const found = holds(facts)
        if (found === true || (denies && found !== false)) return decision.kind === 'deny' ? decision : undefined
      }
      return undefined
    },
    decide(identity, request) {
      const facts = factsOf(identity, request)
      for (const rule of rules) {
        const holds = rule.holds(facts)
        if (holds === true) return rule.decision
        if (typeof holds === 'string' && rule.denies)
          return { kind: 'deny', rule: `acl: ${rule.name}`, reason: `acl: ${rule.name}: ${holds}` }
      }
      return undefined
    },
    explain(identity, request) {
      const facts = factsOf(identity, request)
      const lines: string[] = []
      for (const rule of rules) {
        const holds = rule.holds(facts)
        const decides = holds === true || (typeof holds === 'string' && rule.denies)
        const answer = typeof holds === 'string' ? `no answer, ${holds}` : holds ? 'yes' : 'no'
        lines.push(
          `acl rule ${rule.name} (${rule.denies ? 'deny' : 'allow'}): ${answer}${decides ? ', and decides' : ''}`,
        )
        if (decides) break
      }
      return lines
    },
  })
}

function compile(options: AclRuleOptions): Rule {
  const { name, effect, roles, when, path = '/*' } = options
  const denies = effect === 'deny'
  const pattern = parsePattern(path)
  if (typeof pattern === 'string') throw new HttpError('http.bad_route', `acl rule ${name}: path ${path}: ${pattern}`)
  const methods = options.methods && new Set<string>(options.methods)
  const ranges = options.addresses?.flatMap(text => rangesOf(name, text))
  const use = { kind: 'request', route: path, parameters: parametersOf(path) } as const
  const conditions = conditionsOf(`acl ${name}`, { roles, cel: when }, nothingGranted, use)
  // A path that many servers take for this one is denied with it, and not allowed with it.
  const matches = denies ? patternMatches : matchesExactly
  const concerns = (request: RequestFacts): boolean => {
    if (methods !== undefined && !methods.has(request.method)) return false
    if (!matches(pattern, request.segments)) return false
    return ranges === undefined || isAmong(request.address, ranges)
  }
  return {
    name,
    denies,
    decision: denies
      ? Object.freeze({ kind: 'deny', rule: `acl: ${name}` })
      : Object.freeze({ kind: 'allow', rule: name }),
    asksWho: roles !== undefined || /\bidentity\b/.test(when ?? ''),
    concerns,
    holds(facts) {
      const { request } = facts
      if (request === undefined) return 'there is no request'
      return concerns(request) && allHold(conditions, facts)
    },
  }
}

function allHold(conditions: readonly PolicyCondition[], facts: Facts): boolean | string {
  for (const condition of conditions) {
    const verdict = condition.test(facts)
    if (!verdict.holds) return verdict.fault ?? false
  }
  return true
}

function matchesExactly(pattern: RoutePattern, segments: readonly string[]): boolean {
  const isLongEnough = pattern.rest
    ? segments.length >= pattern.segments.length
    : segments.length === pattern.segments.length
  return isLongEnough && pattern.segments.every((one, at) => one.kind === 'parameter' || one.text === segments[at])
}

function rangesOf(name: string, text: string): readonly AddressRange[] {
  const reading = parseAddressRange(text)
  if (reading.kind === 'problem') throw new HttpError('http.bad_route', `acl rule ${name}: ${reading.message}`)
  return reading.ranges
}

function isAmong(text: string, ranges: readonly AddressRange[]): boolean {
  const address = parseAddress(text)
  return address !== undefined && ranges.some(range => isInRange(address, range))
}

/** A gate behind the list: what it denies is refused whatever the policies say, and what it allows permits where `acl` is among them. */
export function behindAcl(gate: Gate, acl: Acl): Gate {
  return Object.freeze<Gate>({
    ...gate,
    decide(identity, action) {
      const found = acl.decide(identity, action.request)
      if (found?.kind === 'deny') return found
      return gate.decide(identity, found === undefined ? action : { ...action, acl: found.rule })
    },
  })
}
