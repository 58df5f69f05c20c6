import type { OidcOptions } from '../authn/option.ts'
import { suggest } from '../nearest.ts'
import { parseHostPort } from '../option.ts'
import type { Draft } from './draft.ts'
import type { Report } from './report.ts'

/** What stands in the way of an issuer's people: it has to be a URL that browsers and we can go to. */
function checkIssuer(draft: Draft, report: Report, oidc: OidcOptions): void {
  const path = ['mechanisms', 'oidc', 'issuer']
  if (!draft.issuers.has(oidc.issuer)) {
    const message = `no issuer is called "${oidc.issuer}"`
    report('error', path, 'value', message, suggest(oidc.issuer, [...draft.issuers.keys()]))
    return
  }
  const issuer = draft.issuers.get(oidc.issuer)
  if (issuer === undefined) return
  const protocol = URL.parse(issuer.issuer)?.protocol
  if (protocol !== 'https:' && !(protocol === 'http:' && issuer.insecure_http)) {
    const message = `people are sent to issuers.${oidc.issuer}.issuer to log in, and it is no https URL`
    report('error', path, 'value', message)
  }
  if (issuer.jwks === undefined) {
    const message = `ID tokens are signed with a key of their issuer, and issuers.${oidc.issuer} has a shared secret`
    report('error', path, 'value', message, 'name an issuer with jwks')
  }
  if (oidc.backchannel_logout && issuer.id_claim !== 'sub') {
    const message = `a logout token names somebody by sub, and issuers.${oidc.issuer} by ${issuer.id_claim}`
    report('error', ['mechanisms', 'oidc', 'backchannel_logout'], 'key', message, 'take it out, or say id_claim: sub')
  }
}

/** The session is a token of ours in its cookie. */
function checkSession(draft: Draft, report: Report, oidc: OidcOptions): void {
  const path = ['mechanisms', 'oidc']
  const { configured, options } = draft.tokens
  if (!configured) {
    const suggestion = 'add tokens: { kind: sqlite, path: data/tokens.db, renew: true, cookie: {} }'
    report('error', path, 'key', 'oidc keeps its sessions in tokens, and there are none', suggestion)
  }
  if (options === undefined) return
  if (options.cookie === undefined) {
    report('error', path, 'key', 'oidc keeps its sessions in the cookie of tokens', 'add cookie: {} under tokens')
    return
  }
  if (options.cookie.path !== '/') {
    const message = 'with oidc the cookie is for the whole host: paths of one host do not guard each other'
    report('error', ['tokens', 'cookie', 'path'], 'value', message, 'leave path out')
  }
  const renews = 'renew' in options && options.renew
  const longest = renews ? options.lifetime : options.ttl
  if (longest >= oidc.session) return
  const key = renews ? 'lifetime' : 'ttl'
  const suggestion = 'renew' in options && !renews ? 'say renew: true, or a longer ttl' : `say a longer ${key}`
  const message = `a session ends with its token, after tokens.${key}, and not after mechanisms.oidc.session`
  report('warning', ['tokens'], 'key', message, suggestion)
}

function checkPaths(draft: Draft, report: Report, oidc: OidcOptions): void {
  const { login, logout, after_logout: after } = oidc
  const own: readonly (readonly [key: string, path: string])[] = [
    ['login', login],
    ['login', `${login}/callback`],
    ['logout', logout],
    ...(after === undefined ? [['logout', `${logout}/done`] as const] : []),
    ...(oidc.backchannel_logout ? [['logout', `${logout}/backchannel`] as const] : []),
  ]
  const taken = new Map<string, string>()
  for (const [key, path] of own) {
    if (taken.has(path)) report('error', ['mechanisms', 'oidc', key], 'key', `${path} is used twice`)
    taken.set(path, key)
  }
  const { options } = draft.tokens
  for (const [key, path] of own) {
    if (options === undefined) break
    const { endpoint, resource } = options
    if (path !== endpoint && path !== `${endpoint}/cookie` && !isBelow(path, resource)) continue
    report('error', ['mechanisms', 'oidc', key], 'key', `${path} is a path of tokens already`)
  }
  for (const [index, route] of draft.routes.entries()) {
    if (route === undefined || !taken.has(route.path)) continue
    const message = `${route.path} is answered by the gateway itself: nobody would get to this route`
    const suggestion = `choose another mechanisms.oidc.${taken.get(route.path)}`
    report('error', ['routes', index, 'path'], 'value', message, suggestion)
  }
}

/** `/tokens/done` is one of `/tokens/{id}`. */
function isBelow(path: string, resource: string): boolean {
  return path.startsWith(`${resource}/`) && !path.slice(resource.length + 1).includes('/')
}

function checkClient(report: Report, oidc: OidcOptions): void {
  const path = ['mechanisms', 'oidc']
  if (oidc.client_secret !== undefined && oidc.client_key !== undefined) {
    report('error', [...path, 'client_key'], 'key', 'a client has client_secret or client_key, not both')
  }
  if (oidc.client_key_id !== undefined && oidc.client_key === undefined) {
    report('error', [...path, 'client_key_id'], 'key', 'there is no client_key')
  }
  if (oidc.redirect.startsWith('http:') && !oidc.insecure_http) {
    const message = 'over plain HTTP, whoever is on the way gets every session'
    const suggestion = 'use https, or say insecure_http: true where this is a test'
    report('error', [...path, 'redirect'], 'value', message, suggestion)
  }
  const { port } = parseHostPort(oidc.redirect.replace(/^https?:\/\//, ''))
  if (port > 65_535) report('error', [...path, 'redirect'], 'value', 'a port is at most 65535')
}

/** Logging in by a browser against the rest of the file. */
export function checkLogin(draft: Draft, report: Report): void {
  for (const [index, rule] of draft.host_rules.entries()) {
    const place = rule?.use.indexOf('oidc') ?? -1
    const first = rule?.use.slice(0, Math.max(0, place)).find(name => name === 'trust' || name === 'identity')
    if (first === undefined) continue
    const message = `${first} is asked first: nobody would be known by a session`
    report('error', ['host_rules', index, 'use', place], 'value', message, `put oidc before ${first}`)
  }
  const oidc = draft.mechanisms?.oidc
  if (oidc === undefined) return
  checkIssuer(draft, report, oidc)
  checkSession(draft, report, oidc)
  checkPaths(draft, report, oidc)
  checkClient(report, oidc)
  if (!draft.host_rules.some(rule => rule?.use.includes('oidc')) && !draft.host_rules.includes(undefined)) {
    const message = 'oidc is configured, and no host rule lets anybody log in by it'
    report('warning', ['mechanisms', 'oidc'], 'key', message, 'add oidc to use of a host rule')
  }
}
