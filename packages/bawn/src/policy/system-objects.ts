import type { GrantTarget, Need } from '../accounts/grant.ts'

// PostgreSQL's own schemas. Drivers and psql read them at every turn, so nobody needs a grant for that; but some of their tables hold
// values of everybody's rows, or of everybody's statements, and the gateway's own login may read them all.

const catalogues: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema'])

/** Samples of columns, large objects, text of statements, passwords and connection strings. */
const withValues: ReadonlySet<string> = new Set([
  'pg_authid',
  'pg_file_settings',
  'pg_foreign_server',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_largeobject',
  'pg_shadow',
  'pg_stat_activity',
  'pg_statistic',
  'pg_statistic_ext_data',
  'pg_stats',
  'pg_stats_ext',
  'pg_stats_ext_exprs',
  'pg_subscription',
  'pg_user_mapping',
  'pg_user_mappings',
  'foreign_server_options',
  'user_mapping_options',
])

/** Rows of tables that are too long for their pages. */
const isToast = (schema: string): boolean => schema === 'pg_toast' || schema.startsWith('pg_toast_')

export function isCatalogue(target: GrantTarget): boolean {
  return (target.kind === 'schema' || target.kind === 'table') && catalogues.has(target.schema)
}

/** What everybody may do with PostgreSQL's own schemas, whatever is granted and denied: read what is in them, but for values. */
export function isReadByAll({ privilege, target }: Need): boolean {
  return privilege === 'DQL' && isCatalogue(target) && !(target.kind === 'table' && withValues.has(target.table))
}

/** Whether only an entry on the table itself or on its schema grants it: who may read a database need not be meant to read these. */
export function needsOwnGrant(target: GrantTarget): boolean {
  if (target.kind === 'schema') return isToast(target.schema)
  if (target.kind !== 'table') return false
  return isToast(target.schema) || (catalogues.has(target.schema) && withValues.has(target.table))
}
