import type { GrantTarget, Need } from '../accounts/grant.ts'

// PostgreSQL's own schemas. Drivers and psql read them at every turn, so nobody needs a grant for what holds definitions. What holds values
// of everybody's rows, everybody's statements, secrets or the server's files is not among that, nor is what a newer PostgreSQL brings: the
// gateway's own login may perhaps read all of it.

const catalogues: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema'])

const definitions = `
  pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_available_extension_versions pg_available_extensions
  pg_cast pg_class pg_collation pg_constraint pg_conversion pg_cursors pg_database pg_db_role_setting pg_default_acl pg_depend
  pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_table pg_group pg_index pg_indexes
  pg_inherits pg_init_privs pg_language pg_largeobject_metadata pg_locks pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily
  pg_parameter_acl pg_partitioned_table pg_policies pg_policy pg_prepared_statements pg_prepared_xacts pg_proc pg_publication
  pg_publication_namespace pg_publication_rel pg_publication_tables pg_range pg_replication_origin pg_rewrite pg_roles pg_rules
  pg_seclabel pg_seclabels pg_sequence pg_settings pg_shdepend pg_shdescription pg_shseclabel pg_statistic_ext pg_subscription_rel
  pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict
  pg_ts_parser pg_ts_template pg_type pg_user pg_views pg_wait_events`

const counts = `
  pg_stat_all_indexes pg_stat_all_tables pg_stat_database pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_functions
  pg_stat_user_indexes pg_stat_user_tables pg_stat_xact_all_tables pg_stat_xact_sys_tables pg_stat_xact_user_functions
  pg_stat_xact_user_tables pg_statio_all_indexes pg_statio_all_sequences pg_statio_all_tables pg_statio_sys_indexes
  pg_statio_sys_sequences pg_statio_sys_tables pg_statio_user_indexes pg_statio_user_sequences pg_statio_user_tables`

const readable: ReadonlySet<string> = new Set([definitions, counts].flatMap(list => list.trim().split(/\s+/)))

/** Options of foreign servers and their users, where passwords are kept. */
const optionViews =
  /^(?:_pg_foreign_|_pg_user_mappings$|user_mapping|foreign_server_options$|foreign_data_wrapper_options$|foreign_table_options$|column_options$)/

/** Whether anybody may read this relation of one of PostgreSQL's own schemas. */
export function isReadableCatalogue(schema: string, name: string): boolean {
  if (schema === 'information_schema') return !optionViews.test(name)
  return schema === 'pg_catalog' && readable.has(name)
}

/** Rows of tables that are too long for their pages. */
const isToast = (schema: string): boolean => schema === 'pg_toast' || schema.startsWith('pg_toast_')

const isReadableTable = (target: GrantTarget): boolean =>
  target.kind === 'table' && isReadableCatalogue(target.schema, target.table)

export function isCatalogue(target: GrantTarget): boolean {
  return (target.kind === 'schema' || target.kind === 'table') && catalogues.has(target.schema)
}

/** What everybody may do with PostgreSQL's own schemas, whatever is granted and denied: read what is in them, but for values. */
export function isReadByAll({ privilege, target }: Need): boolean {
  return privilege === 'DQL' && isCatalogue(target) && (target.kind === 'schema' || isReadableTable(target))
}

/** Whether only an entry on the table itself or on its schema grants it: who may read a database need not be meant to read these. */
export function needsOwnGrant(target: GrantTarget): boolean {
  if (target.kind === 'schema') return isToast(target.schema)
  if (target.kind !== 'table') return false
  return isToast(target.schema) || (catalogues.has(target.schema) && !isReadableTable(target))
}
