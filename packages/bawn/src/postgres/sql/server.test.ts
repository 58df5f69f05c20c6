import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import type { Field } from '../../fields/field.ts'
import { changed, copiedIn, searched, untouched } from './permitted.fixture.ts'
import type { SchemaSnapshot, StatementPlan } from './plan.ts'
import { createPlanner } from './planner.ts'
import { createSchemaSource } from './schema.ts'
import { sees, shopFields, shopSnapshot, shopTables } from './shop.fixture.ts'

// Real PostgreSQL: what is permitted runs; protected values come out only in columns that are recognised by OID and attnum; what is
// stored is sealed. The forms of docs/guide/sql.md are run through the gateway, in `test/sql-guide.test.ts`.

const postgres = await startPostgres()
const client = new pg.Client(postgres)
const planner = await createPlanner()
const source = createSchemaSource({ query, fields: shopFields, database: 'shop' })
let snapshot: SchemaSnapshot

async function query(sql: string, parameters: readonly unknown[] = []) {
  const { rows } = await client.query<Record<string, unknown>>(sql, [...parameters])
  return rows
}

before(async () => {
  await client.connect()
  await client.query(shopTables)
  snapshot = await source.refresh()
  for (const [id, name] of [
    [1, 'ann'],
    [2, 'ben'],
  ] as const) {
    await run(
      `INSERT INTO users (id, email, phone, scan, name) VALUES (${id}, '${name}', '1${id}', '\\x0${id}', '${name}')`,
    )
    await run(`INSERT INTO public.orders VALUES (${id}, ${id}, '${name}', 'note')`)
    await run(`INSERT INTO events VALUES ('2026-0${id}-01', '${name}', 'login')`)
    await run(`INSERT INTO people VALUES (${id}, '${name}')`)
  }
  await run(`INSERT INTO "Odd ""table" VALUES ('ann', 1)`)
})

after(async () => {
  await planner.close()
  await client.end()
  await postgres.stop()
})

const tag = Buffer.from('SEALED')

/** As good as sealed: a hash where searchable, a tag to look for, and nothing of the plaintext to be read. */
function seal(field: Field, plaintext: Uint8Array): Buffer {
  if (plaintext.length === 0) return Buffer.alloc(0)
  const hidden = Buffer.from(plaintext).map(byte => byte ^ 0x55)
  return Buffer.concat([field.searchable ? hash(plaintext) : Buffer.alloc(0), tag, hidden])
}

function hash(plaintext: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0x7f), createHash('sha256').update(plaintext).digest()])
}

/** The statement as the server gets it. */
function forwarded(sql: string, plan: StatementPlan): string {
  const bytes = Buffer.from(sql)
  const parts: Buffer[] = []
  let at = 0
  for (const edit of plan.kind === 'protected' ? plan.edits : []) {
    parts.push(bytes.subarray(at, edit.start))
    if (edit.kind === 'text') parts.push(Buffer.from(edit.text))
    else {
      const value = edit.as === 'sealed' ? seal(edit.field, edit.plaintext) : hash(edit.plaintext)
      parts.push(Buffer.from(`'\\x${value.toString('hex')}'`))
    }
    at = edit.end
  }
  return Buffer.concat([...parts, bytes.subarray(at)]).toString()
}

/** Values for `$1`…: protected ones as the door would send them, others something that any type takes. */
function parameters(sql: string, plan: StatementPlan): unknown[] {
  const count = Math.max(0, ...[...sql.matchAll(/\$(\d+)/g)].map(([, index]) => Number(index)))
  return Array.from({ length: count }, (_, at) => {
    const use = plan.kind === 'protected' ? plan.parameters.find(one => one.index === at + 1) : undefined
    if (use === undefined) return '1'
    return use.as === 'sealed' ? seal(use.field, Buffer.from('ann')) : hash(Buffer.from('ann'))
  })
}

const raw = { getTypeParser: () => (value: string) => value }

async function run(sql: string): Promise<readonly pg.QueryArrayResult[]> {
  const plan = await planner.plan(Buffer.from(sql), snapshot, 'sees', sees)
  assert.notEqual(plan.kind, 'refused', plan.kind === 'refused' ? plan.message : '')
  const values = /\bPREPARE\b/.test(sql) ? [] : parameters(sql, plan)
  const text = forwarded(sql, plan)
  const result: unknown = await client.query({ text, values, rowMode: 'array', types: raw })
  const results = (Array.isArray(result) ? result : [result]) as pg.QueryArrayResult[]
  for (const one of results) recognised(one)
  return results
}

/** Sealed bytes stand in protected columns only, and nothing else stands there. */
function recognised(result: pg.QueryArrayResult): void {
  for (const [index, column] of (result.fields ?? []).entries()) {
    const field = snapshot.columns.get(column.tableID)?.get(column.columnID)
    for (const row of result.rows) {
      const value = String(row[index] ?? '')
      const sealed = value.includes(tag.toString('hex'))
      assert.equal(sealed, field !== undefined && value !== '' && value !== '\\x', `${column.name}: ${value}`)
    }
  }
}

/** Every stored value of a protected column is sealed, empty or NULL. */
async function nothingInClear(): Promise<void> {
  for (const relation of snapshot.relations) {
    const names = relation.columns.filter(column => column.field !== undefined).map(column => `"${column.name}"`)
    const table = `"${relation.schema}"."${relation.name.replaceAll('"', '""')}"`
    for (const row of await query(`SELECT ${names.join(', ')} FROM ${table}`)) {
      for (const value of Object.values(row)) {
        assert(
          value === null || (Buffer.isBuffer(value) && (value.length === 0 || value.includes(tag))),
          `${table}: ${value}`,
        )
      }
    }
  }
}

