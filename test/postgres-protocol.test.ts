import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildCancelRequest } from '../packages/bawn/src/postgres/wire/startup.ts'
import { cells, type Kit, RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Parts of the protocol that are beside statements and their rows: cursors, notifications, large objects, messages of any length.

let kit: Kit
let port: number
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
  `)
  port = (await kit.listen({ tls: undefined, max_frame_bytes: 1_048_576 })).address.port
  await withClient(kit.client('billy'), async client => {
    for (let id = 1; id <= 5; id += 1) {
      await client.query('insert into people (id, email) values ($1, $2)', [id, `${id}@example.com`])
    }
  })
})
after(() => kit.stop())

/** Rows of one Query, as text. */
async function ask(client: RawClient, sql: string): Promise<readonly (string | undefined)[][]> {
  client.socket.write(say.query(sql))
  await client.until(() => client.letters().endsWith('Z'))
  const messages = client.messages()
  client.received = Buffer.alloc(0)
  assert.ok(!messages.some(({ type }) => type === 'E'), `${sql}: ${messages.find(({ type }) => type === 'E')?.body}`)
  return messages.filter(({ type }) => type === 'D').map(({ body }) => cells(body))
}

test('cursors of SQL: any direction and portion, held, moved, written through', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  await ask(client, 'begin')
  await ask(client, 'declare c scroll cursor for select id, email from people order by id')
  assert.deepEqual(await ask(client, 'fetch 2 from c'), [
    ['1', '1@example.com'],
    ['2', '2@example.com'],
  ])
  assert.deepEqual(await ask(client, 'fetch backward 1 from c'), [['1', '1@example.com']])
  assert.deepEqual(await ask(client, 'move 2 in c'), [])
  assert.deepEqual(await ask(client, 'fetch absolute 4 from c'), [['4', '4@example.com']])
  assert.deepEqual(await ask(client, 'fetch last from c; fetch first from c'), [
    ['5', '5@example.com'],
    ['1', '1@example.com'],
  ])
  await ask(client, 'close c')
  await ask(client, 'declare w cursor for select id, email from people where id = 2 for update')
  await ask(client, 'fetch 1 from w')
  await ask(client, "update people set email = 'two@example.com' where current of w")
  await ask(client, 'declare h binary cursor with hold for select email from people where id = 2')
  await ask(client, 'commit')
  assert.deepEqual(await ask(client, 'fetch all from h'), [['two@example.com']])
  await ask(client, 'close h')
  client.socket.destroy()
  const masked = await rawLogin(port, 'cursor-sue', 'support')
  assert.deepEqual(
    await ask(masked, 'begin; declare c cursor for select email from people where id = 2; fetch 1 from c; commit'),
    [['t****']],
  )
  masked.socket.destroy()
})

test('a portal of the protocol and a cursor of SQL are one thing: each can fetch what the other opened', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  client.socket.write(
    Buffer.concat([
      say.query('begin'),
      say.parse('', 'select email from people where id <> 2 order by id'),
      say.bind('p', ''),
      say.execute('p', 1),
      say.sync,
      say.query('fetch 1 from p'),
      say.execute('p', 2),
      say.sync,
      say.query('declare s cursor for select email from people where id = 3'),
      say.execute('s', 0),
      say.sync,
      say.query('commit'),
    ]),
  )
  await client.until(() => client.letters().split('Z').length === 8)
  assert.deepEqual(
    client
      .messages()
      .filter(({ type }) => type === 'D')
      .map(({ body }) => cells(body)[0]),
    ['1@example.com', '3@example.com', '4@example.com', '5@example.com', '3@example.com'],
  )
  client.socket.destroy()
})

test('notifications, also to an idle session; notices; settings that the server reports', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  await ask(client, 'listen news')
  await withClient(kit.client('billy'), other => other.query("notify news, 'for all'"))
  await client.until(() => client.letters() === 'A')
  assert.match(client.received.toString('latin1'), /news\0for all\0/)
  client.received = Buffer.alloc(0)
  client.socket.write(say.query("do $$ begin raise notice 'mind the gap'; end $$"))
  assert.match(await client.ready(), /^N+CZ$/)
  client.socket.write(say.query("set timezone = 'Europe/Dublin'"))
  await client.until(() => client.letters().endsWith('Z'))
  assert.match(client.received.toString('latin1'), /TimeZone\0Europe\/Dublin\0/)
  client.socket.destroy()
})

/** FunctionCall with arguments and a result in binary. */
function call(oid: number, ...args: readonly Buffer[]): Buffer {
  const message = new MessageBuilder().begin(front.functionCall).int32(oid).int16(1).int16(1).int16(args.length)
  for (const arg of args) message.int32(arg.length).bytes(arg)
  return message.int16(1).end().take()
}

const int4 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

test('large objects are passed as they are: by SQL, and by the function call message', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  const [[oid] = []] = await ask(client, "select lo_from_bytea(0, '\\x0102')")
  await ask(client, `select lo_put(${oid}, 2, '\\x03')`)
  assert.deepEqual(await ask(client, `select lo_get(${oid})`), [['\\x010203']])
  assert.deepEqual(await ask(client, `begin; select loread(lo_open(${oid}, 262144), 2); commit`), [['\\x0102']])
  const answer = async (bytes: Buffer): Promise<readonly [letters: string, result: string]> => {
    client.socket.write(bytes)
    await client.until(() => client.letters().endsWith('Z'))
    const letters = client.letters()
    const [message] = client.messages()
    client.received = Buffer.alloc(0)
    return [letters, message?.type === 'V' ? message.body.subarray(4).toString('hex') : String(message?.body)]
  }
  await ask(client, 'begin')
  const [, opened] = await answer(call(952, int4(Number(oid)), int4(0x60000)))
  const descriptor = Buffer.from(opened, 'hex')
  assert.deepEqual(await answer(call(955, descriptor, Buffer.from('written'))), ['VZ', '00000007'])
  assert.deepEqual(await answer(call(956, descriptor, int4(0), int4(0))), ['VZ', '00000000'])
  assert.deepEqual(await answer(call(954, descriptor, int4(100))), ['VZ', Buffer.from('written').toString('hex')])
  // An error of the server leaves the session as it is, and so does a call of another function (pg_backend_pid).
  assert.match((await answer(call(953, int4(7))))[1], /invalid large-object descriptor: 7/)
  await ask(client, 'rollback')
  assert.match((await answer(call(2026))).join(), /^EZ,.*postgres\.function_call/s)
  assert.match((await answer(call(955, descriptor, Buffer.alloc(1_100_000)))).join(), /^EZ,.*postgres\.too_large/s)
  assert.deepEqual(await answer(call(964, int4(Number(oid)))), ['VZ', '00000001'])
  client.socket.destroy()
})

test('a client is told the process id that notifications and pg_backend_pid() have', async () => {
  await withClient(kit.client('billy'), async client => {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await client.query('listen own')
    const heard = once(client, 'notification')
    await client.query('notify own')
    const [{ processId }] = await heard
    assert.deepEqual([processId, Reflect.get(client, 'processID')], [rows[0]?.pid, rows[0]?.pid])
  })
})

test('the name UNICODE for UTF8 is taken, and reported by the server as it was written', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  client.socket.write(say.query("set client_encoding to 'UNICODE'"))
  await client.until(() => client.letters().endsWith('Z'))
  assert.match(client.received.toString('latin1'), /client_encoding\0UNICODE\0/)
  client.received = Buffer.alloc(0)
  assert.deepEqual(await ask(client, "select 'é'"), [['é']])
  client.socket.destroy()
})

test('what a startup packet brings is a value to the server, never SQL', async () => {
  const hostile = ["ISO'; drop table people; --", '$$; drop table people; $$', "ISO\\'; drop table people", 'ISO, drop']
  for (const value of hostile) {
    for (const name of ['datestyle', 'timezone', 'statement_timeout', 'bytea_output']) {
      await assert.rejects(rawLogin(port, 'cursor-billy', 'billing', 0, [[name, value]]), /closed/)
      const options = `-c ${name}=${value.replaceAll('\\', '\\\\').replaceAll(' ', '\\ ')}`
      await assert.rejects(rawLogin(port, 'cursor-billy', 'billing', 0, [['options', options]]), /closed/)
    }
    const named = await rawLogin(port, 'cursor-billy', 'billing', 0, [['application_name', value]])
    const [[found] = []] = await ask(named, 'show application_name')
    assert.equal(found, `bawn:cursor-billy ${value}`)
    named.socket.destroy()
  }
  assert.deepEqual(await kit.direct('select count(*)::int as n from people'), [{ n: 5 }])
})

test('cancel: keys of other lengths and of other sessions do nothing and say nothing', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing', 2)
  const other = await rawLogin(port, 'cursor-sue', 'support', 2)
  const [key, foreign] = [client.backendKey, other.backendKey]
  assert.ok(key !== undefined && foreign !== undefined)
  client.socket.write(say.query('select pg_sleep(1.5)'))
  const id = key.readInt32BE(0)
  const wrong = [
    Buffer.alloc(256, 1),
    Buffer.concat([key.subarray(4), Buffer.alloc(224)]),
    foreign.subarray(4),
    key.subarray(4, 8),
  ]
  for (const secret of wrong) {
    const attempt = await RawClient.connect(port)
    attempt.socket.write(buildCancelRequest(id, secret))
    assert.equal((await attempt.untilClosed()).length, 0)
  }
  assert.equal(await client.ready(), 'TDCZ')
  for (const one of [client, other]) one.socket.destroy()
})

/** Most that the process held more than at the beginning while `work` ran. */
async function growth(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss()
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 10)
  await work()
  clearInterval(watch)
  return Math.max(most, process.memoryUsage.rss()) - before
}

const mebibyte = 1024 * 1024

test('a cell of 300 MB goes out, and a row of 200 MB in, in flat memory', async () => {
  const client = await rawLogin(port, 'cursor-billy', 'billing')
  client.socket.removeAllListeners('data')
  let received = 0
  let last = Buffer.alloc(0)
  client.socket.on('data', chunk => {
    received += chunk.length
    last = Buffer.concat([last, chunk]).subarray(-6)
  })
  const done = async (): Promise<void> => {
    while (last.toString('latin1', 0, 5) !== 'Z\0\0\0\x05')
      await new Promise(resolve => client.socket.once('data', resolve))
    last = Buffer.alloc(0)
  }
  const out = await growth(async () => {
    client.socket.write(say.query(`select repeat('x', ${300 * mebibyte})`))
    await done()
  })
  assert.ok(received > 300 * mebibyte)
  // The client is in this process too, and garbage counts until it is collected: half of what was sent is far from all of it.
  assert.ok(out < 150 * mebibyte, `${Math.round(out / mebibyte)} MiB`)
  client.socket.write(say.query('copy notes (id, body) from stdin'))
  while (received < 300 * mebibyte + 10 || last.length === 0)
    await new Promise(resolve => client.socket.once('data', resolve))
  last = Buffer.alloc(0)
  const piece = Buffer.alloc(64 * 1024, 'y')
  const into = await growth(async () => {
    const start = Buffer.from('d\0\0\0\0' + '1\t', 'latin1')
    start.writeInt32BE(4 + 2 + 200 * mebibyte + 1, 1)
    client.socket.write(start)
    for (let sent = 0; sent < 200 * mebibyte; sent += piece.length) {
      if (!client.socket.write(piece)) await new Promise(resolve => client.socket.once('drain', resolve))
    }
    client.socket.write(Buffer.concat([Buffer.from('\n'), say.copyDone]))
    await done()
  })
  assert.ok(into < 100 * mebibyte, `${Math.round(into / mebibyte)} MiB`)
  client.socket.destroy()
  assert.deepEqual(await kit.direct('select length(body) as n from notes where id = 1'), [{ n: 200 * mebibyte }])
})

test('what must be opened has a limit, in both directions, and says so', async () => {
  rules.set('billy', { kind: 'matched', rule: 'scram', use: ['scram'] })
  const client = new pg.Client(kit.client('billy', { port, ssl: false }))
  client.on('error', () => {})
  await client.connect()
  const long = 'x'.repeat(2 * mebibyte)
  await assert.rejects(client.query('insert into people (id, email) values (9, $1)', [long]), { code: '54000' })
  assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1)
  await kit.direct(`insert into people (id, name, email) values (8, repeat('x', ${2 * mebibyte}), null)`)
  await assert.rejects(client.query('select name, email from people where id = 8'), { code: '54000' })
  await kit.direct('delete from people where id = 8')
})
