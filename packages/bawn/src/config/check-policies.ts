import { builtinPolicies, expressionProblem, routeUse } from '../policy/option.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

type Use = Parameters<typeof expressionProblem>[1]

/** A list of policies: where it stands, and what they are asked about there. */
interface Place {
  readonly text: string
  readonly names: readonly string[]
  readonly use: Use
}

/** Every list of policies in the file. */
function placesOf(draft: Draft): readonly Place[] {
  const routes = draft.routes.flatMap((route, at): Place[] =>
    route === undefined
      ? []
      : [
          { text: `routes[${at}].allow`, names: route.allow, use: routeUse('request', route.path) },
          ...(route.hints?.rows ?? []).map((entry, row) => ({
            text: `routes[${at}].hints.rows[${row}]`,
            names: entry.for,
            use: routeUse('request', route.path),
          })),
          {
            text: `routes[${at}].response_allow`,
            names: route.response_allow ?? [],
            use: routeUse('response', route.path),
          },
        ],
  )
  const databases = [...draft.databases].flatMap(([name, database]): Place[] => {
    if (database === undefined) return []
    const at = `databases.${name}`
    const login: Use = { kind: 'database', database: name }
    const statement: Use = { kind: 'identity' }
    const { rules = [], columns = [] } = database.firewall ?? {}
    return [
      { text: `${at}.allow`, names: database.allow, use: login },
      { text: `${at}.replication`, names: database.replication ?? [], use: login },
      ...rules.map(rule => ({ text: `${at}.firewall rule ${rule.name}`, names: rule.for ?? [], use: statement })),
      ...columns.map(({ name: rule, read, write = [] }) => ({
        ...{ text: `${at}.firewall rule ${rule}`, names: [...read, ...write], use: statement },
      })),
    ]
  })
  return [...routes, ...databases]
}

/** Names of policies, and their expressions: each for itself, and then for every place that names it. */
export function checkPolicies(draft: Draft, report: Report): void {
  const places = placesOf(draft)
  for (const [name, policy] of draft.policies) {
    if (builtinPolicies.some(builtin => builtin === name)) {
      report('error', ['policies', name], 'key', `"${name}" is built in: choose another name`)
    }
    if (policy?.cel === undefined) continue
    const path = draft.shortPolicies.has(name) ? ['policies', name] : ['policies', name, 'cel']
    if (tell(report, path, policy.cel, { kind: 'any' }, '')) continue
    // The first that does not fit is enough: what is wrong is the same elsewhere.
    places.some(
      ({ text, names, use }) => names.includes(name) && tell(report, path, policy.cel ?? '', use, ` (at ${text})`),
    )
  }
}

/** @returns whether something is wrong */
function tell(report: Report, path: ConfigPath, text: string, use: Use, where: string): boolean {
  const problem = expressionProblem(text, use)
  if (problem === undefined) return false
  const { message, suggestion, start, end } = problem
  report('error', path, 'value', `${message}${where}`, suggestion, { start, end })
  return true
}
