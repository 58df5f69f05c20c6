import { Resolver } from 'node:dns/promises'
import { type AddressRange, formatAddress, isInRange, parseAddress, parseAddressCondition } from './address.ts'
import { AuthnError } from './error.ts'
import { createHostNames, type HostNames, type NameResolver, noHostNames, type OwnNames } from './host-names.ts'
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
  /** Path of the route that was found, as the configuration has it. PostgreSQL has none: a rule that names routes does not hold there. */
  readonly route: string | undefined
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
  /** Whether this rule holds cannot be told, as DNS does not answer: refused, as a later rule may be weaker. */
  | { readonly kind: 'undecided'; readonly rule: string; readonly why: string }

/** How one rule fared, for `explain`. */
export interface HostRuleReading {
  readonly rule: string
  readonly use: readonly MechanismName[]
  /**
   * `decides`: the first that holds. `holds`: it would, and comes too late. `fails`: `because` says which condition, in words. `undecided`:
   * `because` says what cannot be told.
   */
  readonly kind: 'decides' | 'holds' | 'fails' | 'undecided'
  readonly because: string | undefined
}

/** The ordered list, one for all doors. The first rule whose every condition holds decides; there is no second chance. */
export interface HostRules {
  /** At once, unless a rule that holds otherwise asks for the end of the client's own name, and it is not known yet. */
  match(arrival: Arrival): HostRuleMatch | Promise<HostRuleMatch>
  explain(arrival: Arrival): Promise<readonly HostRuleReading[]>
}

interface Rule {
  readonly name: string
  readonly use: readonly MechanismName[]
  readonly options: HostRuleOptions
  /** `undefined`: any address. */
  readonly address: AddressConditions | undefined
}

interface AddressConditions {
  readonly ranges: readonly AddressRange[]
  readonly names: readonly string[]
  readonly suffixes: readonly string[]
}

/**
 * What DNS knows of the names that rules ask for; `undefined` where they ask for none, and DNS is not asked.
 *
 * @param surroundings.resolver the system's servers when it is not given
 */
export function openHostNames(
  options: readonly HostRuleOptions[],
  {
    resolver = new Resolver({ timeout: 1_000, tries: 2 }),
    clock,
    log,
  }: {
    readonly resolver?: NameResolver | undefined
    /** ms since 1970. */
    readonly clock: () => number
    readonly log: (message: string) => void
  },
): HostNames | undefined {
  const readings = options.flatMap(({ address }) => (address ?? []).map(parseAddressCondition))
  const names = [...new Set(readings.flatMap(reading => (reading.kind === 'name' ? [reading.name] : [])))]
  const suffixes = [...new Set(readings.flatMap(reading => (reading.kind === 'suffix' ? [reading.suffix] : [])))]
  return names.length + suffixes.length === 0
    ? undefined
    : createHostNames({ names, suffixes }, { resolver, clock, log })
}

/**
 * @param hostNames what DNS knows of the names in them; without it, rules by name hold for nobody
 * @throws {AuthnError} `authn.bad_address`, naming every address that is none
 */
