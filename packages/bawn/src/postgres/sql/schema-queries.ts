/**
 * What the gateway asks the catalogue of a database. Every name is qualified: `search_path` of the gateway's login means nothing.
 * Numbers come as text, so that a driver's idea of int8 and oid does not matter.
 */

/** Declared tables and, recursively, their partitions and inheritance children. $1 schemas, $2 tables. */
export const relationsQuery = `
WITH RECURSIVE declared AS (
  SELECT c.oid
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS d (schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = d.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = d.name
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
), tree (root, oid) AS (
  SELECT oid, oid FROM declared
  UNION
  SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
)
SELECT t.root::pg_catalog.text AS root, t.oid::pg_catalog.text AS oid,
  n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name, c.relkind::pg_catalog.text AS kind
FROM tree t
JOIN pg_catalog.pg_class c ON c.oid = t.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY n.nspname, c.relname, t.root`

/** Live columns. $1 table OIDs. */
export const columnsQuery = `
SELECT a.attrelid::pg_catalog.text AS relation, a.attname::pg_catalog.text AS name, a.attnum::pg_catalog.text AS attnum,
  a.atttypid::pg_catalog.text AS type, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name, a.atthasdef AS has_default, a.attgenerated <> '' AS generated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`

/**
 * Views, materialized views and tables with rules that use a protected column (or the table as a whole), and what is built on
 * them; tables that a protected one is a partition or child of. $1 table OIDs, $2 attnums, side by side.
 */
export const dependentsQuery = `
WITH RECURSIVE guarded AS (
  SELECT g.oid, g.attnum
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) AS g (oid, attnum)
), uses AS (
  SELECT d.refobjid AS used, d.refobjsubid AS attnum, r.ev_class AS by
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid <> r.ev_class
), ancestors AS (
  SELECT i.inhparent AS oid FROM pg_catalog.pg_inherits i WHERE i.inhrelid IN (SELECT oid FROM guarded)
  UNION
  SELECT i.inhparent FROM ancestors a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
), dependents AS (
  SELECT u.by AS oid FROM guarded g JOIN uses u ON u.used = g.oid AND u.attnum IN (0, g.attnum)
  UNION
  SELECT oid FROM ancestors
  UNION
  SELECT u.by FROM dependents d JOIN uses u ON u.used = d.oid
)
SELECT DISTINCT c.oid::pg_catalog.text AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
  c.relkind::pg_catalog.text AS kind, c.relpersistence = 't' AS temporary, c.oid IN (SELECT oid FROM ancestors) AS above
FROM dependents d
JOIN pg_catalog.pg_class c ON c.oid = d.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT d.oid = ANY ($1::pg_catalog.oid[])
ORDER BY 2, 3, 1`

/** Which rules there are, views' own among them, and since when: asked at each look, and it waits for no lock. $1 OIDs. */
export const rewritesQuery = `
SELECT r.oid::pg_catalog.text AS oid, r.ev_class::pg_catalog.text AS relation, r.ev_type::pg_catalog.text AS event,
  r.xmin::pg_catalog.text AS since
FROM pg_catalog.pg_rewrite r
WHERE r.ev_class = ANY ($1::pg_catalog.oid[])
ORDER BY r.ev_class, r.oid`

/**
 * What they say, every name with its schema: that depends on `search_path`, which is set for this statement only. The server locks the
 * tables that they name for it, so it is asked only when something changed, and does not wait long. $1 OIDs of rules.
 */
export const definitionsQuery = `
WITH setting AS MATERIALIZED (
  SELECT pg_catalog.set_config('search_path', 'pg_catalog', true) AS path, pg_catalog.set_config('lock_timeout', '5s', true) AS wait
)
SELECT r.oid::pg_catalog.text AS oid,
  CASE WHEN setting.path <> 'pg_catalog' OR setting.wait = '' THEN NULL
    WHEN r.ev_type = '1' THEN pg_catalog.pg_get_viewdef(r.ev_class) ELSE pg_catalog.pg_get_ruledef(r.oid) END AS definition
FROM setting, pg_catalog.pg_rewrite r
WHERE r.oid = ANY ($1::pg_catalog.oid[])`

/** Relations that share a name with a protected one; temporary ones of other sessions left out. $1 table OIDs. */
export const homonymsQuery = `
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname IN (SELECT p.relname FROM pg_catalog.pg_class p WHERE p.oid = ANY ($1::pg_catalog.oid[]))
  AND NOT c.oid = ANY ($1::pg_catalog.oid[])
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND c.relpersistence <> 't'
ORDER BY 1, 2`

/** Names to suggest for a table that is missing. */
export const tablesQuery = `
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND c.relpersistence <> 't'
ORDER BY 1, 2
LIMIT 5000`

/**
 * By which other names rows of tables are read or written: partitions and children, what those are partitions of (`same_columns`), and
 * views and rules over any of them. $1 schemas, $2 tables, `*` for all of a schema.
 */
export const reachQuery = `
WITH RECURSIVE declared AS (
  SELECT d.schema, d.name, c.oid
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS d (schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = d.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND (c.relname = d.name OR d.name = '*')
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
), tree (schema, name, oid) AS (
  SELECT schema, name, oid FROM declared
  UNION
  SELECT t.schema, t.name, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
), above (schema, name, oid) AS (
  SELECT schema, name, oid FROM tree
  UNION
  SELECT a.schema, a.name, i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
), uses AS (
  SELECT d.refobjid AS used, r.ev_class AS by
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid <> r.ev_class
), reach (schema, name, oid) AS (
  SELECT schema, name, oid FROM above
  UNION
  SELECT x.schema, x.name, u.by FROM reach x JOIN uses u ON u.used = x.oid
)
SELECT x.schema::pg_catalog.text AS of_schema, x.name::pg_catalog.text AS of_name,
  n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
  EXISTS (SELECT FROM above a WHERE a.oid = x.oid AND a.schema = x.schema AND a.name = x.name) AS same_columns
FROM reach x
JOIN pg_catalog.pg_class c ON c.oid = x.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2, 3, 4`

/** Whether anything may happen beside what a statement says. */
export const eventTriggersQuery = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtenabled <> 'D') AS any`
