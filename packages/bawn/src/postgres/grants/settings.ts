// Which settings anybody may change for the own session: those that say how values are written, how long one waits and how a plan is
// made. Others change who one is (`role`), switch off what guards data (`session_replication_role`), or load code.

const harmless: ReadonlySet<string> = new Set(
  `application_name array_nulls backslash_quote bytea_output check_function_bodies client_connection_check_interval client_encoding
  client_min_messages constraint_exclusion cursor_tuple_fraction datestyle debug_parallel_query
  debug_pretty_print default_statistics_target default_table_access_method default_tablespace default_toast_compression
  default_transaction_deferrable default_transaction_isolation default_transaction_read_only effective_cache_size
  effective_io_concurrency escape_string_warning extra_float_digits from_collapse_limit geqo
  gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier icu_validation_level idle_in_transaction_session_timeout
  idle_session_timeout intervalstyle jit jit_above_cost jit_expressions jit_inline_above_cost jit_optimize_above_cost
  jit_tuple_deforming join_collapse_limit lc_monetary lc_numeric lc_time lock_timeout
  logical_decoding_work_mem maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers
  max_parallel_workers max_parallel_workers_per_gather min_parallel_index_scan_size
  min_parallel_table_scan_size parallel_leader_participation plan_cache_mode quote_all_identifiers random_page_cost
  recursive_worktable_factor restrict_nonsystem_relation_kind row_security scram_iterations search_path seed seq_page_cost
  standard_conforming_strings statement_timeout synchronize_seqscans synchronous_commit tcp_keepalives_count
  tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout temp_buffers temp_tablespaces timezone timezone_abbreviations
  transaction_deferrable transaction_isolation transaction_read_only transaction_timeout transform_null_equals work_mem xmlbinary
  xmloption`.split(/\s+/),
)

const families = /^(?:enable_|geqo_|cpu_|parallel_|vacuum_cost_)/

/** Of modules that keep a watch on what is done, or that decide what is loaded. Other names with a dot belong to applications. */
const modules =
  /^(?:auto_explain|pgaudit|pg_stat_statements|pg_stat_monitor|plpgsql|plperl|plperlu|pltcl|plpython3u|plv8|pljava|sepgsql|set_user|supautils|credcheck|anon|pgsodium|vault|pg_cron|pg_net|dblink|postgres_fdw)\./

/** Whether anybody may SET it. Names are compared in lower case, as the server does. */
export function isHarmlessSetting(setting: string): boolean {
  const name = setting.toLowerCase()
  if (name.includes('.')) return !modules.test(name)
  return harmless.has(name) || families.test(name)
}