async function undone(work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN')
  try {
    await work()
  } finally {
    await client.query('ROLLBACK')
    await client.query('DEALLOCATE ALL')
  }
}

test('the catalogue is found in the database as the fixture has it', () => {
  const oids = new Map(snapshot.relations.map(relation => [relation.oid, relation.name]))
  const byName = (one: { readonly name: string }, other: { readonly name: string }) => (one.name < other.name ? -1 : 1)
  const plain = (item: SchemaSnapshot) => ({
    relations: item.relations.map(relation => ({ ...relation, oid: 0 })).sort(byName),
    dependents: item.dependents,
    homonyms: item.homonyms,
    problems: item.problems,
  })
  assert.deepEqual(plain(snapshot), plain(shopSnapshot))
  assert.deepEqual([...snapshot.columns.keys()].sort(), [...oids.keys()].sort())
})

/** Runs a form on the seeded tables; where its id is taken already, on an emptied one. */
async function form(sql: string): Promise<void> {
  const attempt = async (): Promise<void> => {
    await run(sql)
    if (!sql.startsWith('ALTER')) await nothingInClear()
  }
  try {
    await undone(attempt)
  } catch (error) {
    if (!(error instanceof pg.DatabaseError && error.code === '23505')) throw error
    await undone(async () => {
      await client.query('DELETE FROM public.users')
      await attempt()
    })
  }
}

test('every permitted form runs, and shows protected values in recognised columns only', async t => {
  // They need what an earlier statement made; the guide's forms come with it.
  const dependent = new Set(['EXECUTE p(1)', 'EXPLAIN EXECUTE p(1)', 'FETCH 10 FROM c', 'MOVE NEXT IN c'])
  const forms = [...untouched, ...changed.map(([sql]) => sql), ...searched.map(([sql]) => sql)]
  const [version] = await query('SHOW server_version_num')
  const hasOld = Number(version?.['server_version_num']) >= 180_000
  for (const sql of forms.filter(form => !dependent.has(form) && (hasOld || !form.includes('old.')))) {
    await t.test(sql, () => form(sql))
  }
})

/** The server is ready for the data; the client has none. */
async function copyIn(sql: string): Promise<void> {
  const plan = await planner.plan(Buffer.from(sql), snapshot, 'sees', sees)
  assert.equal(plan.kind, 'protected', JSON.stringify(plan))
  await assert.rejects(client.query(forwarded(sql, plan)), { code: '57014' })
}

test('every permitted COPY FROM STDIN gets as far as its data', async t => {
  for (const [sql] of copiedIn) await t.test(sql, () => copyIn(sql))
})

test('a search finds what was written, as literal and as parameter', async () => {
  const found = async (sql: string) => (await run(sql)).flatMap(result => result.rows.map(row => row[0]))
  assert.deepEqual(await found("SELECT id FROM users WHERE email = 'ann'"), ['1'])
  assert.deepEqual(await found('SELECT id FROM users WHERE email = $1'), ['1'])
  assert.deepEqual(await found("SELECT id FROM users WHERE email <> 'ann'"), ['2'])
  assert.deepEqual(await found("SELECT id FROM users WHERE email IN ('ann', 'ben', 'cid') ORDER BY id"), ['1', '2'])
  assert.deepEqual(
    await found("SELECT u.id FROM users u JOIN public.orders o ON o.user_id = u.id AND o.buyer = 'ben'"),
    ['2'],
  )
  await undone(async () => {
    await run("UPDATE users SET email = '' WHERE id = 2")
    assert.deepEqual(await found("SELECT id FROM users WHERE email = ''"), ['2'])
  })
})

test('the schema is looked at again: same epoch until something changed, then another', async () => {
  const first = await source.refresh()
  assert.equal(await source.refresh(), first)
  assert.equal(await source.fresh(60_000), first)
  await client.query("CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
  try {
    const [one, other] = await Promise.all([source.refresh(), source.refresh()])
    assert.equal(one.epoch, other.epoch)
    assert(one.epoch > first.epoch)
    assert(one.relations.some(relation => relation.name === 'events_2027'))
    const plan = await planner.plan(
      Buffer.from("INSERT INTO events_2027 VALUES ('2027-01-01', 'a')"),
      one,
      'sees',
      sees,
    )
    assert.equal(plan.kind === 'protected' && plan.edits.length, 2)
  } finally {
    await client.query('DROP TABLE events_2027')
  }
})

test('a table above a protected one is a dependent: what is written through it would not be sealed', async () => {
  const [events] = shopFields.filter(field => field.name === 'who')
  assert(events !== undefined)
  const columns = [{ database: 'shop', schema: 'public', table: 'events_2026', column: 'who' }]
  const below = createSchemaSource({ query, fields: [{ ...events, columns }], database: 'shop' })
  assert.deepEqual((await below.refresh()).dependents, [
    {
      schema: 'public',
      name: 'events',
      reason: 'one of its partitions or children is protected, and it is not',
    },
  ])
})

test('nearest names are suggested for what is missing', async () => {
  const [field] = shopFields
  assert(field !== undefined)
  const columns = [
    { database: 'shop', schema: 'public', table: 'users', column: 'e_mail' },
    { database: 'shop', schema: 'public', table: 'user_list', column: 'email' },
    { database: 'other', schema: 'public', table: 'nowhere', column: 'email' },
  ]
  const wrong = createSchemaSource({ query, fields: [{ ...field, columns }], database: 'shop' })
  assert.deepEqual(
    (await wrong.refresh()).problems.map(problem => problem.message),
    ['field email: public.users has no column e_mail (is it email?)', 'field email: public.user_list is a view'],
  )
})
