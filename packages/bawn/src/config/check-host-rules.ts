import { isIP } from 'node:net'
import type { AccountStoreOptions } from '../accounts/option.ts'
import { type HostRuleOptions, isMechanism, type UsableMechanism } from '../authn/option.ts'
import { suggest } from '../nearest.ts'
import type { Draft } from './draft.ts'
import type { PluginEntry, PluginKinds } from './kinds.ts'
import type { ConfigPath } from './problem.ts'
import { checkNames, type Report } from './report.ts'

const doors = ['http', 'postgres'] as const
type Door = (typeof doors)[number]

/** Mechanisms that each door can ask for today. */
export const mechanismsOfDoor: Readonly<Record<Door, readonly UsableMechanism[]>> = {
  http: ['certificate', 'jwt', 'basic', 'digest', 'api-key', 'introspection', 'trust', 'identity', 'token', 'oidc'],
  postgres: ['certificate', 'scram', 'jwt', 'token', 'password', 'oauthbearer', 'trust', 'pass-through'],
}

type Mechanism = HostRuleOptions['use'][number]

/** What a door can ask for, the mechanisms of plug-ins among them. */
export function mechanismsAt(door: Door, { mechanisms }: Pick<PluginKinds, 'mechanisms'>): readonly Mechanism[] {
  const plugged = Array.from(mechanisms, ([name, { doors }]) => (doors.includes(door) ? name : [])).flat()
  return [...mechanismsOfDoor[door], ...plugged]
}

/** Which doors a rule speaks of; all of them when it does not say. */
export function doorsOf(rule: HostRuleOptions): readonly Door[] {
  return rule.door ?? doors
}

/** What the least configuration of a mechanism looks like. */
const examples = {
  digest: 'digest: { users: { alice: { ha1_sha256: file:alice.ha1, roles: [support] } } }',
  'api-key': 'api-key: { keys: [{ name: billing, hash: "sha256:…", roles: [billing] }] } (bawn api-keys generate)',
  introspection: 'introspection: { url: https://id.example/introspect, client_id: bawn, client_secret: file:secret }',
  oidc: 'oidc: { issuer: corp, client_id: bawn, client_secret: file:oidc.secret, redirect: https://gate.example, key: file:oidc.key }',
  trust: 'trust: { user: guest, roles: [] }',
  identity: 'identity: { user: tester, roles: [] }',
} as const

function checkConfigured(draft: Draft, report: Report, mechanism: keyof typeof examples, path: ConfigPath): void {
  if (draft.configured.has(mechanism)) return
  report('error', path, 'value', `${mechanism} needs to be configured`, `add under mechanisms: ${examples[mechanism]}`)
}

/** Does the rule speak of a door that somebody can come in by? A listener that could not be read may be the one. */
function isServed(draft: Draft, rule: HostRuleOptions, door: Door): boolean {
  return (
    doorsOf(rule).includes(door) &&
    [...draft.listeners.values()].some(listener => listener === undefined || listener.door === door)
  )
}

function checkIssuer(draft: Draft, report: Report, mechanism: string, path: ConfigPath): void {
  if (draft.issuers.size > 0) return
  report('error', path, 'value', `${mechanism} needs an issuer`, 'name whose tokens are believed under issuers')
}

function checkAccounts(draft: Draft, report: Report, mechanism: string, path: ConfigPath): void {
  if (draft.accounts.size > 0) return
  const suggestion = 'name one under accounts: { kind: sqlite, path: … }'
  report('error', path, 'value', `${mechanism} needs an account store`, suggestion)
}

/** It exists inside TLS only, and sends clients to one issuer. */
function checkOauthbearer(draft: Draft, report: Report, rule: HostRuleOptions, path: ConfigPath): void {
  const listeners = [...draft.listeners.values()]
  const hasTls = listeners.some(listener => listener === undefined || (listener.door === 'postgres' && listener.tls))
  if (!hasTls || rule.tls === 'off') {
    report(
      'error',
      path,
      'value',
      'oauthbearer needs TLS',
      'give the listener of door postgres tls, and the rule tls: required',
    )
  }
  const issuers = [...draft.issuers].flatMap(([name, issuer]) => (issuer ? [{ name, issuer }] : []))
  const first = issuers.find(({ issuer }) => /^https?:/.test(issuer.issuer))
  if (issuers.length > 0 && first === undefined) {
    report('warning', path, 'value', 'no issuer is a URL: clients are not told where to get a token')
  } else if (first !== undefined && issuers.length > 1) {
    report(
      'warning',
      path,
      'value',
      `clients that have no token are sent to issuer ${first.name}, the first that is a URL`,
    )
  }
}