export function createHostRules(
  options: readonly HostRuleOptions[],
  hostNames: Pick<HostNames, 'addressesOf' | 'namesOf'> = noHostNames,
): HostRules {
  const problems: string[] = []
  const rules = options.map((rule, index): Rule => {
    const readings = rule.address?.map(parseAddressCondition)
    for (const reading of readings ?? []) {
      if (reading.kind === 'problem') problems.push(`host_rules[${index}].address: ${reading.message}`)
    }
    const address = readings && {
      ranges: readings.flatMap(reading => (reading.kind === 'ranges' ? reading.ranges : [])),
      names: readings.flatMap(reading => (reading.kind === 'name' ? [reading.name] : [])),
      suffixes: readings.flatMap(reading => (reading.kind === 'suffix' ? [reading.suffix] : [])),
    }
    return { name: rule.name ?? `host_rules[${index}]`, use: Object.freeze([...rule.use]), options: rule, address }
  })
  if (problems.length > 0) throw new AuthnError('authn.bad_address', problems.join('; '))
  const none: HostRuleMatch = { kind: 'none' }
  const looksAtAddresses = rules.some(rule => rule.address !== undefined)
  const matches = new Map(rules.map(rule => [rule, { kind: 'matched', rule: rule.name, use: rule.use } as const]))

  /** What fails; `own-name`: nothing, as far as can be told without the name that the address has. */
  const firstFailure = (
    rule: Rule,
    arrival: Arrival,
    address: Uint8Array | undefined,
  ): Condition | 'own-name' | undefined => {
    for (const condition of conditions) if (!holds(condition, rule.options, arrival)) return condition
    const wanted = rule.address
    if (wanted === undefined) return undefined
    if (address === undefined) return 'address'
    if (wanted.ranges.some(range => isInRange(address, range))) return undefined
    const isKnown = (name: string): boolean =>
      hostNames.addressesOf(name).some(known => Buffer.compare(known, address) === 0)
    if (wanted.names.some(isKnown)) return undefined
    return wanted.suffixes.length > 0 ? 'own-name' : 'address'
  }

  const matchFrom = (
    first: number,
    arrival: Arrival,
    address: Uint8Array | undefined,
  ): HostRuleMatch | Promise<HostRuleMatch> => {
    for (let at = first; at < rules.length; at++) {
      const rule = rules[at]
      if (rule === undefined) break
      const failure = firstFailure(rule, arrival, address)
      if (failure === undefined) return matches.get(rule) ?? none
      if (failure !== 'own-name' || address === undefined) continue
      const settle = (own: OwnNames): HostRuleMatch | Promise<HostRuleMatch> => {
        if (own.kind === 'undecided') return { kind: 'undecided', rule: rule.name, why: own.why }
        return endsSo(own.names, rule) ? (matches.get(rule) ?? none) : matchFrom(at + 1, arrival, address)
      }
      const own = hostNames.namesOf(address)
      return own instanceof Promise ? own.then(settle) : settle(own)
    }
    return none
  }

  const read = async (
    rule: Rule,
    arrival: Arrival,
  ): Promise<Pick<HostRuleReading, 'because'> & { isUndecided: boolean }> => {
    const address = parseAddress(arrival.address)
    const failure = firstFailure(rule, arrival, address)
    if (failure === undefined) return { because: undefined, isUndecided: false }
    if (failure !== 'own-name' || address === undefined) {
      const known = (rule.address?.names ?? []).map(name => [name, hostNames.addressesOf(name)] as const)
      const because = failure === 'own-name' ? '' : describe(failure, rule.options, arrival, known)
      return { because, isUndecided: false }
    }
    const own = await hostNames.namesOf(address)
    if (own.kind === 'undecided') return { because: own.why, isUndecided: true }
    if (endsSo(own.names, rule)) return { because: undefined, isUndecided: false }
    const name = own.names.length > 0 ? `own name is ${own.names.join(' and ')}` : 'own name no DNS server confirms'
    const because = `the address is ${arrival.address}, whose ${name}; the rule is for ${listOf(rule.options.address)}`
    return { because, isUndecided: false }
  }

  /** Where no rule looks at addresses, what the HTTP door gets for a route is always the same; there are only so many of them. */
  const byRoute = { withTls: new Map<string, HostRuleMatch>(), plain: new Map<string, HostRuleMatch>() }
  const matchRoute = (arrival: Arrival, route: string): HostRuleMatch | Promise<HostRuleMatch> => {
    const known = arrival.tls ? byRoute.withTls : byRoute.plain
    const before = known.get(route)
    if (before !== undefined) return before
    const found = matchFrom(0, arrival, undefined)
    if (!(found instanceof Promise) && known.size < maxRoutesKept) known.set(route, found)
    return found
  }

  return {
    match(arrival) {
      if (looksAtAddresses) return matchFrom(0, arrival, parseAddress(arrival.address))
      const { door, user, database, route } = arrival
      const isOfRoute = door === 'http' && user === undefined && database === undefined && route !== undefined
      return isOfRoute ? matchRoute(arrival, route) : matchFrom(0, arrival, undefined)
    },
    async explain(arrival) {
      let decided = false
      const readings: HostRuleReading[] = []
      for (const rule of rules) {
        const { because, isUndecided } = await read(rule, arrival)
        const kind = isUndecided ? 'undecided' : because !== undefined ? 'fails' : decided ? 'holds' : 'decides'
        if (kind === 'undecided' || kind === 'decides') decided = true
        readings.push({ rule: rule.name, use: rule.use, kind, because })
      }
      return readings
    },
  }
}

type Condition = 'door' | 'tls' | 'database' | 'route' | 'user' | 'address'
const maxRoutesKept = 10_000

/** All but the address, which may need somebody else's word. */
const conditions = ['door', 'tls', 'database', 'route', 'user'] as const

function holds(condition: (typeof conditions)[number], options: HostRuleOptions, arrival: Arrival): boolean {
  switch (condition) {
    case 'door':
      return options.door === undefined || options.door.includes(arrival.door)
    case 'tls':
      return options.tls === undefined || (options.tls === 'required') === arrival.tls
    case 'database':
      return isAmong(options.database, arrival.database)
    case 'route':
      return isOnRoute(options.route, arrival.route)
    case 'user':
      return isAmong(options.user, arrival.user)
  }
}

function isAmong(wanted: readonly string[] | undefined, stated: string | undefined): boolean {
  return wanted === undefined || (stated !== undefined && wanted.includes(stated))
}

/** `/admin/*` is every route whose path begins with `/admin/`; anything else is one path, as the configuration has it. */
function isOnRoute(wanted: readonly string[] | undefined, route: string | undefined): boolean {
  if (wanted === undefined) return true
  return (
    route !== undefined &&
    wanted.some(path => path === route || (path.endsWith('/*') && route.startsWith(path.slice(0, -1))))
  )
}

function endsSo(names: readonly string[], { address }: Rule): boolean {
  return names.some(name => address?.suffixes.some(suffix => name.endsWith(suffix)))
}

function describe(
  condition: Condition,
  options: HostRuleOptions,
  arrival: Arrival,
  known: readonly (readonly [name: string, addresses: readonly Uint8Array[]])[],
): string {
  switch (condition) {
    case 'door':
      return `the door is ${arrival.door}, the rule is for ${listOf(options.door)}`
    case 'tls':
      return arrival.tls
        ? 'the connection has TLS, the rule is for those without'
        : 'the connection has no TLS, the rule requires it'
    case 'address': {
      const names = known.map(([name, addresses]) =>
        addresses.length > 0 ? `${name} is ${listOf(addresses.map(formatAddress))}` : `${name} has no address`,
      )
      const now = names.length > 0 ? ` (${names.join(', ')})` : ''
      return `the address is ${arrival.address}, the rule is for ${listOf(options.address)}${now}`
    }
    case 'database':
      return `${arrival.database === undefined ? 'no database is named' : `the database is ${arrival.database}`}, the rule is for ${listOf(options.database)}`
    case 'route':
      return `${arrival.route === undefined ? 'there are no routes' : `the route is ${arrival.route}`}, the rule is for ${listOf(options.route)}`
    case 'user':
      return `${arrival.user === undefined ? 'no user is stated' : `the user is ${JSON.stringify(arrival.user)}`}, the rule is for ${listOf(options.user)}`
  }
}

function listOf(values: readonly string[] | undefined): string {
  return (values ?? []).join(' or ')
}
