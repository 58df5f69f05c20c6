import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Kit, startKit, withClient } from './postgres-kit.ts'

let kit: Kit
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea, check (id > 0));
    create table notes (id int primary key, body text);
  `)
})
after(() => kit.stop())

test('what goes in is sealed and comes out by role', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query("insert into people (id, name, email) values (1, 'Ada', 'ada@example.com')")
    await client.query('insert into people (id, name, email, photo) values ($1, $2, $3, $4)', [
      2,
      'Bob',
      'bob@example.com',
      Buffer.from([0, 1, 255]),
    ])
    const { rows, fields } = await client.query('select id, email as e, photo from people order by id')
    assert.deepEqual(rows, [
      { id: 1, e: 'ada@example.com', photo: null },
      { id: 2, e: 'bob@example.com', photo: Buffer.from([0, 1, 255]) },
    ])
    assert.deepEqual(
      fields.map(field => field.dataTypeID),
      [23, 25, 17],
    )
    const found = await client.query('select id from people where email = $1', ['bob@example.com'])
    assert.deepEqual(found.rows, [{ id: 2 }])
    const literal = await client.query("select id from people where email = 'ada@example.com'")
    assert.deepEqual(literal.rows, [{ id: 1 }])
  })
  const stored = await kit.direct('select email, photo from people order by id')
  for (const { email } of stored) assert.ok(Buffer.isBuffer(email) && !email.includes('example.com'))
  await withClient(kit.client('sue'), async client => {
    const { rows } = await client.query('select email, photo from people order by id')
    assert.deepEqual(
      rows.map(row => row.photo),
      [null, null],
    )
    assert.match(rows[0].email, /^a\*+/)
  })
  await withClient(kit.client('gus'), async client => {
    assert.deepEqual((await client.query('select email from people order by id')).rows, [
      { email: null },
      { email: null },
    ])
  })
})