function holdsNoScram(store: AccountStoreOptions | PluginEntry | undefined): boolean {
  return store?.kind === 'file' || (store?.kind === 'mongo' && store.hash === 'bcrypt')
}

/** What a mechanism needs elsewhere in the file. */
function checkMechanism(draft: Draft, report: Report, rule: HostRuleOptions, index: number, place: number): void {
  const path: ConfigPath = ['host_rules', index, 'use', place]
  const mechanism = rule.use[place]
  if (mechanism !== undefined && !isMechanism(mechanism)) {
    if (draft.configured.has(mechanism)) return
    report('error', path, 'value', `${mechanism} needs to be configured`, `add under mechanisms: ${mechanism}: { … }`)
    return
  }
  switch (mechanism) {
    case 'oauthbearer':
      checkOauthbearer(draft, report, rule, path)
      checkIssuer(draft, report, 'oauthbearer', path)
      return
    case 'jwt':
      checkIssuer(draft, report, 'jwt', path)
      return
    case 'scram':
      if (draft.accounts.size > 0 && [...draft.accounts.values()].every(holdsNoScram)) {
        report(
          'warning',
          path,
          'value',
          'scram lets nobody in: files of users and bcrypt hashes hold no SCRAM verifiers',
          'use password, or import the file into a store of kind sqlite: bawn accounts import',
        )
      }
      checkAccounts(draft, report, 'scram', path)
      return
    case 'password':
    case 'basic':
      checkAccounts(draft, report, mechanism, path)
      return
    case 'digest':
    case 'api-key':
    case 'introspection':
    case 'oidc':
      checkConfigured(draft, report, mechanism, path)
      return
    case 'identity':
      checkConfigured(draft, report, 'identity', path)
      report(
        'warning',
        path,
        'value',
        'UNSAFE: identity makes every caller the same one, whatever it brings',
        'for tests only',
      )
      return
    case 'trust': {
      if (isServed(draft, rule, 'http')) {
        checkConfigured(draft, report, 'trust', path)
        report(
          'warning',
          path,
          'value',
          'UNSAFE: trust lets in whoever brings no credential',
          'use basic, jwt or certificate',
        )
      }
      if (!isServed(draft, rule, 'postgres')) return
      const message = `UNSAFE: ${rule.name ?? `host_rules[${index}]`} believes whatever user name a client states, without any proof`
      report('warning', path, 'value', message, 'use scram, password or certificate')
      checkAccounts(draft, report, 'trust', path)
      return
    }
    case 'certificate': {
      const listeners = [...draft.listeners.values()]
      const asks = listeners.some(
        listener =>
          listener !== undefined &&
          listener.door !== 'admin' &&
          doorsOf(rule).includes(listener.door) &&
          listener.tls?.client_ca &&
          listener.tls.client_certificate !== 'off',
      )
      // A listener that could not be read may be the one.
      if (!asks && !listeners.includes(undefined)) {
        const suggestion = `give a listener of door ${doorsOf(rule).join(' or ')} tls with client_ca and client_certificate: optional or required`
        report('error', path, 'value', 'certificate needs a listener that asks for client certificates', suggestion)
      }
      if (draft.services.size === 0 && draft.accounts.size === 0) {
        report('warning', path, 'value', 'certificate lets nobody in: there are neither services nor accounts')
      }
      return
    }
    // check-tokens.ts and check-databases.ts say what is wrong with them.
    case 'token':
    case 'pass-through':
    case undefined:
  }
}

/** Is the place in a rule's address that of a name, whole or its end? The schema has accepted it. */
export const isName = (address: string): boolean => address !== 'local' && isIP(address.split('/')[0] ?? '') === 0

