import { createHash } from 'node:crypto'
import { onlyRoles, type PolicyOptions } from '../../policy/option.ts'
import { sameStatements } from '../firewall/pattern.ts'
import type { Parser } from '../sql/parser.ts'
import { isStruct, unwrap } from '../sql/tree.ts'
import { RowFilterError } from './error.ts'
import type { RowFilterOptions } from './option.ts'

/** Settings that say who a session is for, as `databases.NAME.identity` has them. */
export interface IdentitySettings {
  /** The gateway's login: in sessions of others anybody may set anything. */
  readonly login: string
  readonly setting: string
  readonly rolesSetting: string
}

/** One filter as PostgreSQL is to have it. */
export interface RowPolicy {
  readonly schema: string
  readonly table: string
  /** Of the restrictive policy; the permissive one beside it has `_all` behind. */
  readonly policy: string
  /** Of the expression: what the comment on the policy says it was made of. */
  readonly digest: string
  readonly expression: string
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Strings, quoted names and comments, which are left alone; then what stands for the identity. */
const pieces =
  /[Ee]'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]*)\$[\s\S]*?\$\1\$|--[^\n\r]*|\/\*[\s\S]*?\*\/|@(user|roles)\b/g

/** A condition with the identity in its place. In sub-selects, so that it is worked out once and not for each row. */
function bound(where: string, { setting, rolesSetting }: IdentitySettings): string {
  const read = (name: string): string => `pg_catalog.current_setting(${literal(name)}, true)`
  return where.replace(pieces, (piece: string, _tag: unknown, name: string | undefined) => {
    if (name === 'user') return `(SELECT ${read(setting)})`
    // With a cast, ANY takes it for an array and not for a query.
    if (name === 'roles') return `(SELECT pg_catalog.string_to_array(${read(rolesSetting)}, ','))::pg_catalog.text[]`
    return piece
  })
}

/** Is it one expression, and does the text end where it ends? */
async function checkCondition(text: string, of: string, parser: Parser): Promise<void> {
  const wrong = (why: string): RowFilterError =>
    new RowFilterError('postgres.row_filter_invalid', `a condition of row filter ${of} ${why}`)
  const parsed = await parser.parse(Buffer.from(`SELECT (${text}\n)`))
  // By itself too: `true) OR (true` is one only between parentheses that are not its own.
  const alone = await parser.parse(Buffer.from(`SELECT ${text}`))
  if (parsed.kind !== 'parsed' || alone.kind !== 'parsed') throw wrong('is no expression of SQL')
  if (!sameStatements(parsed.statements, alone.statements)) throw wrong('is more than one expression')
  const [kind, select] = unwrap(parsed.statements[0]?.stmt) ?? []
  const others = Object.keys(select ?? {}).filter(key => !['targetList', 'limitOption', 'op'].includes(key))
  const targets = select?.['targetList']
  const isOne = parsed.statements.length === 1 && kind === 'SelectStmt' && others.length === 0
  if (!isOne || !Array.isArray(targets) || targets.length !== 1 || isStruct(unwrap(targets[0])?.[1]['name']))
    throw wrong('is more than one expression')
}

/** Whom an entry is for, as a condition. @param policies every declared policy, by name */
function holdersOf(
  names: readonly string[],
  of: string,
  policies: Readonly<Record<string, PolicyOptions>>,
  settings: IdentitySettings,
): string {
  const roles = new Set<string>()
  for (const name of names) {
    if (name === 'authenticated' || name === 'anyone') return bound("@user <> ''", settings)
    const policy = Object.hasOwn(policies, name) ? policies[name] : undefined
    const wanted = policy && onlyRoles(policy)
    if (wanted === undefined) {
      const message = `row filter ${of} is for policy ${name}, which PostgreSQL cannot ask: only policies with roles, and nothing else, can be used`
      throw new RowFilterError('postgres.row_filter_invalid', message)
    }
    for (const role of wanted) roles.add(role)
  }
  const list = [...roles].sort().map(literal).join(', ')
  return bound(`@roles OPERATOR(pg_catalog.&&) ARRAY[${list}]::pg_catalog.text[]`, settings)
}

/** @throws {RowFilterError} (rejects with) `postgres.row_filter_invalid` */
export async function rowPolicyOf(
  { name, table, rows }: RowFilterOptions,
  policies: Readonly<Record<string, PolicyOptions>>,
  settings: IdentitySettings,
  parser: Parser,
): Promise<RowPolicy> {
  // Not current_user: in views and functions that is their owner.
  const cases: string[] = [`  WHEN session_user <> ${literal(settings.login)} THEN false`]
  for (const { for: who, where } of rows) {
    const condition = bound(where, settings)
    await checkCondition(condition, name, parser)
    cases.push(`  WHEN ${holdersOf(who, name, policies, settings)} THEN (${condition}\n  )`)
  }
  const expression = `CASE\n${cases.join('\n')}\n  ELSE false\nEND`
  await checkCondition(expression, name, parser)
  const digest = createHash('sha256').update(expression).digest('hex').slice(0, 32)
  return { schema: table.schema, table: table.name, policy: `bawn_${name}`, digest, expression }
}

/**
 * SQL that puts filters in place, in one transaction; it may be run again. Each policy bears a comment with the digest of what it was made
 * of and of what PostgreSQL has kept, so that it can be told when either is another.
 */
export function policySql(policies: readonly RowPolicy[]): string {
  const parts = policies.map(({ schema, table, policy, digest, expression }) => {
    const on = `${quoted(schema)}.${quoted(table)}`
    const all = quoted(`${policy}_all`)
    return `ALTER TABLE ${on} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${on} FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS ${quoted(policy)} ON ${on};
DROP POLICY IF EXISTS ${all} ON ${on};
CREATE POLICY ${all} ON ${on} AS PERMISSIVE FOR ALL TO PUBLIC USING (true);
CREATE POLICY ${quoted(policy)} ON ${on} AS RESTRICTIVE FOR ALL TO PUBLIC USING (${expression});
DO $bawn$ BEGIN
  EXECUTE pg_catalog.format('COMMENT ON POLICY %I ON %I.%I IS %L', ${literal(policy)}, ${literal(schema)}, ${literal(table)},
    (SELECT 'bawn ${digest} ' || pg_catalog.md5(polqual::pg_catalog.text) FROM pg_catalog.pg_policy
     WHERE polrelid = ${literal(on)}::pg_catalog.regclass AND polname = ${literal(policy)}));
END $bawn$;
`
  })
  return `-- Made by bawn rls: to be run by the owner of the tables.\nBEGIN;\n${parts.join('\n')}COMMIT;\n`
}
