import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { createIdentity } from '../packages/bawn/src/authn/identity.ts'
import { Conversation } from '../packages/bawn/src/postgres/conversation.ts'
import { Requests } from '../packages/bawn/src/postgres/requests.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { parseParameterDescription, parseRowDescription } from '../packages/bawn/src/postgres/wire/row-description.ts'
import { cells, type Kit, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// The extended protocol message by message: order, errors, what is skipped, and which plan a message is run by.

let kit: Kit
let raw: RawClient
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea, check (id > 0));
    create table notes (id int primary key, body text);
  `)
  await withClient(kit.client('billy'), async client => {
    await client.query("insert into people (id, name, email) select 1, 'Ada', null")
    await client.query("update people set email = 'ada@example.com' where id = 1")
    await client.query("insert into people (id, name, email) values (2, 'Bob', 'bob@example.com')")
  })
  raw = await rawLogin(kit.door.address.port, 'ray', 'billing')
})
after(async () => {
  raw.socket.destroy()
  await kit.stop()
})
beforeEach(() => {
  kit.events.length = 0
})

/** Sends, waits for `ready` ReadyForQuery messages, and answers all messages. */
async function ask(client: RawClient, ready: number, ...messages: Buffer[]) {
  client.socket.write(Buffer.concat(messages))
  await client.until(() => client.letters().split('Z').length - 1 >= ready)
  const all = client.messages()
  const letters = client.letters()
  client.received = Buffer.alloc(0)
  const rows = all.filter(message => message.type === 'D').map(message => cells(message.body))
  const errors = all
    .filter(message => message.type === 'E')
    .map(message => parseErrorResponse(message.body, 0, message.body.length))
  const states = all.filter(message => message.type === 'Z').map(message => message.body.toString())
  return { letters, rows, errors, states, all }
}

const select = 'select id, email from people order by id'
const both = [
  ['1', 'ada@example.com'],
  ['2', 'bob@example.com'],
]

test('Bind and Execute without Describe: rows are opened and nobody sees our own Describe', async () => {
  const { letters, rows } = await ask(raw, 1, say.parse('', select), say.bind('', ''), say.execute(''), say.sync)
  assert.equal(letters, '12DDCZ')
  assert.deepEqual(rows, both)
})

test('Describe of statement and portal show logical types, and formats are honoured', async () => {
  const { letters, all, rows } = await ask(
    raw,
    1,
    say.parse('d', 'select email, photo from people where email = $1'),
    say.describe('S', 'd'),
    say.bind('p', 'd', ['ada@example.com'], [1]),
    say.describe('P', 'p'),
    say.execute('p'),
    say.close('S', 'd'),
    say.sync,
  )
  assert.equal(letters, '1tT2TDC3Z')
  const [, t, statement, , portal] = all
  assert.ok(t && statement && portal)
  assert.deepEqual(parseParameterDescription(t.body, 0, t.body.length), [25])
  for (const [message, format] of [
    [statement, 0],
    [portal, 1],
  ] as const) {
    const columns = parseRowDescription(message.body, 0, message.body.length)
    assert.deepEqual(
      columns.map(column => [column.typeOid, column.typeLength, column.format]),
      [
        [25, -1, format],
        [17, -1, format],
      ],
    )
  }
  assert.deepEqual(rows, [['ada@example.com', undefined]])
})

test('binary results hold the bytes themselves, text results of bytes are hex', async () => {
  await withClient(kit.client('billy'), client => client.query("update people set photo = '\\x00ff5c' where id = 2"))
  const photo = 'select photo, email from people where id = 2'
  const binary = await ask(raw, 1, say.parse('', photo), say.bind('', '', [], [1]), say.execute(''), say.sync)
  const row = binary.all.find(message => message.type === 'D')
  assert.equal(row?.body.toString('hex'), `00020000000300ff5c0000000f${Buffer.from('bob@example.com').toString('hex')}`)
  const text = await ask(raw, 1, say.query(photo))
  assert.deepEqual(text.rows, [['\\x00ff5c', 'bob@example.com']])
  const escaped = await ask(raw, 2, say.query("set bytea_output = 'escape'"), say.query(photo))
  assert.deepEqual(escaped.rows, [['\\x00ff5c', 'bob@example.com']])
})

test('a suspended portal goes on where it was, each run with a line of its own', async () => {
  const { letters, rows } = await ask(
    raw,
    3,
    say.query('begin'),
    say.parse('', select),
    say.bind('cursor', ''),
    say.execute('cursor', 1),
    say.execute('cursor', 1),
    say.sync,
    say.query('commit'),
  )
  assert.equal(letters, 'CZ12DsDsZCZ')
  assert.deepEqual(rows, both)
  assert.deepEqual(
    kit.events.map(event => [event.action, event.fields]),
    [
      ['SELECT', [{ field: 'email', as: 'plain', count: 1 }]],
      ['SELECT', [{ field: 'email', as: 'plain', count: 1 }]],
    ],
  )
})

test('a portal over nothing protected that goes on is told by no line, as little as it is when it begins', async () => {
  await ask(raw, 1, say.parse('numbers', 'select generate_series(1, 3)'), say.sync)
  for (const begin of [say.execute('', 1), say.describe('P', '')]) {
    await ask(raw, 1, say.query('begin'))
    await ask(raw, 1, say.bind('', 'numbers'), begin, say.sync)
    const { letters } = await ask(raw, 1, say.execute('', 1), say.sync)
    assert.equal(letters, 'DsZ')
    await ask(raw, 1, say.query('commit'))
  }
  assert.deepEqual(kit.events, [])
  await ask(raw, 1, say.close('S', 'numbers'), say.sync)
})

test('1,000 messages in one write: one answer each, in order', async () => {
  const messages: Buffer[] = [say.parse('many', 'select $1::text, email from people where id = 1')]
  for (let index = 0; index < 333; index += 1)
    messages.push(say.bind('', 'many', [String(index)]), say.execute(''), say.sync)
  const { letters, rows } = await ask(raw, 333, ...messages)
  assert.equal(letters, `1${'2DCZ'.repeat(333)}`)
  assert.deepEqual(
    rows.map(([number]) => number),
    Array.from({ length: 333 }, (_, index) => String(index)),
  )
  assert.ok(rows.every(([, email]) => email === 'ada@example.com'))
  await ask(raw, 1, say.close('S', 'many'), say.sync)
})

test('a refused statement in a pipeline: earlier answers first, later messages skipped, the transaction rolled back', async () => {
  const { letters, errors, states } = await ask(
    raw,
    2,
    say.parse('', "insert into notes values (10, 'x')"),
    say.bind('', ''),
    say.execute(''),
    say.parse('', 'select lower(email::text) from people'),
    say.bind('', ''),
    say.execute(''),
    say.sync,
    say.query('select id from notes where id = 10'),
  )
  assert.equal(letters, '12CEZTCZ')
  assert.match(errors[0]?.get('C') ?? '', /^(42501|0A000)$/)
  assert.match(errors[0]?.get('D') ?? '', /^bawn: postgres\./)
  assert.deepEqual(states, ['I', 'I'])
  assert.deepEqual(
    kit.events.map(event => event.decision),
    ['deny'],
  )
})

test('a refused statement fails an open transaction, as an error of the server does', async () => {
  const refused = 'select lower(email::text) from people'
  const { letters, states } = await ask(
    raw,
    4,
    say.query('begin'),
    say.query(refused),
    say.query('select 1'),
    say.query('rollback'),
  )
  assert.equal(letters, 'CZEZEZCZ')
  assert.deepEqual(states, ['T', 'E', 'E', 'I'])
})

test('an error of the server skips what we refused behind it', async () => {
  const { letters, errors } = await ask(
    raw,
    1,
    say.parse('', 'select no_such_column'),
    say.parse('', 'select lower(email::text) from people'),
    say.sync,
  )
  assert.equal(letters, 'EZ')
  assert.equal(errors[0]?.get('C'), '42703')
})

test('a Parse that the server skipped does not change the plan of the name', async () => {
  const insert = 'insert into people (id, email) values ($1, $2)'
  const first = await ask(raw, 1, say.parse('s', insert), say.sync)
  assert.equal(first.letters, '1Z')
  // The batch fails, so Close and Parse never happen; the next batch, sent along, still means the INSERT.
  const { letters } = await ask(
    raw,
    2,
    say.parse('', 'select no_such_column'),
    say.close('S', 's'),
    say.parse('s', 'insert into notes values ($1::int, $2)'),
    say.sync,
    say.bind('', 's', ['20', 'pipe@example.com']),
    say.execute(''),
    say.sync,
  )
  assert.equal(letters, 'EZ2CZ')
  const [stored] = await kit.direct('select email from people where id = 20')
  assert.ok(Buffer.isBuffer(stored?.['email']) && !stored['email'].includes('pipe@'))
  await ask(raw, 1, say.query('delete from people where id = 20'))
  // A name that is taken stays what it was.
  const taken = await ask(
    raw,
    2,
    say.parse('s', 'select 1'),
    say.sync,
    say.bind('', 's', ['21', 'two@example.com']),
    say.execute(''),
    say.sync,
  )
  assert.equal(taken.letters, 'EZ2CZ')
  await ask(raw, 2, say.query('delete from people where id = 21'), say.close('S', 's'), say.sync)
})

test('a name that was deallocated in SQL and prepared anew is described anew', async () => {
  await ask(raw, 2, say.parse('again', 'select id from people where id = 1'), say.sync, say.query('deallocate again'))
  const { letters, rows } = await ask(
    raw,
    2,
    say.query(`prepare again as ${select}`),
    say.bind('', 'again'),
    say.execute(''),
    say.sync,
  )
  // What was prepared behind our back is looked at as what it was before or not at all: never opened as another field.
  assert.equal(letters.replaceAll('D', ''), 'CZ2CZ')
  for (const [, email] of rows)
    assert.ok(email === undefined || !email.includes('example.com') || both.some(row => row[1] === email))
  await ask(raw, 1, say.query('deallocate all'))
})

test('SQL-level PREPARE, EXECUTE and cursors open by column', async () => {
  const { letters, rows } = await ask(
    raw,
    6,
    say.query(`prepare q as ${select}`),
    say.query('execute q'),
    say.query('begin'),
    say.query(`declare c cursor for ${select}`),
    say.query('fetch all from c'),
    say.query('commit'),
  )
  assert.equal(letters, 'CZTDDCZCZCZTDDCZCZ')
  assert.deepEqual(rows, [...both, ...both])
  const bound = await ask(raw, 1, say.bind('', 'q'), say.execute(''), say.sync)
  assert.deepEqual(bound.rows, both)
  await ask(raw, 1, say.query('deallocate q'))
})

test('a value cannot go in unsealed by way of SQL-level PREPARE', async () => {
  const named = await ask(raw, 1, say.query('prepare w as insert into people (id, email) values ($1, $2)'))
  if (named.letters !== 'EZ') {
    await ask(raw, 1, say.bind('', 'w', ['30', 'open@example.com']), say.execute(''), say.sync)
    await ask(raw, 1, say.query("execute w (31, 'open@example.com')"))
  }
  for (const { email } of await kit.direct('select email from people where id in (30, 31)')) {
    assert.ok(Buffer.isBuffer(email) && !email.includes('open@'))
  }
  await ask(raw, 1, say.query('deallocate all; delete from people where id in (30, 31)'))
})

test('several statements in one Query, and an empty one', async () => {
  const { letters, rows } = await ask(
    raw,
    3,
    say.query(`select 1; ${select}; select 2`),
    say.query(''),
    say.query(' ; '),
  )
  assert.equal(letters, 'TDCTDDCTDCZIZIZ')
  assert.deepEqual(rows, [['1'], ...both, ['2']])
})

test('COPY: in by both protocols, aborted, with Sync too early, and out', async () => {
  const copy = 'copy notes from stdin'
  raw.socket.write(say.query(copy))
  await raw.until(() => raw.letters() === 'G')
  const simple = await ask(raw, 1, say.copyData('1\tone\n2\t'), say.copyData('two\n'), say.copyDone)
  assert.equal(simple.letters, 'GCZ')
  raw.socket.write(Buffer.concat([say.parse('', copy), say.bind('', ''), say.execute(''), say.sync]))
  await raw.until(() => raw.letters() === '12G')
  const extended = await ask(
    raw,
    2,
    say.copyData('3\tthree\n'),
    say.copyDone,
    say.sync,
    say.query('select count(*) from notes'),
  )
  assert.equal(extended.letters, '12GCZTDCZ')
  assert.deepEqual(extended.rows, [['3']])
  raw.socket.write(say.query(copy))
  await raw.until(() => raw.letters() === 'G')
  assert.equal((await ask(raw, 1, say.copyData('4\t'), say.copyFail)).letters, 'GEZ')
  raw.socket.write(say.query(copy))
  await raw.until(() => raw.letters() === 'G')
  assert.equal((await ask(raw, 2, say.copyData('x\ty\n'), say.copyDone, say.query('select 1'))).letters, 'GEZTDCZ')
  assert.equal((await ask(raw, 1, say.query('copy (select * from notes order by id) to stdout'))).letters, 'HdddcCZ')
})

test('a value that does not open ends its result and nothing else', async () => {
  await kit.direct("insert into people (id, email) values (99, '\\x00112233')")
  const { letters, errors, rows } = await ask(
    raw,
    2,
    say.query('select email from people where id in (1, 99) order by id; select email from people where id = 2'),
    say.query('select email from people where id = 2'),
  )
  assert.equal(letters, 'TDEZTDCZ')
  assert.equal(errors[0]?.get('C'), 'XX000')
  assert.deepEqual(rows, [['ada@example.com'], ['bob@example.com']])
  assert.deepEqual(
    kit.events.map(event => [event.decision, event.code]),
    [
      ['error', 'fields.unreadable'],
      ['permit', undefined],
    ],
  )
  const extended = await ask(
    raw,
    2,
    say.parse('', 'select email from people where id = 99'),
    say.bind('', ''),
    say.execute(''),
    say.bind('', ''),
    say.execute(''),
    say.sync,
    say.query('copy (select 1) to stdout'),
  )
  assert.equal(extended.letters, '12EZHdcCZ')
  raw.socket.write(say.query('select email from people where id = 99; copy notes from stdin'))
  assert.equal((await ask(raw, 1)).letters, 'TEZ')
  await kit.direct('delete from people where id = 99')
})

test('errors keep their positions, and what they quote of protected rows is left out', async () => {
  const { errors } = await ask(
    raw,
    1,
    say.query("insert into people (id, email, nix) values (3, 'é@example.com', 'x')"),
  )
  assert.equal(errors[0]?.get('P'), '32')
  const late = await ask(raw, 1, say.query("update people set email = 'é-longer@example.com', nix = 1 where id = 1"))
  assert.equal(late.errors[0]?.get('P'), '51')
  const check = await ask(raw, 1, say.query("insert into people (id, name, email) values (-1, 'N', 'n@example.com')"))
  assert.equal(check.errors[0]?.get('C'), '23514')
  assert.equal(check.errors[0]?.get('D'), undefined)
})

test('FunctionCall, text behind NUL, and messages that are none', async () => {
  const call = await ask(raw, 2, Buffer.from('F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0', 'latin1'), say.query('select 1'))
  assert.equal(call.letters, 'EZTDCZ')
  assert.equal(call.errors[0]?.get('C'), '0A000')
  for (const bytes of [
    'Q\0\0\0\x09ab\0c\0',
    'Q\0\0\0\x06ab',
    'y\0\0\0\x04',
    'S\0\x01\0\0',
    'Q\0\0\0\x03',
    'p\0\0\0\x06a\0',
  ]) {
    const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
    client.socket.write(Buffer.from(bytes, 'latin1'))
    await client.untilClosed()
    const [message] = client.messages()
    assert.ok(message?.type === 'E', bytes)
    assert.equal(parseErrorResponse(message.body, 0, message.body.length).get('C'), '08P01', bytes)
  }
})

test('limits: statements, objects, and what is sent ahead', async () => {
  const big = await ask(raw, 2, say.query(`select '${'x'.repeat(1_100_000)}'`), say.query('select 1'))
  assert.equal(big.letters, 'EZTDCZ')
  assert.equal(big.errors[0]?.get('C'), '54000')
  const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
  const parses = Array.from({ length: 101 }, (_, index) => say.parse(`p${index}`, 'select 1'))
  const many = await ask(client, 1, ...parses, say.sync)
  assert.equal(many.letters, `${'1'.repeat(100)}EZ`)
  assert.equal(many.errors[0]?.get('C'), '53400')
  // More than max_pending before the only Sync: slowed down, not refused.
  const ahead: Buffer[] = []
  for (let index = 0; index < 1_500; index += 1) ahead.push(say.bind('', 'p0'), say.execute(''))
  const { letters } = await ask(client, 1, ...ahead, say.sync)
  assert.ok(letters === `${'2DC'.repeat(1_500)}Z`, letters.slice(0, 100))
  client.socket.destroy()
})

test('limits: Sync counts as sent ahead, CopyDone waits, and texts of statements have a sum', async () => {
  const [database] = kit.state.databases.values()
  const identity = createIdentity({
    id: 'ray',
    roles: [],
    claims: {},
    clientId: undefined,
    mechanism: 'jwt',
    source: 'corp',
    expiresAt: undefined,
  })
  assert.ok(database)
  const audit = { audit: kit.state.audit, sessionId: 's', identity, address: '', database: 'shop', rule: 'r' }
  const many = (message: Buffer) => Array.from({ length: 100 }, () => message)
  for (const [messages, pending] of [
    [many(say.sync), 3],
    [[say.sync, ...many(say.copyDone)], 1],
  ] as const) {
    const talk = new Conversation(kit.state, database, audit, { maxFrameBytes: 65_536, maxPending: 3, maxPrepared: 3 })
    const requests = new Requests(talk, () => {})
    requests.reader.push(Buffer.concat(messages))
    requests.run()
    assert.equal(talk.pending.length, pending)
    assert.ok(requests.isWaiting)
  }
  const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
  const long = `select '${'x'.repeat(400_000)}'`
  // Replaced ones do not count, and wait for their answers; named ones do.
  const unnamed = await ask(client, 1, ...Array.from({ length: 9 }, () => say.parse('', long)), say.sync)
  assert.equal(unnamed.letters, '111111111Z')
  const named = await ask(
    client,
    2,
    say.parse('', 'select 1'),
    say.parse('a', long),
    say.sync,
    say.parse('b', long),
    say.parse('c', long),
    say.sync,
  )
  assert.equal(named.letters, '11Z1EZ')
  assert.equal(named.errors[0]?.get('C'), '53400')
  client.socket.destroy()
})

test('DDL: the schema is read again before the next statement, also in a pipeline', async () => {
  const { letters } = await ask(
    raw,
    4,
    say.query('create table more (id int)'),
    say.query('alter table more add column email bytea'),
    say.query('drop table more'),
    say.query(select),
  )
  assert.equal(letters, 'CZCZCZTDDCZ')
  const change = 'create table more (id int)'
  const extended = await ask(
    raw,
    3,
    ...[say.parse('', change), say.bind('', ''), say.execute(''), say.sync],
    ...[say.parse('', select), say.bind('', ''), say.execute(''), say.sync],
    say.query('drop table more'),
  )
  assert.equal(extended.letters, '12CZ12DDCZCZ')
})

test('the session ends when client_encoding is changed', async () => {
  await kit.direct(`create function sneak() returns text language plpgsql as
    $$ begin return set_config('client_encoding', 'latin1', false); end $$`)
  const client = await rawLogin(kit.door.address.port, 'ray', 'billing')
  client.socket.write(say.query('select sneak()'))
  await client.untilClosed()
  assert.equal(client.letters().at(-1), 'E')
})
