import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import postgres from 'postgres'
import { type Kit, password, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Other people's clients through the door, TLS on, and much data.

let kit: Kit
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table bulk as select n as id, md5(n::text) as one, md5((n * 7)::text) as two from generate_series(1, 50000) n;
    create table big (id int primary key, cell text);
  `)
})
after(async () => {
  await kit.stop()
})

const md5 = (text: string | Buffer): string => createHash('md5').update(text).digest('hex')

test('postgres.js: prepared and not, pipelined, cursor, transaction, COPY both ways', async () => {
  for (const prepare of [true, false]) {
    const sql = postgres({
      host: 'localhost',
      port: kit.door.address.port,
      database: 'shop',
      username: 'billy',
      password,
      ssl: { ca: kit.authority.certificate },
      max: 2,
      prepare,
      onnotice: () => {},
    })
    try {
      const id = prepare ? 11 : 12
      await sql`insert into people ${sql({ id, name: 'Cy', email: 'cy@example.com', photo: Buffer.from([1, 2, 3]) })}`
      const [row] = await sql`select email, photo from people where email = ${'cy@example.com'} and id = ${id}`
      assert.deepEqual({ ...row }, { email: 'cy@example.com', photo: Buffer.from([1, 2, 3]) })
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, n) => sql`select ${n}::int as n, email from people where id = ${id}`),
      )
      assert.deepEqual(
        answers.map(([one]) => one?.['n']),
        Array.from({ length: 40 }, (_, n) => n),
      )
      let seen = 0
      await sql`select one from bulk order by id limit 1000`.cursor(300, rows => {
        seen += rows.length
      })
      assert.equal(seen, 1000)
      await sql.begin(async inner => {
        await inner`update people set email = ${'new@example.com'} where id = ${id}`
      })
      assert.equal((await sql`select email from people where id = ${id}`)[0]?.['email'], 'new@example.com')
      const chunks: Buffer[] = []
      for await (const chunk of await sql`copy (select * from bulk order by id limit 5000) to stdout`.readable())
        chunks.push(chunk)
      assert.equal(Buffer.concat(chunks).toString().split('\n').length, 5001)
    } finally {
      await sql.end()
    }
  }
})

test('node-postgres: named statements, binary results, transactions, errors in them', async () => {
  await withClient(kit.client('billy'), async client => {
    await client.query("insert into people (id, name, email, photo) values (21, 'Di', 'di@example.com', '\\x00ff')")
    for (const id of [21, 11, 21]) {
      const { rows } = await client.query({
        name: 'by-id',
        text: 'select id, email from people where id = $1',
        values: [id],
      })
      assert.equal(rows[0]?.id, id)
    }
    const config = { text: 'select email, id from people where id = $1', values: [21], binary: true }
    assert.deepEqual((await client.query(config)).rows, [{ email: 'di@example.com', id: 21 }])
    await client.query('begin')
    await assert.rejects(client.query('select nothing from people'), { code: '42703' })
    await assert.rejects(client.query('select 1'), { code: '25P02' })
    await client.query('rollback')
    const sent = await client.query('update people set email = $1, photo = $2 where id = 21 returning email, photo', [
      'dora@example.com',
      null,
    ])
    assert.deepEqual(sent.rows, [{ email: 'dora@example.com', photo: null }])
    const empty = await client.query("update people set email = '' where id = 21 returning email")
    assert.deepEqual(empty.rows, [{ email: '' }])
  })
})

test('a slow reader holds up PostgreSQL and not our memory; a 20 MB cell goes through', async () => {
  await kit.direct("insert into big values (1, repeat('x', 20000000))")
  const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
  client.socket.pause()
  client.socket.write(Buffer.concat([say.query('select cell from big'), say.query('select * from bulk')]))
  const before = process.memoryUsage().rss
  // Another session is served meanwhile.
  await withClient(kit.client('billy'), async other => {
    for (let round = 0; round < 50; round += 1) await other.query('select 1')
  })
  assert.ok(process.memoryUsage().rss - before < 60 * 1024 * 1024)
  client.socket.removeAllListeners('data')
  let received = 0
  await new Promise<void>(resolve => {
    let tail = Buffer.alloc(0)
    let ready = 0
    client.socket.on('data', chunk => {
      received += chunk.length
      const window = Buffer.concat([tail, chunk])
      ready += window.toString('latin1').split('Z\0\0\0\x05I').length - 1
      tail = window.subarray(-5)
      if (ready >= 2) resolve()
    })
    client.socket.resume()
  })
  assert.ok(received > 20_000_000 + 50_000 * 70)
  client.socket.destroy()
})

test('large results are whole without TLS towards PostgreSQL, where reads share one buffer', async () => {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const plain = { ...shop, upstream: { ...shop.upstream, tls: undefined } }
  const door = await kit.listen({}, { databases: new Map([['shop', plain]]) })
  const want = await kit.direct("select md5(string_agg(one || two, '' order by id)) as sum from bulk")
  await withClient(kit.client('billy'), client =>
    client.query('insert into people (id, email) select n, null from generate_series(1000, 1999) n'),
  )
  await withClient(kit.client('billy'), client =>
    client.query("update people set email = 'many@example.com' where id >= 1000"),
  )
  await Promise.all(
    ['billy', 'billy', 'sue'].map(user =>
      withClient(kit.client(user, { port: door.address.port }), async client => {
        for (let round = 0; round < 2; round += 1) {
          const [bulk, people] = await Promise.all([
            client.query('select one, two from bulk order by id'),
            client.query('select email from people where id >= 1000'),
          ])
          assert.equal(md5(bulk.rows.map(row => row.one + row.two).join('')), want[0]?.['sum'])
          assert.equal(people.rows.length, 1000)
          const shown = user === 'billy' ? /^many@example\.com$/ : /^m\*+/
          assert.ok(people.rows.every(row => shown.test(row.email)))
        }
      }),
    ),
  )
})

test('byte by byte the answers are the same', async () => {
  const script = Buffer.concat([
    say.query('select 1; select email from people where id = 1'),
    say.parse('', 'select email from people where id = $1::int'),
    say.describe('S', ''),
    say.bind('', '', ['1']),
    say.execute(''),
    say.sync,
    say.query('select lower(email::text) from people'),
  ])
  const answers: string[] = []
  for (const step of [script.length, 1, 7]) {
    const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
    for (let at = 0; at < script.length; at += step) {
      client.socket.write(script.subarray(at, at + step))
      // One segment each: the door sees the pieces as they are.
      await new Promise(resolve => setImmediate(resolve))
    }
    await client.until(() => client.letters().split('Z').length - 1 === 3)
    answers.push(client.received.toString('latin1').replaceAll(/request [0-9a-f]+-/g, 'request '))
    client.socket.destroy()
  }
  assert.equal(answers[1], answers[0])
  assert.equal(answers[2], answers[0])
})
