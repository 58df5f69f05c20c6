import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import postgres from 'postgres'
import { startTestWorld, type TestWorld } from './world.ts'

// The two drivers that most Node programs use, as they are, through the PostgreSQL door with TLS. psql and pgbench: test/clients/.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
  await asOwner('create table public.notes (id int primary key, text text)')
  await asOwner('grant all on notes to gateway')
})
after(() => world?.remove())

async function asOwner(text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ ...world.owner, ssl: false })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function withPg(config: pg.ClientConfig, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client(config)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

const alice = (): pg.ClientConfig => ({
  host: 'localhost',
  port: world.ports.sql,
  database: 'shop',
  user: 'alice',
  password: world.token('alice'),
  ssl: { ca: world.place.read('ca.pem') },
})

const first = 'select id, name, email from people where id = 1'
const plain = { id: 1, name: 'Aoife Ahern', email: 'aoife.ahern@example.com' }
const masked = { ...plain, email: 'a****@example.com' }

test('node-postgres: simple, with parameters, prepared, as array', async () => {
  await withPg(world.billing, async client => {
    assert.deepEqual((await client.query(first)).rows, [plain])
    const byId = 'select id, name, email from people where id = $1'
    assert.deepEqual((await client.query(byId, [1])).rows, [plain])
    for (const id of [1, 2, 1]) {
      const { rows } = await client.query<{ id: number }>({ name: 'by-id', text: byId, values: [id] })
      assert.equal(rows[0]?.id, id)
    }
    const asArray = await client.query({ text: first, rowMode: 'array' })
    assert.deepEqual(asArray.rows, [[1, 'Aoife Ahern', 'aoife.ahern@example.com']])
  })
  await withPg(alice(), async client => {
    assert.deepEqual((await client.query(first)).rows, [masked])
    assert.deepEqual((await client.query('select * from people where id = $1', [1])).rows, [
      { ...masked, city: 'Athlone' },
    ])
  })
})

test('node-postgres: what is written is sealed, by literal and by parameter, and RETURNING shows it', async () => {
  await withPg(world.billing, async client => {
    const literal = await client.query(
      "insert into people (id, name, city, email) values (5001, 'Lit', 'Ennis', 'lit@example.com') returning email",
    )
    assert.deepEqual(literal.rows, [{ email: 'lit@example.com' }])
    await client.query('insert into people (id, name, city, email) values ($1, $2, $3, $4)', [
      5002,
      'Par',
      'Ennis',
      'par@example.com',
    ])
    const updated = await client.query('update people set email = $1 where id = $2 returning email', [
      'new@example.com',
      5002,
    ])
    assert.deepEqual(updated.rows, [{ email: 'new@example.com' }])
  })
  const stored = await asOwner('select email from people where id in (5001, 5002)')
  assert.equal(stored.length, 2)
  for (const { email } of stored) assert(Buffer.isBuffer(email) && !email.includes('@example.com'))
})

test('node-postgres: transactions, and errors in them', async () => {
  await withPg(world.billing, async client => {
    await client.query('begin')
    await assert.rejects(client.query('select no_such_column from people'), { code: '42703' })
    await assert.rejects(client.query('select 1'), { code: '25P02' })
    await client.query('rollback')
  })
})

test('node-postgres: a pool', async () => {
  const pool = new pg.Pool({ ...world.billing, max: 4 })
  try {
    const wanted = Array.from({ length: 50 }, (_, id) => ({ id }))
    const answers = await Promise.all(wanted.map(({ id }) => pool.query('select $1::int as id', [id])))
    assert.deepEqual(
      answers.map(answer => answer.rows[0]),
      wanted,
    )
  } finally {
    await pool.end()
  }
})

/** As billing. The files are read anew: node-postgres hides the key in the object that it was given. */
function postgresJs(options: { readonly max: number; readonly prepare?: boolean }): postgres.Sql {
  const read = (name: string) => world.place.read(name)
  return postgres({
    host: 'localhost',
    port: world.ports.sql,
    database: 'shop',
    username: 'billing',
    ssl: { ca: read('ca.pem'), cert: read('billing.pem'), key: read('billing.key') },
    ...options,
  })
}

test('postgres.js: prepared and not, pipelined, cursor, transaction', async () => {
  for (const prepare of [true, false]) {
    const sql = postgresJs({ max: 2, prepare })
    try {
      assert.deepEqual([...(await sql`select id, name, email from people where id = ${1}`)], [plain])
      const ids = await Promise.all(
        [1, 2, 3, 4].map(id => sql<{ id: number }[]>`select id from people where id = ${id}`),
      )
      assert.deepEqual(
        ids.map(rows => rows[0]?.id),
        [1, 2, 3, 4],
      )
      let seen = 0
      await sql`select email from people where id <= 1000 order by id`.cursor(100, rows => {
        seen += rows.length
      })
      assert.equal(seen, 1000)
      const id = prepare ? 5003 : 5004
      await sql.begin(async inside => {
        await inside`insert into people ${inside({ id, name: 'Tx', city: 'Ennis', email: 'tx@example.com' })}`
      })
      assert.deepEqual([...(await sql`select email from people where id = ${id}`)], [{ email: 'tx@example.com' }])
    } finally {
      await sql.end()
    }
  }
})

test('postgres.js: COPY of a table without protected columns passes', async () => {
  const sql = postgresJs({ max: 1 })
  try {
    const writable = await sql`copy notes (id, text) from stdin`.writable()
    await new Promise<void>((resolve, reject) => {
      writable.on('error', reject).on('finish', resolve)
      writable.end(Array.from({ length: 1000 }, (_, id) => `${id}\tnote ${id}\n`).join(''))
    })
    assert.deepEqual([...(await sql`select count(*)::int as count from notes`)], [{ count: 1000 }])
  } finally {
    await sql.end()
  }
})
