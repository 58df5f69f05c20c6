// Functions of pg_catalog that are not immutable and that anybody may call all the same: they read the clock, the session, definitions
// or their arguments, and no table. Whatever is not in this list and not immutable needs every privilege: `query_to_xml`, `ts_stat`
// and `ts_rewrite` run SQL that stands in a string, `table_to_xml` reads what its argument names, `lo_get` and `pg_read_file` read
// elsewhere, `pg_stat_get_activity` shows what others send, `pg_terminate_backend` ends their sessions. Functions that a newer
// PostgreSQL brings are among them until they were looked at.

const clockAndChance = `
  age clock_timestamp date_part date_trunc extract gen_random_uuid now pg_sleep pg_sleep_for pg_sleep_until random random_normal setseed
  statement_timestamp timeofday transaction_timestamp uuidv4 uuidv7`

const valuesAndText = `
  aclexplode array_sample array_shuffle array_to_json array_to_string concat concat_ws convert convert_from convert_to date date_add
  date_subtract enum_first enum_last enum_range format generate_series in_range length make_timestamptz money numeric overlaps
  pg_basetype pg_client_encoding pg_char_to_encoding pg_collation_for pg_column_compression pg_column_size pg_column_toast_chunk_id
  pg_encoding_to_char pg_input_error_info pg_input_is_valid pg_options_to_table pg_typeof quote_literal quote_nullable regclass time
  timestamp timestamptz timetz timezone to_char to_date to_number to_timestamp xml xml_is_well_formed`

const json = `
  json_agg json_agg_strict json_build_array json_build_object json_object_agg json_object_agg_strict json_object_agg_unique
  json_object_agg_unique_strict json_populate_record json_populate_recordset json_to_record json_to_recordset json_to_tsvector jsonb_agg
  jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz
  jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset
  jsonb_to_record jsonb_to_recordset jsonb_to_tsvector row_to_json to_json to_jsonb`

const textSearch = `
  get_current_ts_config phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_debug ts_headline ts_parse ts_token_type
  websearch_to_tsquery`

const session = `
  current_database current_query current_schema current_schemas current_setting current_user currval getdatabaseencoding getpgusername
  inet_client_addr inet_client_port inet_server_addr inet_server_port lastval pg_advisory_lock pg_advisory_lock_shared
  pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
  pg_backend_pid pg_conf_load_time pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned pg_cursor pg_export_snapshot
  pg_is_in_recovery pg_is_other_temp_schema pg_jit_available pg_listening_channels pg_my_temp_schema pg_notification_queue_usage
  pg_notify pg_numa_available pg_postmaster_start_time pg_prepared_statement pg_prepared_xact pg_settings_get_flags
  pg_show_all_settings pg_stat_clear_snapshot pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names
  pg_trigger_depth pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
  pg_xact_status session_user system_user txid_current txid_current_if_assigned txid_current_snapshot txid_status version`

const definitions = `
  col_description format_type has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
  has_function_privilege has_language_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege
  has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege mxid_age obj_description oidvectortypes
  pg_available_extension_versions pg_available_extensions pg_collation_actual_version pg_collation_is_visible
  pg_column_is_updatable pg_conversion_is_visible pg_database_collation_actual_version pg_describe_object pg_extension_update_paths
  pg_filenode_relation pg_function_is_visible pg_get_acl pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr
  pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result
  pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_object_address pg_get_partition_constraintdef
  pg_get_partkeydef pg_get_publication_tables pg_get_replica_identity_index pg_get_ruledef pg_get_serial_sequence
  pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid
  pg_get_viewdef pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property
  pg_index_has_property pg_indexam_has_property pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
  pg_partition_ancestors pg_partition_tree pg_relation_filenode pg_relation_filepath pg_relation_is_publishable
  pg_relation_is_updatable pg_sequence_parameters pg_statistics_obj_is_visible pg_table_is_visible pg_tablespace_databases
  pg_tablespace_location pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible
  pg_type_is_visible row_security_active shobj_description to_regclass to_regcollation to_regnamespace to_regoper to_regoperator
  to_regproc to_regprocedure to_regrole to_regtype to_regtypemod`

/** They see the row that their trigger is called for. */
const triggers = 'suppress_redundant_updates_trigger tsvector_update_trigger tsvector_update_trigger_column'

const sizesAndCounts = `
  pg_blocking_pids pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size pg_indexes_size
  pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_relation_size
  pg_safe_snapshot_blocking_pids pg_stat_get_analyze_count pg_stat_get_autoanalyze_count pg_stat_get_autovacuum_count
  pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_dead_tuples pg_stat_get_ins_since_vacuum
  pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time
  pg_stat_get_lastscan pg_stat_get_live_tuples pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_tuples_deleted
  pg_stat_get_tuples_fetched pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted pg_stat_get_tuples_returned
  pg_stat_get_tuples_updated pg_stat_get_vacuum_count pg_table_size pg_tablespace_size pg_total_relation_size`

/** Names in pg_catalog, of functions that may be called by anybody though they are not immutable. */
export const harmlessFunctions: ReadonlySet<string> = new Set(
  [clockAndChance, valuesAndText, json, textSearch, session, definitions, triggers, sizesAndCounts].flatMap(list =>
    list.trim().split(/\s+/),
  ),
)
