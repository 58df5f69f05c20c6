import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { createPlanner } from '../sql/planner.ts'
import { createSchemaSource } from '../sql/schema.ts'
import { needed } from './needs.fixture.ts'
import { resolve } from './resolve.ts'

// PostgreSQL is the judge: a role that has exactly the privileges which we say a statement needs must be able to run it there. What the
// server refuses to that role is something that we forgot to ask for. And without any one of them it must be refused, or we ask in vain.

const postgres = await startPostgres()
const owner = new pg.Client(postgres)
const planner = await createPlanner()
const source = createSchemaSource({
  query: async (sql, parameters) => (await owner.query(sql, [...parameters])).rows,
  fields: [],
  database: 'shop',
  objects: () => true,
})

const tables = `
CREATE SCHEMA crm; CREATE SCHEMA hidden;
CREATE TABLE people (id serial PRIMARY KEY, name text, age int, a int, b int, x xml, j jsonb);
CREATE TABLE notes (id int PRIMARY KEY, x text, y text, a int, b int);
CREATE TABLE orders (id int);
CREATE TABLE crm.orders (id int);
CREATE TABLE crm.deals (id int);
CREATE TABLE hidden.plans (id int, x text, y text);
CREATE TABLE "Odd ""table" (n int);
CREATE TABLE events (at text) PARTITION BY LIST (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN ('2026');
CREATE VIEW names AS SELECT name FROM people;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM people;
CREATE SEQUENCE free_seq;
CREATE ROLE tester LOGIN PASSWORD 'tester';
GRANT USAGE ON SCHEMA crm, hidden, public TO tester;
GRANT CREATE ON SCHEMA crm, public TO tester;
INSERT INTO people (name, a, b) VALUES ('ann', 1, 2);
`

before(async () => {
  await owner.connect()
  await owner.query(tables)
})
after(async () => {
  await planner.close()
  await owner.end()
  await postgres.stop()
})

const granted = { DQL: 'SELECT', DML: 'INSERT, UPDATE, DELETE, TRUNCATE', DDL: undefined, AL: undefined } as const
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

async function grantsFor(text: string): Promise<readonly string[] | undefined> {
  const { objects } = await source.fresh(60_000)
  const reading = await planner.read(Buffer.from(text))
  assert(reading.kind === 'read' && objects !== undefined, text)
  const { needs } = resolve(reading.references, 'shop', objects, { temporary: () => undefined, created: () => [] })
  const grants: string[] = []
  for (const { privilege, target } of needs) {
    const rights = granted[privilege]
    if (target.kind !== 'table' || rights === undefined) return undefined
    const name = `${quoted(target.schema)}.${quoted(target.table)}`
    const sequence = /_seq$/.test(target.table)
    // A sequence goes by the table that owns it.
    grants.push(
      sequence ? `USAGE, SELECT, UPDATE ON SEQUENCE ${name}` : `${rights} ON ${name}`,
      ...(target.table === 'people' ? [`USAGE, SELECT, UPDATE ON SEQUENCE people_id_seq`] : []),
    )
  }
  return [...new Set(grants)]
}

/** SQLSTATE of running the text as a role with these grants; nothing of it stays. */
async function run(text: string, grants: readonly string[]): Promise<string | undefined> {
  await owner.query('BEGIN')
  try {
    for (const grant of grants) await owner.query(`GRANT ${grant} TO tester`)
    await owner.query('SET LOCAL ROLE tester')
    const count = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, index]) => Number(index)))
    const inner = /^(?:PREPARE|DECLARE)/.test(text)
    await owner.query(text, count === 0 || inner ? undefined : Array.from({ length: count }, () => null))
    return undefined
  } catch (error) {
    return error instanceof pg.DatabaseError ? error.code : String(error)
  } finally {
    await owner.query('ROLLBACK')
  }
}

