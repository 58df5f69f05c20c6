import { doorsOf } from './check-host-rules.ts'
import type { Draft } from './draft.ts'
import type { Report } from './report.ts'
import { isLoopback } from './unsafe.ts'

/** Mechanisms that would judge a token of ours, and refuse it. */
const before = ['basic', 'jwt', 'api-key', 'introspection', 'identity']

/** Does a route's path lead to exactly what the gateway answers itself? Less specific ones (`/*`) merely end there. */
function isShadowed(path: string, resource: string, endpoint: string): boolean {
  if (path === endpoint || path === `${endpoint}/cookie`) return true
  return path.startsWith(`${resource}/`) && /^[^/*]+$/.test(path.slice(resource.length + 1))
}

/** Where an identity may come from, besides issuers and account stores. */
export const otherSources: readonly string[] = ['certificate', 'digest', 'api-key', 'introspection']

/** A token keeps the name of its source alone: of two with one name, whoever came by one would get the roles of a namesake at the other. */
function checkSources(draft: Draft, report: Report): void {
  for (const store of draft.accounts.keys()) {
    const other = draft.issuers.has(store)
      ? `issuers.${store}`
      : otherSources.includes(store)
        ? `mechanism ${store}`
        : undefined
    if (other === undefined) continue
    const message = `a token of accounts.${store} cannot be told from one of ${other}`
    report('error', ['accounts', store], 'key', message, 'give the account store another name')
  }
}

/** Tokens of our own against the rest of the file. */
export function checkTokens(draft: Draft, report: Report): void {
  for (const [index, rule] of draft.host_rules.entries()) {
    const place = rule?.use.indexOf('token') ?? -1
    if (place < 0) continue
    const path = ['host_rules', index, 'use', place]
    if (!draft.tokens.configured) {
      report(
        'error',
        path,
        'value',
        'token needs to be configured',
        'add tokens: { kind: sqlite, path: data/tokens.db }',
      )
    }
    // At door postgres the client says which one it wants.
    if (rule === undefined || !doorsOf(rule).includes('http')) continue
    const first = rule.use.slice(0, place).find(name => before.includes(name))
    if (first === undefined) continue
    const message = `${first} is asked first, and would refuse every token of ours`
    report('error', path, 'value', message, `put token before ${first}`)
  }
  checkRedis(['revocations'], draft.revocations, report)
  checkRedis(['rate_limits'], draft.rate_limits, report)
  const { options } = draft.tokens
  if (options === undefined) return
  checkSources(draft, report)
  const { resource, endpoint } = options
  if (resource === endpoint) report('error', ['tokens', 'endpoint'], 'key', 'endpoint and resource are the same path')
  for (const [index, route] of draft.routes.entries()) {
    if (!route || !isShadowed(route.path, resource, endpoint)) continue
    const message = `${route.path} is answered by the gateway itself: nobody would get to this route`
    report('error', ['routes', index, 'path'], 'value', message, 'choose another tokens.endpoint or tokens.resource')
  }
  if (
    !draft.host_rules.some(rule => rule?.use.some(name => name === 'token' || name === 'oidc')) &&
    !draft.host_rules.includes(undefined)
  ) {
    const message = 'tokens are issued, and no host rule lets anybody use one'
    report('warning', ['tokens'], 'key', message, 'add token to use of a host rule, before basic and jwt')
  }
  if ('lifetime' in options && options.lifetime < options.ttl) {
    report('error', ['tokens', 'lifetime'], 'key', 'lifetime is shorter than ttl')
  }
  if (options.kind === 'plugin') return
  if (options.kind === 'signed') checkRedis(['tokens', 'revocations'], options.revocations, report)
  else checkRedis(['tokens'], options, report)
}

/** A store that is reached over a network, in clear? */
export function checkRedis(
  path: readonly string[],
  options: { readonly kind: string; readonly url?: string } | undefined,
  report: Report,
): void {
  if (options?.kind !== 'redis' || options.url?.startsWith('redis:') !== true) return
  const { hostname } = new URL(options.url)
  if (isLoopback(hostname.replace(/^\[|\]$/g, ''))) return
  report('warning', [...path, 'url'], 'value', `UNSAFE: the connection to ${hostname} is not encrypted`, 'use rediss')
}
