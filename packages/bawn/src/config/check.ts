import { asksAccounts, type DigestOptions } from '../authn/option.ts'
import type { RouteOptions } from '../http/option.ts'
import { suggest } from '../nearest.ts'
import { parseHostPort } from '../option.ts'
import { builtinPolicies } from '../policy/option.ts'
import { checkAccounts } from './check-accounts.ts'
import { checkAcl } from './check-acl.ts'
import { checkDatabases } from './check-databases.ts'
import { checkFields } from './check-fields.ts'
import { checkGrants } from './check-grants.ts'
import { checkHints } from './check-hints.ts'
import { checkHostRules } from './check-host-rules.ts'
import { checkIssuers } from './check-issuers.ts'
import { checkLogin } from './check-login.ts'
import { checkPlugins } from './check-plugins.ts'
import { checkPolicies } from './check-policies.ts'
import { checkReach } from './check-reach.ts'
import { checkRevocation } from './check-revocation.ts'
import { checkSigning } from './check-signing.ts'
import { checkTokens } from './check-tokens.ts'
import { checkWorkers } from './check-workers.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import { checkNames, type Report } from './report.ts'

// What no single entry can tell: names that lead nowhere, entries that exclude each other. Whether a setting is unsafe is said in
// unsafe.ts.

/** Do both listen on the same port of the same address? Port 0 is never the same. */
function clash(first: string, second: string): boolean {
  const [a, b] = [parseHostPort(first), parseHostPort(second)]
  if (a.port !== b.port || a.port === 0) return false
  const isAny = (host: string): boolean => host === '0.0.0.0' || host === '::'
  const plain = (host: string): string => (host === 'localhost' ? '127.0.0.1' : host.toLowerCase())
  return isAny(a.host) || isAny(b.host) || plain(a.host) === plain(b.host)
}

function checkListeners(draft: Draft, report: Report): void {
  const seen: [name: string, address: string][] = []
  for (const [name, listener] of draft.listeners) {
    if (!listener) continue
    const path = ['listeners', name]
    if (parseHostPort(listener.address).port > 65_535) {
      report('error', [...path, 'address'], 'value', 'a port is at most 65535')
    }
    const other = seen.find(([, address]) => clash(address, listener.address))
    if (other) {
      const message = `listener ${other[0]} has ${other[1]} already`
      report('error', [...path, 'address'], 'value', message, 'give each listener a port of its own')
    }
    seen.push([name, listener.address])
    if (listener.door === 'admin') continue
    const { tls } = listener
    if (tls && tls.client_certificate !== 'off' && tls.client_ca === undefined) {
      const suggestion = 'name the authorities whose client certificates are believed'
      report('error', [...path, 'tls', 'client_certificate'], 'key', 'client_certificate needs client_ca', suggestion)
    }
    const named = new Map<string, number>()
    for (const [index, { names }] of (tls?.certificates ?? []).entries()) {
      for (const [position, written] of names.entries()) {
        const first = named.get(written.toLowerCase())
        if (first !== undefined) {
          const place = [...path, 'tls', 'certificates', index, 'names', position]
          report('error', place, 'value', `certificates[${first}] has ${written} already`)
        }
        named.set(written.toLowerCase(), first ?? index)
      }
    }
    if (listener.door === 'postgres' && listener.databases) {
      checkNames(report, [...path, 'databases'], listener.databases, [...draft.databases.keys()], 'database')
    }
  }
}

/** A template with its parameters made equal: `/orders/{id}` and `/orders/{customer}` are the same path. */
const templateOf = (path: string): string => path.replace(/\{[^/}]*\}/g, '{}')

/** Of a route, or of each of its backends. */
function checkUpstreams(draft: Draft, report: Report, route: RouteOptions, path: ConfigPath): void {
  const exists = (name: string | undefined, place: ConfigPath): void => {
    if (name === undefined || draft.upstreams.has(name)) return
    report('error', place, 'value', `no upstream is called "${name}"`, suggest(name, [...draft.upstreams.keys()]))
  }
  exists(route.upstream, [...path, 'upstream'])
  for (const [at, { upstream }] of (route.backends ?? []).entries())
    exists(upstream, [...path, 'backends', at, 'upstream'])
}