/** What a client library does not run by itself, needs something that is not there, or is not asked about before it is used. */
const skipped = /^(?:COPY .* (?:STDIN|STDOUT)|EXECUTE|FETCH|REFRESH|PREPARE)|shop\.public|AS \(SELECT 1 UNION ALL/
/** A WITH query that nothing uses is left out by the server. */
const unused = 'WITH a AS (SELECT * FROM people), people AS (SELECT 1) SELECT * FROM people'

test('PostgreSQL demands nothing that we do not', async () => {
  const failed: string[] = []
  let count = 0
  let necessary = 0
  for (const group of ['reading', 'WITH queries', 'writing'] as const) {
    for (const [text] of needed[group] ?? []) {
      if (skipped.test(text) || text === unused) continue
      const grants = await grantsFor(text)
      if (grants === undefined) continue
      count++
      const state = await run(text, grants)
      if (state === '42501') failed.push(`${text}: PostgreSQL wants more than ${grants.join('; ')}`)
      if (state !== undefined || grants.length === 0) continue
      // Without them it is refused: what we ask for is not made up.
      if ((await run(text, [])) === '42501') necessary++
      else failed.push(`${text}: PostgreSQL wants nothing of ${grants.join('; ')}`)
    }
  }
  assert.deepEqual(failed, [])
  assert(count > 80, `${count} statements`)
  assert(necessary > 55, `${necessary} statements were refused without the privileges`)
})

test('nor in queries whose WITH queries have the names of tables', async () => {
  let seed = 11
  const next = (limit: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return (seed >> 8) % limit
  }
  const names = ['people', 'notes', 'public.people', 'public.notes', 'crm.deals', 'deals']
  const name = (): string => names[next(names.length)] ?? ''
  const query = (depth: number): string => {
    if (depth === 0) return `SELECT id FROM ${name()}`
    switch (next(6)) {
      case 0:
        return `SELECT a.id FROM ${name()} a, (${query(depth - 1)}) b`
      case 1:
        return `SELECT id FROM ${name()} WHERE id IN (${query(depth - 1)})`
      case 2:
        return `(${query(depth - 1)}) UNION ALL (${query(depth - 1)})`
      case 3:
        return `SELECT a.id FROM ${name()} a LEFT JOIN LATERAL (${query(depth - 1)}) b ON EXISTS (${query(depth - 1)})`
      default: {
        const ctes = ['people', 'notes', 'deals'].slice(0, 1 + next(3)).sort(() => next(3) - 1)
        const recursive = next(3) === 0 ? 'RECURSIVE ' : ''
        return `WITH ${recursive}${ctes.map(cte => `${cte} AS MATERIALIZED (${query(depth - 1)})`).join(', ')} SELECT id FROM (${query(depth - 1)}) z`
      }
    }
  }
  const states = new Map<string, number>()
  const refused: string[] = []
  for (let round = 0; round < 250; round++) {
    const text = query(1 + next(3))
    const state = await run(text, (await grantsFor(text)) ?? [])
    states.set(state ?? 'ran', (states.get(state ?? 'ran') ?? 0) + 1)
    if (state === '42501') refused.push(text)
  }
  assert.deepEqual(refused, [])
  assert((states.get('ran') ?? 0) > 60, JSON.stringify([...states]))
})

test('the objects of a database are known: partitions, sequences by their table, indexes, functions; and again after a change', async () => {
  const { objects, epoch } = await source.refresh()
  const kinds = (name: string) =>
    (objects?.relations.get(name) ?? []).map(one => `${one.schema}.${one.name} ${one.kind} ${one.table?.name ?? ''}`)
  assert.deepEqual(kinds('orders'), ['public.orders r ', 'crm.orders r '])
  assert.deepEqual(kinds('people_id_seq'), ['public.people_id_seq S people'])
  assert.deepEqual(kinds('people_pkey'), ['public.people_pkey i people'])
  assert.deepEqual(kinds('events_2026'), ['public.events_2026 r '])
  assert.deepEqual(kinds('pg_class'), ['pg_catalog.pg_class r '])
  assert.deepEqual([...(objects?.schemas.keys() ?? [])], ['crm', 'hidden', 'public'])
  assert(objects?.pure.has('lower') && objects.pure.has('count') && !objects.pure.has('ts_rewrite'))
  assert.equal((await source.refresh()).objects, objects)
  await owner.query('CREATE TEMP TABLE mine (a int); CREATE FUNCTION crm.f() RETURNS int LANGUAGE sql RETURN 1')
  const later = await source.refresh()
  assert.equal(later.epoch, epoch)
  assert.equal(later.objects?.relations.has('mine'), false)
  assert.deepEqual(later.objects?.functions.get('f'), [{ schema: 'crm', name: 'f', unary: false }])
})

test('every function that may be called by anybody exists, and none of them is kept from ordinary users', async () => {
  const { harmlessFunctions } = await import('./builtin-functions.ts')
  const { rows } = await owner.query<{ name: string; open: boolean }>(
    `SELECT proname::text AS name, bool_and(proacl IS NULL) AS open FROM pg_proc
     WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1) GROUP BY 1`,
    [[...harmlessFunctions]],
  )
  assert.deepEqual(
    [...harmlessFunctions].filter(name => !rows.some(row => row.name === name)),
    [],
  )
  assert.deepEqual(
    rows.filter(row => !row.open).map(row => row.name),
    [],
  )
})
