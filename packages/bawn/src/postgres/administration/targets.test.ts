import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTarget } from '../../accounts/grant-target.ts'
import { fixtureObjects } from '../grants/objects.fixture.ts'
import { readAccountStatement } from './parse.ts'
import { resolveTargets } from './targets.ts'

const databases = ['shop', 'archive', 'Big-1']

function resolved(on: string, verb: 'GRANT' | 'REVOKE' = 'GRANT'): string {
  const reading = readAccountStatement(Buffer.from(`${verb} DQL ${on} ${verb === 'GRANT' ? 'TO' : 'FROM'} ann`))
  assert(reading?.kind === 'account' && reading.statement.kind === 'privileges', on)
  const result = resolveTargets(reading.statement.targets, {
    database: 'shop',
    isDatabase: name => databases.includes(name),
    objects: fixtureObjects,
    mustExist: verb === 'GRANT',
  })
  if ('refusal' in result) return `${result.refusal.code} ${result.refusal.message}`
  return result.targets.map(formatTarget).join(', ')
}

const rows: readonly (readonly [on: string, target: string])[] = [
  ['', 'cluster'],
  ['ON CLUSTER', 'cluster'],
  ['ON DATABASE shop', 'database shop'],
  ['ON DATABASE archive, "Big-1"', 'database archive, database Big-1'],
  ['ON DATABASE big', 'postgres.unknown_database database "big" does not exist'],
  ['ON SCHEMA crm', 'schema shop.crm'],
  ['ON SCHEMA shop.crm, hidden', 'schema shop.crm, schema shop.hidden'],
  ['ON SCHEMA lab', 'postgres.schema_unknown schema "lab" does not exist'],
  ['ON SCHEMA archive.lab', 'schema archive.lab'],
  ['ON SCHEMA elsewhere.lab', 'postgres.unknown_database database "elsewhere" does not exist'],
  ['ON SCHEMA pg_catalog', 'schema shop.pg_catalog'],
  ['ON TABLE people', 'table shop.public.people'],
  ['ON VIEW names', 'table shop.public.names'],
  ['ON TABLE free_seq', 'table shop.public.free_seq'],
  ['ON TABLE orders', 'postgres.account_statement "orders" may mean tables of several schemas: public, crm'],
  ['ON TABLE crm.orders', 'table shop.crm.orders'],
  ['ON TABLE shop.crm.orders', 'table shop.crm.orders'],
  ['ON TABLE archive.crm.anything', 'table archive.crm.anything'],
  ['ON TABLE hidden.orders', 'postgres.relation_unknown relation "hidden.orders" does not exist'],
  ['ON TABLE nothing', 'postgres.relation_unknown relation "nothing" does not exist'],
  ['ON TABLE people_name_idx', 'postgres.relation_unknown relation "people_name_idx" does not exist'],
  ['ON TABLE public."Odd ""table"', 'table shop.public."Odd ""table"'],
  ['ON TABLE pg_catalog.pg_stats', 'table shop.pg_catalog.pg_stats'],
  ['ON TABLE pg_class', 'postgres.relation_unknown relation "pg_class" does not exist'],
]

for (const [on, expected] of rows) {
  test(`${on === '' ? 'nothing' : on} means ${expected}`, () => assert.equal(resolved(on), expected))
}

test('what is no more can be revoked, by its full name', () => {
  assert.equal(resolved('ON TABLE crm.gone', 'REVOKE'), 'table shop.crm.gone')
  assert.equal(resolved('ON SCHEMA gone', 'REVOKE'), 'schema shop.gone')
  assert.match(resolved('ON TABLE gone', 'REVOKE'), /^postgres\.relation_unknown/)
})
