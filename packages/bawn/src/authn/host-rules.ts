import { type AddressRange, isInRange, parseAddress, parseAddressRange } from './address.ts'
import { AuthnError } from './error.ts'
import type { MechanismName } from './identity.ts'
import type { HostRuleOptions } from './option.ts'

/** What is known of a caller before it has proven anything. */
export interface Arrival {
  readonly door: 'http' | 'postgres'
  /** The name that the client states. HTTP has none before a mechanism ran: a rule that names users does not hold there. */
  readonly user: string | undefined
  /** Of the peer, or of the client that a trusted proxy names; as text. */
  readonly address: string
  readonly tls: boolean
  readonly database: string | undefined
}

export type HostRuleMatch =
  | {
      readonly kind: 'matched'
      readonly rule: string
      /** In the rule's order. Empty: nobody may log in from here. */
      readonly use: readonly MechanismName[]
    }
  /** No rule holds: refused. */
  | { readonly kind: 'none' }

/** How one rule fared, for `explain`. */
export interface HostRuleReading {
  readonly rule: string
  readonly use: readonly MechanismName[]
  /** `decides`: the first that holds. `holds`: it would, and comes too late. `fails`: `because` says which condition, in words. */
  readonly kind: 'decides' | 'holds' | 'fails'
  readonly because: string | undefined
}

/** The ordered list, one for all doors. The first rule whose every condition holds decides; there is no second chance. */
export interface HostRules {
  match(arrival: Arrival): HostRuleMatch
  explain(arrival: Arrival): readonly HostRuleReading[]
}

interface Rule {
  readonly name: string
  readonly use: readonly MechanismName[]
  readonly options: HostRuleOptions
  readonly ranges: readonly AddressRange[] | undefined
}

/** @throws {AuthnError} `authn.bad_address`, naming every address that is none */
export function createHostRules(options: readonly HostRuleOptions[]): HostRules {
  const problems: string[] = []
  const rules = options.map((rule, index): Rule => {
    const ranges = rule.address?.flatMap(text => {
      const reading = parseAddressRange(text)
      if (reading.kind === 'ranges') return reading.ranges
      problems.push(`host_rules[${index}].address: ${reading.message}`)
      return []
    })
    return { name: rule.name ?? `host_rules[${index}]`, use: Object.freeze([...rule.use]), options: rule, ranges }
  })
  if (problems.length > 0) throw new AuthnError('authn.bad_address', problems.join('; '))
  const none: HostRuleMatch = { kind: 'none' }
  const looksAtAddresses = rules.some(rule => rule.ranges !== undefined)
  const matches = new Map(rules.map(rule => [rule, { kind: 'matched', rule: rule.name, use: rule.use } as const]))

  return {
    match(arrival) {
      const address = looksAtAddresses ? parseAddress(arrival.address) : undefined
      for (const rule of rules) {
        if (failing(rule, arrival, address) === undefined) return matches.get(rule) ?? none
      }
      return none
    },
    explain(arrival) {
      const address = parseAddress(arrival.address)
      let decided = false
      return rules.map(rule => {
        const because = firstFailure(rule, arrival, address)
        const kind = because !== undefined ? 'fails' : decided ? 'holds' : 'decides'
        if (because === undefined) decided = true
        return { rule: rule.name, use: rule.use, kind, because }
      })
    },
  }
}

type Condition = 'door' | 'tls' | 'address' | 'database' | 'user'
const conditions: readonly Condition[] = ['door', 'tls', 'address', 'database', 'user']

/** The first condition that does not hold, in words; `undefined` when all do. */
function firstFailure(rule: Rule, arrival: Arrival, address: Uint8Array | undefined): string | undefined {
  const failed = failing(rule, arrival, address)
  return failed === undefined ? undefined : describe(failed, rule.options, arrival)
}

function failing(rule: Rule, arrival: Arrival, address: Uint8Array | undefined): Condition | undefined {
  for (const condition of conditions) if (!holds(condition, rule, arrival, address)) return condition
  return undefined
}

function holds(
  condition: Condition,
  { options, ranges }: Rule,
  arrival: Arrival,
  address: Uint8Array | undefined,
): boolean {
  switch (condition) {
    case 'door':
      return options.door === undefined || options.door.includes(arrival.door)
    case 'tls':
      return options.tls === undefined || (options.tls === 'required') === arrival.tls
    case 'address':
      return ranges === undefined || (address !== undefined && ranges.some(range => isInRange(address, range)))
    case 'database':
      return (
        options.database === undefined ||
        (arrival.database !== undefined && options.database.includes(arrival.database))
      )
    case 'user':
      return options.user === undefined || (arrival.user !== undefined && options.user.includes(arrival.user))
  }
}

function describe(condition: Condition, options: HostRuleOptions, arrival: Arrival): string {
  switch (condition) {
    case 'door':
      return `the door is ${arrival.door}, the rule is for ${listOf(options.door)}`
    case 'tls':
      return arrival.tls
        ? 'the connection has TLS, the rule is for those without'
        : 'the connection has no TLS, the rule requires it'
    case 'address':
      return `the address is ${arrival.address}, the rule is for ${listOf(options.address)}`
    case 'database':
      return `${arrival.database === undefined ? 'no database is named' : `the database is ${arrival.database}`}, the rule is for ${listOf(options.database)}`
    case 'user':
      return `${arrival.user === undefined ? 'no user is stated' : `the user is ${JSON.stringify(arrival.user)}`}, the rule is for ${listOf(options.user)}`
  }
}

function listOf(values: readonly string[] | undefined): string {
  return (values ?? []).join(' or ')
}
