import type { CatalogueQuery } from '../sql/schema.ts'
import type { RowPolicy } from './policy-sql.ts'

/** What the database has of one filter. $1 schema, $2 table, $3 policy. Yields no row when there is no such table. */
const tableQuery = `
SELECT c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
  pg_catalog.pg_has_role(c.relowner, 'MEMBER') AS owned,
  pg_catalog.has_table_privilege(c.oid, 'TRUNCATE') AS may_truncate,
  EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS has_parent,
  EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE (r.rolsuper OR r.rolbypassrls) AND pg_catalog.pg_has_role(r.oid, 'MEMBER')) AS bypasses,
  EXISTS (
    SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = $3::pg_catalog.text || '_all'
      AND p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'::pg_catalog.oid[]
  ) AS has_all,
  (
    SELECT pg_catalog.obj_description(p.oid, 'pg_policy') = $4::pg_catalog.text || pg_catalog.md5(p.polqual::pg_catalog.text)
    FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = $3::pg_catalog.text
      AND NOT p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'::pg_catalog.oid[] AND p.polwithcheck IS NULL
  ) AS is_same
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::pg_catalog.text AND c.relname = $2::pg_catalog.text AND c.relkind IN ('r', 'p')`

/** Other names of its rows that the filter would not hold for: open partitions and children, views by who goes past every filter. $1, $2 as above. */
const waysQuery = `
WITH RECURSIVE tree (oid) AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1::pg_catalog.text AND c.relname = $2::pg_catalog.text
  UNION
  SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
), uses AS (
  SELECT DISTINCT d.refobjid AS used, r.ev_class AS by
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
), views (oid) AS (
  SELECT u.by FROM tree t JOIN uses u ON u.used = t.oid
  UNION
  SELECT u.by FROM views v JOIN uses u ON u.used = v.oid
)
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name, c.relkind::pg_catalog.text AS kind
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
WHERE c.oid IN (SELECT oid FROM tree) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
  AND NOT (n.nspname = $1::pg_catalog.text AND c.relname = $2::pg_catalog.text)
  OR c.oid IN (SELECT oid FROM views) AND (c.relkind = 'm' OR (r.rolsuper OR r.rolbypassrls)
    AND NOT coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions), false))
ORDER BY 1`

/** What keeps filters from holding in the database as it is now; empty when nothing does. Nothing secret. */
export async function missingFilters(
  query: CatalogueQuery,
  policies: readonly RowPolicy[],
): Promise<readonly string[]> {
  const problems: string[] = []
  for (const { schema, table, policy, digest } of policies) {
    const name = `${schema}.${table}`
    const [found] = await query(tableQuery, [schema, table, policy, `bawn ${digest} `])
    const say = (what: string): number => problems.push(`row filter ${policy.replace('bawn_', '')}: ${what}`)
    if (found === undefined) {
      say(`there is no table ${name}`)
      continue
    }
    if (found['enabled'] !== true || found['forced'] !== true)
      say(`row-level security of ${name} is not enabled and forced`)
    if (found['has_all'] !== true || found['is_same'] !== true)
      say(`the policy on ${name} is missing, or not what the configuration says`)
    if (found['bypasses'] !== false) say('the gateway’s login is a superuser or has BYPASSRLS, by itself or by a role')
    if (found['owned'] !== false)
      say(`the gateway’s login owns ${name}, so that its sessions could switch the filter off`)
    if (found['may_truncate'] !== false) say(`the gateway’s login may TRUNCATE ${name}, which no filter stops`)
    if (found['has_parent'] !== false)
      say(`${name} is a partition or child: its rows are read by the parent, declare the filter there`)
    for (const way of await query(waysQuery, [schema, table])) {
      if (way['kind'] === 'm') say(`${String(way['name'])} holds rows of ${name} without a filter`)
      else if (way['kind'] === 'v')
        say(`view ${String(way['name'])} is a superuser’s and shows every row of ${name}: make it security_invoker`)
      else say(`${String(way['name'])} can be read by its own name: enable and force row-level security on it too`)
    }
  }
  return problems
}
