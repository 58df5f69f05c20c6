import type { AclRuleOptions } from '../http/option.ts'
import { expressionProblem, routeUse } from '../policy/option.ts'
import type { Draft } from './draft.ts'
import type { Report } from './report.ts'

/** Rules of the access control list: their expressions, and those that are never asked. */
export function checkAcl(draft: Draft, report: Report): void {
  const rules = draft.acl.flatMap((rule, at) => (rule === undefined ? [] : [{ rule, at }]))
  for (const { rule, at } of rules) {
    if (rules.some(other => other.at < at && other.rule.name === rule.name)) {
      report('error', ['acl', at, 'name'], 'value', `two rules are called ${rule.name}`, 'give each a name of its own')
    }
    if (rule.when === undefined) continue
    const problem = expressionProblem(rule.when, routeUse('request', rule.path ?? '/*'))
    if (problem === undefined) continue
    const { message, suggestion, start, end } = problem
    report('error', ['acl', at, 'when'], 'value', message, suggestion, { start, end })
  }
  const ordered = rules.toSorted((a, b) => a.rule.priority - b.rule.priority || rank(a.rule) - rank(b.rule))
  for (const [place, { rule, at }] of ordered.entries()) {
    const before = ordered.slice(0, place).find(other => covers(other.rule, rule))
    if (before === undefined) continue
    const message = `acl rule ${rule.name} is never asked: ${before.rule.name} decides before it`
    report('warning', ['acl', at], 'value', message, 'lower numbers of priority are asked first')
  }
  for (const { rule, at } of ordered) {
    const shut = waysIn(draft).filter(way => denies(rule, way, ordered))
    if (shut.length === 0) continue
    const message = `acl rule ${rule.name} denies everybody what the gateway answers itself: ${shut.map(({ path }) => path).join(', ')}`
    const suggestion = 'allow these paths by a rule with a lower priority, or say whom it is about: addresses, roles'
    report('warning', ['acl', at], 'value', message, suggestion)
  }
  const hasAcl = draft.acl.length > 0
  for (const [index, route] of draft.routes.entries()) {
    const place = route?.allow.indexOf('acl') ?? -1
    if (place >= 0 && !hasAcl)
      report('error', ['routes', index, 'allow', place], 'value', 'acl has no rules', 'add acl:')
    const answer = route?.response_allow?.indexOf('acl') ?? -1
    if (answer >= 0) report('error', ['routes', index, 'response_allow', answer], 'value', onlyRequests)
  }
  for (const [name, database] of draft.databases) {
    const { allow = [], replication = [] } = database ?? {}
    const { rules: statements = [], columns = [] } = database?.firewall ?? {}
    const inFirewall = [
      ...statements.flatMap(one => one.for ?? []),
      ...columns.flatMap(one => [...one.read, ...(one.write ?? [])]),
    ]
    if (inFirewall.includes('acl')) report('error', ['databases', name, 'firewall'], 'key', onlyRequests)
    for (const [key, names] of Object.entries({ allow, replication })) {
      const place = names.indexOf('acl')
      if (place >= 0) report('error', ['databases', name, key, place], 'value', onlyRequests)
    }
  }
}

const onlyRequests = 'the acl decides about requests to routes, and about nothing else'

const rank = ({ effect }: AclRuleOptions): number => (effect === 'deny' ? 0 : 1)

interface Way {
  readonly method: string
  readonly path: string
}

/** What has to be asked before anybody is known, or a token believed; not behind the gate of a route. */
function waysIn({ mechanisms, tokens, signing }: Draft): readonly Way[] {
  const login = mechanisms?.oidc?.login
  const endpoint = tokens.options?.endpoint
  const keySets = [...signing.values()].flatMap(one => one?.jwks ?? [])
  return [
    ...(login === undefined ? [] : [login, `${login}/callback`]).map(path => ({ method: 'GET', path })),
    ...(endpoint === undefined ? [] : [{ method: 'POST', path: endpoint }]),
    ...keySets.map(path => ({ method: 'GET', path })),
  ]
}

/** Whether a rule about every path denies this to everybody, and none before it may allow it (`Acl.deniedBefore`). */
function denies(rule: AclRuleOptions, way: Way, ordered: readonly { readonly rule: AclRuleOptions }[]): boolean {
  const { effect, path = '/*', addresses, roles, when } = rule
  const isForAll = addresses === undefined && roles === undefined && when === undefined
  if (effect !== 'deny' || path !== '/*' || !isForAll || !isAbout(rule, way)) return false
  const before = ordered.slice(
    0,
    ordered.findIndex(one => one.rule === rule),
  )
  return !before.some(other => other.rule.effect === 'allow' && isAbout(other.rule, way))
}

/** Whether its path and methods may be those. */
function isAbout({ path = '/*', methods }: AclRuleOptions, way: Way): boolean {
  const isMethod = methods === undefined || methods.some(method => method === way.method)
  const text = path.split('{')[0] ?? ''
  const below = path.endsWith('/*') && `${way.path}/`.startsWith(path.slice(0, -1))
  return isMethod && (path === way.path || below || (text !== path && way.path.startsWith(text)))
}

/** Whether wherever the second would hold, the first does: as far as that shows without asking an expression. */
function covers(first: AclRuleOptions, second: AclRuleOptions): boolean {
  if (first.when !== undefined || first.addresses !== undefined || first.roles !== undefined) return false
  const methods = first.methods === undefined || second.methods?.every(one => first.methods?.includes(one)) === true
  const { path } = first
  const prefix = path?.endsWith('/*') === true ? path.slice(0, -1) : undefined
  const below = prefix !== undefined && !prefix.includes('{') && `${second.path ?? ''}/`.startsWith(prefix)
  return methods && (path === undefined || path === '/*' || path === second.path || below)
}
