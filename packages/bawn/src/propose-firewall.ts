import { stringify } from 'yaml'
import type { Config } from './config/load.ts'
import { onlyRoles } from './policy/option.ts'
import { type LearnedShape, parseShapes } from './postgres/firewall/learning.ts'
import type { StatementClass } from './postgres/firewall/statement-class.ts'

interface Proposed {
  readonly name: string
  readonly action: 'allow'
  readonly for?: readonly string[]
  readonly statements?: readonly StatementClass[]
  readonly tables?: readonly string[]
  readonly queries?: readonly string[]
}

/** A policy that there is and that asks for exactly these roles. */
function policyFor(roles: readonly string[], policies: Config['policies']): string | undefined {
  return Object.entries(policies).find(([, policy]) => {
    const wanted = [...(onlyRoles(policy) ?? [])].sort()
    return wanted.length === roles.length && wanted.every((role, at) => role === roles[at])
  })?.[0]
}

function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

/** Classes that may be allowed by themselves: they touch no table but by what was allowed before. */
const harmless: ReadonlySet<StatementClass> = new Set([
  'SET',
  'SHOW',
  'TRANSACTION',
  'PREPARE',
  'CURSOR',
  'LISTEN',
] as const)

function isHarmless({ classes, tables }: LearnedShape): boolean {
  return tables.length === 0 && classes.every(one => harmless.has(one))
}

/** What was seen and is not proposed: a rule for it would allow far more than it. */
function leftOut(shapes: readonly LearnedShape[]): readonly string[] {
  const left = shapes.filter(shape => shape.query === undefined && shape.tables.length === 0 && !isHarmless(shape))
  const names = new Set(
    left.map(({ roles, classes }) => `${classes.join('+')} by ${roles.join(', ') || 'nobody’s role'}`),
  )
  return [...names].sort().map(name => `# Seen and not proposed, for it cannot be written as a query: ${name}`)
}

function rulesOf(shapes: readonly LearnedShape[], name: string, policy: string | undefined): readonly Proposed[] {
  const who = policy === undefined ? {} : { for: [policy] }
  const queries = shapes.flatMap(({ query }) => query ?? []).sort()
  const rules: Proposed[] = []
  if (queries.length > 0)
    rules.push({ name: `${name}-queries`, action: 'allow', ...who, queries: [...new Set(queries)] })
  const rest = shapes.filter(({ query }) => query === undefined)
  const plain = [...new Set(rest.filter(isHarmless).flatMap(({ classes }) => classes))].sort()
  if (plain.length > 0) rules.push({ name: `${name}-statements`, action: 'allow', ...who, statements: plain })
  const byClasses = Map.groupBy(
    rest.filter(({ tables }) => tables.length > 0),
    ({ classes }) => [...classes].sort().join('-'),
  )
  for (const [key, group] of byClasses) {
    const tables = [...new Set(group.flatMap(shape => shape.tables))].sort()
    const statements = group[0]?.classes ?? []
    rules.push({ name: `${name}-${key.toLowerCase()}`, action: 'allow', ...who, statements, tables })
  }
  return rules
}

/**
 * Rules that allow what was seen, as YAML for the configuration: a rule for each list of roles with its queries, and what cannot be
 * written as a query by classes and tables.
 *
 * @param text of the file that shapes were collected in
 */
export function proposeRules(database: string, text: string, policies: Config['policies']): string {
  const shapes = parseShapes(text)
  const missing: Record<string, { readonly roles: readonly string[] }> = {}
  const rules = [...Map.groupBy(shapes, ({ roles }) => roles.join(',')).values()].flatMap(group => {
    const roles = group[0]?.roles ?? []
    if (roles.length === 0) return rulesOf(group, 'without-role', 'authenticated')
    const name = roles.join('-')
    const known = policyFor(roles, policies)
    if (known === undefined) missing[name] = { roles }
    return rulesOf(group.map(qualifiedTables), name, known ?? name)
  })
  const added = Object.keys(missing).length === 0 ? {} : { policies: missing }
  const document = { ...added, databases: { [database]: { firewall: { mode: 'enforce', default: 'deny', rules } } } }
  const head = [
    `# Rules for what was seen at database ${database}: ${shapes.length} shapes. Read them before you use them:`,
    '# what somebody should not have sent is in here too, and what is seldom sent may be missing.',
    '# A policy with several roles is for whoever has one of them. Tables without a schema were taken for those of public.',
    ...leftOut(shapes),
    '',
  ]
  return `${head.join('\n')}${stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })}`
}

function qualifiedTables(shape: LearnedShape): LearnedShape {
  const tables = shape.tables.map(table => {
    const dot = table.indexOf('.')
    return dot < 0 ? `public.${quoted(table)}` : `${quoted(table.slice(0, dot))}.${quoted(table.slice(dot + 1))}`
  })
  return { ...shape, tables }
}
