import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { createPlanner } from './planner.ts'
import { createSchemaSource } from './schema.ts'
import { seesNothing, shopFields, shopTables } from './shop.fixture.ts'

// Who does not see a column must not have the database compute with it. So: whatever statement is permitted to them gives the same
// answer from two databases that differ in nothing but the contents of protected columns.

const postgres = await startPostgres()
const planner = await createPlanner()
const clients: pg.Client[] = []

before(async () => {
  const admin = new pg.Client(postgres)
  await admin.connect()
  for (const [index, database] of ['one', 'other'].entries()) {
    await admin.query(`CREATE DATABASE ${database}`)
    const client = new pg.Client({ ...postgres, database })
    await client.connect()
    clients.push(client)
    await client.query(shopTables)
    await client.query(`INSERT INTO people SELECT n, 'p' || n % 3 FROM generate_series(1, 6) n`)
    for (let id = 1; id <= 6; id++) {
      // In one database values repeat and rise, in the other they differ and fall; NULL is in the same places.
      const value = (index === 0 ? Buffer.of(id >> 1, 65) : Buffer.of(90 - id, id, 66)).toString('hex')
      const bytes = id === 4 ? 'NULL' : `'\\x${value}'`
      await client.query(`INSERT INTO users VALUES (${id}, ${bytes}, ${bytes}, ${bytes}, 'n${id % 3}', '2026-01-01')`)
      await client.query(`INSERT INTO public.orders VALUES (${id}, ${7 - id}, ${bytes}, 'o${id % 2}')`)
    }
  }
  await admin.end()
})

after(async () => {
  await planner.close()
  for (const client of clients) await client.end()
  await postgres.stop()
})

let seed = 42
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
  return (seed >> 8) % below
}

function pick(...items: readonly (string | (() => string))[]): string {
  const item = items[random(items.length)] ?? ''
  return typeof item === 'string' ? item : item()
}

const columns =
  'u.id u.id u.name u.name u.email u.email u.phone email phone name joined o.buyer o.id o.note d.id d.email d.e p.name buyer e u d'.split(
    ' ',
  )
const column = () => pick(...columns)

function expression(depth: number): string {
  if (depth <= 0) return pick(column, column, '1', "'x'")
  const inner = () => expression(depth - 1)
  return pick(
    column,
    column,
    () => `count(${inner()})`,
    () => `${pick('max', 'length', 'lower', 'md5', 'row_to_json', 'array_agg')}(${inner()})`,
    () => `coalesce(${inner()}, ${inner()})`,
    () => `CASE WHEN ${predicate(depth - 1)} THEN ${inner()} END`,
    () => `(${inner()})::text`,
    () => `(${query(depth - 1, 1)})`,
    () => `rank() OVER (ORDER BY ${inner()})`,
    () => `ROW(${inner()})`,
  )
}

function predicate(depth: number): string {
  if (depth <= 0) return pick('true', () => `${column()} IS NOT NULL`)
  return pick(
    () => `${column()} = ${column()}`,
    () => `${column()} = 'x'`,
    () => `${column()} IN ('x', 'n1')`,
    () => `${column()} IS NULL`,
    () => `${column()} > 'n1'`,
    () => `u.id = o.id`,
    () => `EXISTS (${query(depth - 1, 1)})`,
    () => `${column()} IN (${query(depth - 1, 1)})`,
    () => `${predicate(depth - 1)} AND NOT ${predicate(depth - 1)}`,
  )
}

function from(depth: number): string {
  const derived = () => `${pick('', 'LATERAL ')}(SELECT u.id, u.email, ${expression(depth - 1)} AS e FROM users u) d`
  const other = () => pick('public.orders o', 'people p', () => (depth > 0 ? derived() : 'people p'))
  return pick(
    'users u',
    'users u',
    () => `users u, ${other()}`,
    () => `users u ${pick('', 'LEFT ')}JOIN ${other()} ON ${predicate(depth - 1)}`,
    () => `${other()} JOIN users u USING (${pick('id', 'id', 'email')})`,
    () => `users u NATURAL JOIN ${other()}`,
    () => `(SELECT * FROM users${pick('', ' u (id, e)')}) AS u`,
    () => `users u, public.orders o, ${derived()}`,
  )
}

function query(depth: number, width: number): string {
  const target = () =>
    pick(
      column,
      column,
      () => expression(depth),
      () => `${expression(depth)} AS e`,
      '*',
      'u.*',
      'd.*',
    )
  const targets = Array.from({ length: 1 + random(width) }, target).join(', ')
  const key = () => pick(column, '1', '2', 'e', () => expression(depth - 1))
  const select = [
    `SELECT ${pick('', '', '', 'DISTINCT ', `DISTINCT ON (${key()}) `)}${targets} FROM ${from(depth)}`,
    pick('', '', ` WHERE ${predicate(depth)}`),
    pick('', '', '', '', ` GROUP BY ${key()}`),
    pick('', '', ` ORDER BY ${key()}`),
    pick('', ' LIMIT 3'),
  ].join('')
  return pick(
    select,
    select,
    select,
    select,
    () => `${select} UNION ALL ${select}`,
    () => `WITH d AS (${select}) SELECT ${pick('*', column)} FROM d`,
  )
}

const raw = { getTypeParser: () => (value: string) => value }

test('permitted statements answer the same whatever protected columns hold', async () => {
  const snapshots = await Promise.all(
    clients.map(client => {
      const query = async (sql: string, parameters: readonly unknown[]) =>
        (await client.query(sql, [...parameters])).rows
      return createSchemaSource({ query, fields: shopFields, database: 'shop' }).refresh()
    }),
  )
  const [snapshot] = snapshots
  assert(snapshot !== undefined)
  let permitted = 0
  let answered = 0
  for (let round = 0; round < 2_500; round++) {
    const sql = query(2, 3)
    const plan = await planner.plan(Buffer.from(sql), snapshot, 'nobody', seesNothing)
    if (plan.kind === 'refused') continue
    permitted++
    assert(plan.kind === 'pass' || plan.edits.length === 0, sql)
    const answers = await Promise.all(
      clients.map(client =>
        client.query<string[]>({ text: sql, rowMode: 'array', types: raw }).catch((error: unknown) => error),
      ),
    )
    const shown = answers.map((answer, database) => {
      if (answer instanceof pg.DatabaseError) return answer.code
      const { fields, rows } = answer as pg.QueryArrayResult<string[]>
      answered++
      return rows.map(row =>
        row.map((value, index) => {
          const { tableID, columnID } = fields[index] ?? { tableID: 0, columnID: 0 }
          const isProtected = snapshots[database]?.columns.get(tableID)?.has(columnID) === true
          return isProtected && value !== null ? 'protected' : value
        }),
      )
    })
    assert.deepEqual(shown[0], shown[1], sql)
  }
  assert(permitted > 300 && answered > 200, `${permitted} permitted, ${answered} answers`)
})