function checkRoutes(draft: Draft, report: Report): void {
  const policies = [...builtinPolicies, ...draft.policies.keys()]
  const taken = new Map<string, number>()
  for (const [index, route] of draft.routes.entries()) {
    if (!route) continue
    const path = ['routes', index]
    checkUpstreams(draft, report, route, path)
    checkNames(report, [...path, 'allow'], route.allow, policies, 'policy')
    if (route.issuers) checkNames(report, [...path, 'issuers'], route.issuers, [...draft.issuers.keys()], 'issuer')
    checkNames(report, [...path, 'response_allow'], route.response_allow ?? [], policies, 'policy')
    for (const [place, method] of route.methods.entries()) {
      for (const host of route.hosts ?? ['']) {
        const key = `${method} ${host} ${templateOf(route.path)}`
        const first = taken.get(key)
        if (first !== undefined) {
          const where = host === '' ? '' : ` at ${host}`
          const message = `routes[${first}] has ${method} ${route.path}${where} already`
          report('error', [...path, 'methods', place], 'value', message)
        }
        taken.set(key, first ?? index)
      }
    }
  }
}

/** Two services that one certificate would be: which of them it is would be chance. */
function checkServices(draft: Draft, report: Report): void {
  const seen = new Map<string, string>()
  for (const [name, service] of draft.services) {
    if (!service) continue
    const key = service.client_id === undefined ? 'common_name' : 'client_id'
    const value = JSON.stringify([key, service[key]])
    const other = seen.get(value)
    if (other !== undefined)
      report('error', ['services', name, key], 'value', `service ${other} has this ${key} already`)
    seen.set(value, other ?? name)
  }
}

function checkMechanisms(draft: Draft, report: Report): void {
  const introspection = draft.mechanisms?.introspection
  if (introspection !== undefined && /^http:/i.test(introspection.url) && !introspection.insecure_http) {
    const message = 'what comes over plain HTTP can be replaced on the way'
    const suggestion = 'use https, or say insecure_http: true where this is a test'
    report('error', ['mechanisms', 'introspection', 'url'], 'value', message, suggestion)
  }
  const digest = draft.mechanisms?.digest
  const keys = { 'SHA-256': 'ha1_sha256', 'SHA-512-256': 'ha1_sha512_256', MD5: 'ha1_md5' } as const
  for (const [name, user] of Object.entries(digest?.users ?? {})) {
    for (const algorithm of digest?.algorithms ?? []) {
      if (user[keys[algorithm]] !== undefined) continue
      const message = `${name} cannot log in with ${algorithm}: ${keys[algorithm]} is missing`
      report('error', ['mechanisms', 'digest', 'users', name], 'key', message)
    }
  }
  if (digest !== undefined) checkDigestAccounts(draft, digest, report)
  const seen = new Set<string>()
  for (const [index, { hash }] of (draft.mechanisms?.['api-key']?.keys ?? []).entries()) {
    const path = ['mechanisms', 'api-key', 'keys', index, 'hash']
    if (seen.has(hash)) report('error', path, 'value', 'this key is listed already: whose it is would be chance')
    seen.add(hash)
  }
}

function checkDigestAccounts(draft: Draft, digest: DigestOptions, report: Report): void {
  const path = ['mechanisms', 'digest']
  if (!asksAccounts(digest)) {
    if (Object.keys(digest.users).length > 0) return
    report('error', path, 'key', 'digest has nobody: there are no users, and accounts are not asked', 'add users')
    return
  }
  if (draft.accounts.size === 0) {
    const suggestion = 'add users, or an account store: accounts: { staff: { kind: sqlite, path: data/accounts.db } }'
    report('error', path, 'key', 'digest asks the account stores, and there are none', suggestion)
    return
  }
  const stores = [...draft.accounts.values()]
  if (stores.every(store => store?.kind === 'file' && store.format === 'htpasswd')) {
    const message = 'digest lets nobody of the accounts in: htpasswd holds nothing that it needs'
    const suggestion = 'import the file into a store of kind sqlite: bawn accounts import'
    report('warning', path, 'key', message, suggestion)
  }
}

/** Finds what is wrong between entries; entries with problems of their own are passed over. */
export function checkDraft(draft: Draft, report: Report): void {
  checkListeners(draft, report)
  checkDatabases(draft, report)
  checkIssuers(draft, report)
  checkAccounts(draft, report)
  checkPolicies(draft, report)
  checkAcl(draft, report)
  checkHints(draft, report)
  checkServices(draft, report)
  checkMechanisms(draft, report)
  checkPlugins(draft, report)
  checkHostRules(draft, report)
  checkReach(draft, report)
  checkRevocation(draft, report)
  checkTokens(draft, report)
  checkSigning(draft, report)
  checkGrants(draft, report)
  checkLogin(draft, report)
  checkRoutes(draft, report)
  checkFields(draft, report)
  checkWorkers(draft, report)
}
