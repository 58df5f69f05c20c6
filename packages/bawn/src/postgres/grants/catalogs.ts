// Which relations of pg_catalog and information_schema anybody may read: those that hold definitions. What holds values of tables
// (pg_statistic, pg_stats, pg_largeobject), secrets (pg_authid, pg_shadow, pg_user_mapping, pg_subscription), what others send
// (pg_stat_activity) or the server's files (pg_hba_file_rules) needs every privilege, as does what a newer PostgreSQL brings.

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

/** Whether a schema is the server's own: what is in it goes by `isReadableCatalog`, not by grants. */
export function isSystemSchema(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_')
}

/** Whether anybody may read this relation of a system schema. */
export function isReadableCatalog(schema: string, name: string): boolean {
  if (schema === 'information_schema') return !optionViews.test(name)
  return schema === 'pg_catalog' && readable.has(name)
}
