import { isIP } from 'node:net'
import type { AccountStoreOptions } from '../accounts/option.ts'
import { type HostRuleOptions, isMechanism, type UsableMechanism } from '../authn/option.ts'
import type { Draft } from './draft.ts'
import type { PluginEntry, PluginKinds } from './kinds.ts'
import type { ConfigPath } from './problem.ts'
import { checkNames, type Report } from './report.ts'

const doors = ['http', 'postgres'] as const
type Door = (typeof doors)[number]

/** Mechanisms that each door can ask for today. */
export const mechanismsOfDoor: Readonly<Record<Door, readonly UsableMechanism[]>> = {
  http: ['certificate', 'jwt', 'basic', 'digest', 'api-key', 'introspection', 'trust', 'identity', 'token', 'oidc'],
  postgres: ['certificate', 'scram', 'jwt', 'password', 'oauthbearer', 'trust'],
}

type Mechanism = HostRuleOptions['use'][number]

/** What a door can ask for, the mechanisms of plug-ins among them. */
export function mechanismsAt(door: Door, { mechanisms }: Pick<PluginKinds, 'mechanisms'>): readonly Mechanism[] {
  const plugged = Array.from(mechanisms, ([name, { doors }]) => (doors.includes(door) ? name : [])).flat()
  return [...mechanismsOfDoor[door], ...plugged]
}

/** What most use. */
const usual: typeof mechanismsOfDoor = { http: ['jwt', 'basic'], postgres: ['certificate', 'scram', 'jwt'] }

/** Which doors a rule speaks of; all of them when it does not say. */
export function doorsOf(rule: HostRuleOptions): readonly Door[] {
  return rule.door ?? doors
}

/** Is it `address`, `address/bits` or `local`? */
function isAddress(text: string): boolean {
  if (text === 'local') return true
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
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
    // check-tokens.ts says what is wrong with it.
    case 'token':
    case undefined:
  }
}

function checkRule(draft: Draft, report: Report, rule: HostRuleOptions, index: number): void {
  const path: ConfigPath = ['host_rules', index]
  const onlyHttp = rule.door?.every(door => door === 'http') ?? false
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
  const refusesAtHttp =
    rule.use.length === 0 &&
    doorsOf(rule).includes('http') &&
    [...draft.listeners.values()].some(listener => listener?.door === 'http')
  for (const key of ['user', 'database'] as const) {
    if (rule[key] === undefined) continue
    // It would never hold, and the rule that was to refuse somebody would be passed over.
    if (onlyHttp) report('error', [...path, key], 'key', `door http has no ${key}: this condition never holds`)
    else if (refusesAtHttp) {
      const message = `door http has no ${key}: there this rule refuses nobody`
      report('error', [...path, key], 'key', message, 'say door: postgres; at door http the policies of routes refuse')
    } else if (isServed(draft, rule, 'http') && rule.use.some(mechanism => has('http', mechanism))) {
      const message = `door http has no ${key}: there this rule never holds, and a later one decides`
      report('warning', [...path, key], 'key', message, 'say door: postgres, and write a rule of its own for door http')
    }
  }
  for (const [place, address] of (rule.address ?? []).entries()) {
    if (isAddress(address)) continue
    report(
      'error',
      [...path, 'address', place],
      'value',
      `"${address}" is no address`,
      'write 10.0.0.7, 10.0.0.0/8, fd00::/8 or local',
    )
  }
  if (rule.database && draft.databases.size > 0) {
    checkNames(report, [...path, 'database'], rule.database, [...draft.databases.keys()], 'database')
  }
}

const isCatchAll = (rule: HostRuleOptions): boolean => !rule.user && !rule.address && !rule.tls && !rule.database

function checkReach(draft: Draft, report: Report): void {
  const listening = new Set([...draft.listeners.values()].map(listener => listener?.door))
  const closed = new Map<Door, number>()
  for (const [index, rule] of draft.host_rules.entries()) {
    if (!rule) continue
    const open = doorsOf(rule).filter(door => !closed.has(door))
    if (open.length === 0) {
      const by = closed.get(doorsOf(rule)[0] ?? 'http') ?? 0
      report(
        'warning',
        ['host_rules', index],
        'value',
        `this rule is never reached: host_rules[${by}] holds for everybody`,
      )
    }
    if (isCatchAll(rule)) for (const door of open) closed.set(door, index)
  }
  for (const door of doors) {
    if (!listening.has(door) || draft.host_rules.includes(undefined)) continue
    const known = mechanismsAt(door, draft.kinds)
    const usable = draft.host_rules.some(
      rule => rule && doorsOf(rule).includes(door) && rule.use.some(mechanism => known.includes(mechanism)),
    )
    if (usable) continue
    const message = `no host rule lets anybody identify at door ${door}: everybody is refused`
    const suggestion = `add one: { door: ${door}, use: [${usual[door].join(', ')}] }`
    report('warning', ['host_rules'], 'key', message, suggestion)
  }
}

/** Host rules that cannot work, or that nobody reaches. */
export function checkHostRules(draft: Draft, report: Report): void {
  for (const [index, rule] of draft.host_rules.entries()) if (rule) checkRule(draft, report, rule, index)
  checkReach(draft, report)
}
