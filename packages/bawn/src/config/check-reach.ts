import { BlockList, isIP } from 'node:net'
import type { HostRuleOptions } from '../authn/option.ts'
import { covers, doorsOf, mechanismsAt, type mechanismsOfDoor } from './check-host-rules.ts'
import type { Draft } from './draft.ts'
import type { Report } from './report.ts'

// Rules that nobody reaches: whoever one of them is for, an earlier one decides about.

const doors = ['http', 'postgres'] as const

/** What most use. */
const usual: typeof mechanismsOfDoor = { http: ['jwt', 'basic'], postgres: ['certificate', 'scram', 'jwt'] }

/** One case of those that a rule is for; `undefined`: whatever it is. */
interface Case {
  readonly door: (typeof doors)[number]
  readonly tls: boolean
  readonly user: string | undefined
  readonly address: string | undefined
  readonly database: string | undefined
  readonly route: string | undefined
}

/** Cases of one rule that are looked at; a rule with more is passed over. */
const maxCases = 5_000

/** Every case of a rule. A door that has no users has no cases of a rule that names some. */
function casesOf(rule: HostRuleOptions): readonly Case[] {
  const anyOf = <T>(values: readonly T[] | undefined): readonly (T | undefined)[] => values ?? [undefined]
  const transports = rule.tls === undefined ? [true, false] : [rule.tls === 'required']
  const counts = [rule.user, rule.address, rule.database, rule.route].map(values => values?.length ?? 1)
  if (counts.reduce((product, count) => product * count, 4) > maxCases) return []
  return doorsOf(rule)
    .filter(door => isPossible(rule, door))
    .flatMap(door =>
      transports.flatMap(tls =>
        anyOf(rule.user).flatMap(user =>
          anyOf(rule.address?.flatMap(partsOf)).flatMap(address =>
            anyOf(rule.database).flatMap(database =>
              anyOf(rule.route).map(route => ({ door, tls, user, address, database, route })),
            ),
          ),
        ),
      ),
    )
}

/** `local` is two networks, and two rules may have one each. */
const partsOf = (address: string): readonly string[] => (address === 'local' ? ['127.0.0.0/8', '::1'] : [address])

function isPossible(rule: HostRuleOptions, door: Case['door']): boolean {
  return door === 'http' ? rule.user === undefined && rule.database === undefined : rule.route === undefined
}

/** Does the rule hold for everybody of the case? */
function decides(rule: HostRuleOptions, of: Case): boolean {
  const has = (wanted: readonly string[] | undefined, value: string | undefined): boolean =>
    wanted === undefined || (value !== undefined && wanted.includes(value))
  return (
    doorsOf(rule).includes(of.door) &&
    isPossible(rule, of.door) &&
    (rule.tls === undefined || (rule.tls === 'required') === of.tls) &&
    has(rule.user, of.user) &&
    has(rule.database, of.database) &&
    (rule.route === undefined || rule.route.some(path => of.route !== undefined && covers(path, of.route))) &&
    (rule.address === undefined ||
      (of.address !== undefined && rule.address.some(wanted => holds(wanted, of.address ?? ''))))
  )
}

/** Is everybody from the second also from the first? Each is an address, a network, `local`, a name or the end of one. */
function holds(wider: string, narrower: string): boolean {
  const [one, two] = [plain(wider), plain(narrower)]
  if (one === two) return true
  if (one.startsWith('.')) return two.endsWith(one)
  const [outer, inner] = [networksOf(one), networksOf(two)]
  if (inner.length === 0) return false
  return inner.every(narrow => outer.some(wide => contains(wide, narrow)))
}

function contains(wide: Network, narrow: Network): boolean {
  if (wide.family !== narrow.family || wide.prefix > narrow.prefix) return false
  const list = new BlockList()
  list.addSubnet(wide.address, wide.prefix, wide.family)
  return list.check(narrow.address, narrow.family)
}

const plain = (text: string): string => text.toLowerCase().replace(/\.$/, '')

interface Network {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

/** None for a name. */
function networksOf(text: string): readonly Network[] {
  if (text === 'local') return partsOf(text).flatMap(networksOf)
  const [address = '', bits] = text.split('/')
  const version = isIP(address)
  if (version === 0) return []
  const [family, most] = version === 4 ? (['ipv4', 32] as const) : (['ipv6', 128] as const)
  return [{ address, prefix: bits === undefined ? most : Number(bits), family }]
}

/** Warns of every rule that is never reached, and of a door where nobody gets in. */
export function checkReach(draft: Draft, report: Report): void {
  const rules = draft.host_rules
  for (const [index, rule] of rules.entries()) {
    if (rule === undefined) continue
    const cases = casesOf(rule)
    const by = cases.map(one =>
      rules.slice(0, index).findIndex(earlier => earlier !== undefined && decides(earlier, one)),
    )
    if (cases.length === 0 || by.includes(-1)) continue
    const names = [...new Set(by)].sort((a, b) => a - b).map(at => rules[at]?.name ?? `host_rules[${at}]`)
    const message = `this rule is never reached: ${names.join(' and ')} ${names.length === 1 ? 'holds' : 'hold'} for everybody that it is for`
    report('warning', ['host_rules', index], 'value', message, 'put it before, or take it out')
  }
  const listening = new Set([...draft.listeners.values()].map(listener => listener?.door))
  for (const door of doors) {
    if (!listening.has(door) || rules.includes(undefined)) continue
    const known = mechanismsAt(door, draft.kinds)
    const isUsable = (mechanism: HostRuleOptions['use'][number]): boolean => known.includes(mechanism)
    if (rules.some(rule => rule && doorsOf(rule).includes(door) && rule.use.some(isUsable))) continue
    const message = `no host rule lets anybody identify at door ${door}: everybody is refused`
    const suggestion = `add one: { door: ${door}, use: [${usual[door].join(', ')}] }`
    report('warning', ['host_rules'], 'key', message, suggestion)
  }
}