/** Does the path of a rule name the route? */
export const covers = (wanted: string, route: string): boolean =>
  wanted === route || (wanted.endsWith('/*') && route.startsWith(wanted.slice(0, -1)))

/** Paths that the gateway answers itself are routes too. */
function tokenPaths({ tokens }: Draft): readonly string[] {
  if (tokens.options === undefined) return []
  const { resource, endpoint } = tokens.options
  return [endpoint, `${endpoint}/cookie`, `${resource}/{id}`]
}

/** Conditions that a door never meets: it does not know of such a thing. */
const lacking = { http: ['user', 'database'], postgres: ['route'] } as const

/** A condition that never holds at this door: whoever the rule was to refuse there would be passed over. */
function checkLacking(draft: Draft, report: Report, rule: HostRuleOptions, path: ConfigPath, door: Door): void {
  const other = door === 'http' ? 'postgres' : 'http'
  const isOnly = rule.door?.every(one => one === door) ?? false
  const isThere = [...draft.listeners.values()].some(listener => listener?.door === door)
  for (const key of lacking[door]) {
    if (rule[key] === undefined) continue
    if (isOnly) report('error', [...path, key], 'key', `door ${door} has no ${key}: this condition never holds`)
    else if (rule.use.length === 0 && doorsOf(rule).includes(door) && isThere) {
      const message = `door ${door} has no ${key}: there this rule refuses nobody`
      const suggestion =
        door === 'http' ? 'say door: postgres; at door http the policies of routes refuse' : `say door: ${other}`
      report('error', [...path, key], 'key', message, suggestion)
    } else if (
      isServed(draft, rule, door) &&
      rule.use.some(mechanism => mechanismsAt(door, draft.kinds).includes(mechanism))
    ) {
      const message = `door ${door} has no ${key}: there this rule never holds, and a later one decides`
      report(
        'warning',
        [...path, key],
        'key',
        message,
        `say door: ${other}, and write a rule of its own for door ${door}`,
      )
    }
  }
}

function checkRule(draft: Draft, report: Report, rule: HostRuleOptions, index: number): void {
  const path: ConfigPath = ['host_rules', index]
  for (const place of rule.use.keys()) checkMechanism(draft, report, rule, index, place)
  const has = (door: Door, mechanism: Mechanism): boolean => mechanismsAt(door, draft.kinds).includes(mechanism)
  for (const door of rule.door ?? []) {
    // A rule for one door must not offer what that door cannot ask for; a rule for both offers each what it can.
    const others = doorsOf(rule).filter(other => other !== door)
    for (const [place, mechanism] of rule.use.entries()) {
      if (has(door, mechanism) || others.some(other => has(other, mechanism))) continue
      const suggestion = `door ${door} has: ${mechanismsAt(door, draft.kinds).join(', ')}`
      report('error', [...path, 'use', place], 'value', `door ${door} has no mechanism ${mechanism}`, suggestion)
    }
  }
  for (const door of doors) checkLacking(draft, report, rule, path, door)
  const named = (rule.address ?? []).findIndex(isName)
  if (named >= 0 && rule.use.length === 0) {
    const message = 'a rule that refuses does not know its own by name: whoever DNS does not know passes it by'
    report('error', [...path, 'address', named], 'value', message, 'refuse addresses: 192.0.2.0/24')
  }
  const routes = [...draft.routes.map(route => route?.path), ...tokenPaths(draft)]
  for (const [place, wanted] of (rule.route ?? []).entries()) {
    if (draft.routes.includes(undefined) || routes.some(route => route !== undefined && covers(wanted, route))) continue
    const suggestion = suggest(
      wanted,
      routes.flatMap(route => route ?? []),
    )
    report('error', [...path, 'route', place], 'value', `no route has the path ${wanted}`, suggestion)
  }
  if (rule.database && draft.databases.size > 0) {
    checkNames(report, [...path, 'database'], rule.database, [...draft.databases.keys()], 'database')
  }
}

/** Host rules that cannot work. */
export function checkHostRules(draft: Draft, report: Report): void {
  for (const [index, rule] of draft.host_rules.entries()) if (rule) checkRule(draft, report, rule, index)
}
