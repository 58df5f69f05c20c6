import type { DatabaseObjects, KnownFunction, KnownRelation, RelationKind } from '../sql/objects.ts'

// A database for the tests of this folder: what there is to name. `needs.test.ts` has statements over it.

const relations: readonly (readonly [name: string, kind: RelationKind, table?: string])[] = [
  ['public.people', 'r'],
  ['public.orders', 'r'],
  ['public.notes', 'r'],
  ['public.Odd "table', 'r'],
  ['public.names', 'v'],
  ['public.totals', 'm'],
  ['public.events', 'p'],
  ['public.events_2026', 'r'],
  ['public.free_seq', 'S'],
  ['public.people_id_seq', 'S', 'public.people'],
  ['public.people_name_idx', 'i', 'public.people'],
  ['crm.orders', 'r'],
  ['crm.deals', 'r'],
  ['hidden.plans', 'r'],
  ['pg_catalog.pg_class', 'r'],
  ['pg_catalog.pg_stats', 'v'],
  ['pg_catalog.pg_authid', 'r'],
  ['information_schema.tables', 'v'],
]

const functions: readonly KnownFunction[] = [
  ...[
    'now',
    'nextval',
    'set_config',
    'query_to_xml',
    'ts_stat',
    'ts_rewrite',
    'lo_get',
    'pg_read_file',
    'to_regclass',
  ].map(name => ({ schema: 'pg_catalog', name, unary: name !== 'query_to_xml' && name !== 'set_config' })),
  { schema: 'public', name: 'total', unary: true },
  { schema: 'public', name: 'either', unary: false },
  { schema: 'crm', name: 'either', unary: false },
  { schema: 'crm', name: 'lower', unary: true },
]

function split(name: string): { readonly schema: string; readonly name: string } {
  const dot = name.indexOf('.')
  return { schema: name.slice(0, dot), name: name.slice(dot + 1) }
}

const known = relations.map(
  ([name, kind, table], index): KnownRelation => ({
    ...split(name),
    oid: String(20_000 + index),
    kind,
    table: table === undefined ? undefined : split(table),
  }),
)

export const fixtureObjects: DatabaseObjects = {
  relations: Map.groupBy(known, relation => relation.name),
  schemas: new Map([
    ['public', '2200'],
    ['crm', '2201'],
    ['hidden', '2202'],
  ]),
  functions: Map.groupBy(functions, one => one.name),
  pure: new Set(['lower', 'upper', 'count', 'sum', 'max', 'substr', 'row_number', 'unnest', 'length']),
}
