import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { MessageBuilder } from '../../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../../packages/bawn/src/postgres/wire/message.ts'
import { buildSslRequest, buildStartupMessage } from '../../packages/bawn/src/postgres/wire/startup.ts'
import { createSeeded, type Seeded } from '../../packages/envelope/testing/seeded.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit } from '../postgres-kit.ts'

// Bytes that no client sends, in every state of the protocol: the door answers with whole messages and closes, or goes on; it does not
// crash, does not hang, keeps nothing, and other sessions hear only what is theirs. `npm run test:fuzz` goes on for minutes;
// BAWN_TEST_SEED repeats one round.

const seconds = Number(process.env['BAWN_FUZZ_SECONDS'] ?? 6)
const patience = 15_000

let kit: Kit
let port: number
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    insert into notes select n, repeat('note ' || n, 20) from generate_series(1, 50) n;`)
  const door = await kit.listen({ max_frame_bytes: 65_536, max_pending: 50, max_connections: 200 })
  port = door.address.port
})
after(() => kit.stop())

const startup = (user: string) =>
  buildStartupMessage([
    ['user', user],
    ['database', 'shop'],
  ])
const sasl = (mechanism: string, data: string) =>
  new MessageBuilder().begin(front.password).cstring(mechanism).int32(data.length).bytes(Buffer.from(data)).end().take()

async function scramStarted(): Promise<RawClient> {
  rules.set('billy', { kind: 'matched', rule: 'scram', use: ['scram'] })
  const client = await RawClient.connect(port)
  client.socket.write(startup('billy'))
  await client.until(() => client.letters() === 'R')
  return client
}

async function scramChallenged(): Promise<RawClient> {
  const client = await scramStarted()
  client.socket.write(sasl('SCRAM-SHA-256', 'n,,n=,r=abcdefghijklmnopqrstuvwx'))
  await client.until(() => client.letters() === 'RR')
  return client
}

async function inSession(...said: readonly Buffer[]): Promise<RawClient> {
  const client = await rawLogin(port, 'fuzzer', 'billing')
  if (said.length > 0) client.socket.write(Buffer.concat(said))
  return client
}

async function inCopy(): Promise<RawClient> {
  const client = await inSession(say.query('copy notes from stdin'))
  await client.until(() => client.letters().includes('G'))
  return client
}

async function tls(alpn: string[]): Promise<RawClient> {
  const client = await RawClient.connectTls(port, kit.authority.certificate, alpn)
  return client
}

/** A connection in each state, and whether a letter begins what the server sends there. */
const states: readonly (readonly [name: string, framed: boolean, enter: () => Promise<RawClient>])[] = [
  ['before startup', true, () => RawClient.connect(port)],
  [
    'behind SSLRequest',
    false,
    async () => {
      const client = await RawClient.connect(port)
      client.socket.write(buildSslRequest())
      await client.until(received => received.length === 1)
      return client
    },
  ],
  ['inside direct TLS', true, () => tls(['postgresql'])],
  [
    'asked for a token',
    true,
    async () => {
      rules.set('fuzzer', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
      const client = await RawClient.connect(port)
      client.socket.write(startup('fuzzer'))
      await client.until(() => client.letters() === 'R')
      return client
    },
  ],
  ['asked for SCRAM', true, scramStarted],
  ['in the middle of SCRAM', true, scramChallenged],
  ['idle', true, () => inSession()],
  [
    'in a transaction',
    true,
    () => inSession(say.query('begin'), say.query('declare c cursor for select * from notes')),
  ],
  ['inside COPY', true, inCopy],
  [
    'inside COPY, extended',
    true,
    () => inSession(say.parse('', 'copy notes from stdin'), say.bind('', ''), say.execute('')),
  ],
  [
    'inside a pipeline',
    true,
    () => inSession(say.parse('s', 'select * from notes'), say.bind('p', 's'), say.execute('p', 3)),
  ],
  [
    'behind an error in a pipeline',
    true,
    () => inSession(say.parse('s', 'select 1/0'), say.bind('p', 's'), say.execute('p')),
  ],
  ['while rows come', true, () => inSession(say.query('select * from notes a, notes b'))],
  [
    'with statements that wait to be parsed',
    true,
    () => inSession(say.parse('', 'select id, email from people'), say.flush),
  ],
]

const letters = 'QPBDECSHFdcfpX'

/** From noise to messages that are almost right. */
function nonsense(random: Seeded): Buffer {
  const pieces: Buffer[] = []
  for (let count = random.integer(1, 6); count > 0; count -= 1) pieces.push(piece(random))
  return Buffer.concat(pieces)
}

function piece(random: Seeded): Buffer {
  const valid = random.pick([
    say.query('select id, email from people'),
    say.query('copy notes to stdout'),
    say.parse('s', 'select $1::int'),
    say.parse('', 'insert into people (id, email) values ($1, $2)'),
    say.bind('p', 's', ['1']),
    say.bind('', '', ['1', 'x']),
    say.describe('P', 'p'),
    say.execute('p', 2),
    say.copyData('1\tx\n'),
    say.sync,
    startup('fuzzer'),
    sasl('SCRAM-SHA-256', 'n,,n=,r=abcdefghijklmnopqrstuvwx'),
    sasl('SCRAM-SHA-256-PLUS', 'p=tls-server-end-point,,n=,r=x'),
  ])
  switch (random.integer(0, 4)) {
    case 0:
      return random.bytes(random.integer(1, 200))
    case 1: {
      // The right letter and a length of its own.
      const body = random.bytes(random.integer(0, 60))
      const length = random.pick([body.length + 4, body.length + 4, 0, 3, -1, 0x7fff_ffff, 10_001, 70_000])
      const head = Buffer.alloc(5)
      head.write(random.pick(Array.from(letters)), 'latin1')
      head.writeInt32BE(length, 1)
      return Buffer.concat([head, body])
    }
    case 2: {
      const changed = Buffer.from(valid)
      for (let flips = random.integer(1, 4); flips > 0; flips -= 1) {
        changed[random.integer(0, changed.length - 1)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.integer(0, 255)])
      }
      return changed
    }
    case 3:
      return valid.subarray(0, random.integer(1, valid.length))
    default:
      return valid
  }
}

/** Whole messages with letters that a server may send. */
function assertMessages(received: Buffer, seed: string): void {
  let at = 0
  while (at + 5 <= received.length) {
    const type = String.fromCharCode(received.readUInt8(at))
    const length = received.readInt32BE(at + 1)
    assert.ok('RKSZTDCIEN123tnsGHdcAv'.includes(type) && length >= 4, `${seed}: letter ${type}, length ${length}`)
    // What ends the connection may do so in the middle of a row, never in the middle of the door's own words.
    assert.ok(type !== 'E' || at + length + 1 <= received.length, `${seed}: an error that was cut off`)
    at += length + 1
  }
}

async function round(seed: number): Promise<void> {
  const random = createSeeded(seed)
  const [name, framed, enter] = random.pick(states)
  const where = `BAWN_TEST_SEED=${seed} (${name})`
  const client = await within(enter(), `${where}: getting there`)
  const bytes = nonsense(random)
  for (let at = 0; at < bytes.length && !client.closed; ) {
    const size = random.integer(1, random.pick([3, 50, 1_000]))
    client.socket.write(bytes.subarray(at, at + size))
    at += size
    if (random.integer(0, 3) === 0) await new Promise(setImmediate)
  }
  // The client goes: by halves, so that what is still to come is heard, or at once.
  if (random.integer(0, 3) === 0) client.socket.destroy()
  else client.socket.end()
  await within(client.untilClosed(), `${where}: an end after ${bytes.toString('hex')}`)
  if (framed) assertMessages(client.received, where)
}

async function within<Value>(work: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patience} ms for ${what}`)), patience)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Asks for what only it can know, and hears that and nothing else. */
async function witness(client: RawClient, number: number): Promise<void> {
  client.socket.write(
    Buffer.concat([
      say.query(`select 'mine ${number}'`),
      say.parse('', 'select $1 as own'),
      say.bind('', '', [`own ${number}`]),
      say.execute(''),
      say.sync,
    ]),
  )
  await within(
    client.until(() => client.letters().split('Z').length === 3),
    'the witness',
  )
  const rows = client.messages().filter(({ type }) => type === 'D')
  const texts = rows.map(({ body }) => body.toString('utf8', 6))
  assert.deepEqual(texts, [`mine ${number}`, `own ${number}`])
  assert.equal(client.letters(), 'TDCZ12DCZ')
  client.received = Buffer.alloc(0)
}

interface Held {
  readonly heap: number
  readonly handles: number
  readonly sessions: number
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** What the process holds once everything that ended has been let go: a connection's end takes a moment here and at the server. */
async function held(sessions: number, connections = Number.POSITIVE_INFINITY): Promise<Held> {
  const end = Date.now() + patience
  const open = async () =>
    Number(
      (await kit.direct("select count(*)::int as n from pg_stat_activity where application_name like 'bawn:%'"))[0]?.[
        'n'
      ],
    )
  const handles = () =>
    process.getActiveResourcesInfo().filter(kind => kind.includes('TCP') || kind.includes('TLS')).length
  while (((await open()) > sessions || handles() > connections) && Date.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  collect()
  return { heap: process.memoryUsage().heapUsed, handles: handles(), sessions: await open() }
}

test('bytes that no client sends leave nothing behind, in whatever state they come', async () => {
  const wanted = process.env['BAWN_TEST_SEED']
  if (wanted !== undefined) return await round(Number(wanted))
  const own = await rawLogin(port, 'fuzzer', 'billing')
  const rounds = async (until: () => boolean): Promise<number> => {
    let count = 0
    while (!until()) {
      await Promise.all(Array.from({ length: 4 }, () => round(randomInt(2 ** 31))))
      await witness(own, count)
      count += 4
    }
    return count
  }
  // Caches and lazily made things first, so that what grows afterwards grows by the rounds.
  const warm = Date.now() + (seconds * 1_000) / 3
  await rounds(() => Date.now() > warm)
  const before = await held(1)
  const end = Date.now() + (seconds * 2_000) / 3
  const count = await rounds(() => Date.now() > end)
  const behind = await held(1, before.handles)
  assert.equal(behind.sessions, 1)
  assert.ok(behind.handles <= before.handles, `${before.handles} connections before, ${behind.handles} afterwards`)
  // Less than 2 KiB for a round, beside what the log and the trail of the kit keep on purpose.
  kit.logs.length = 0
  kit.events.length = 0
  const { heap } = await held(1)
  const grown = heap - before.heap
  assert.ok(grown < 4 * 1_048_576 + count * 2_048, `${grown} bytes more after ${count} rounds`)
  own.socket.destroy()
  console.log(`${count} rounds, ${Math.round(grown / 1_024)} KiB`)
})

test('whoever cannot be understood while rows come hears nothing in the middle of a row', async () => {
  for (let count = 0; count < 10; count += 1) {
    const client = await inSession(say.query('select * from notes a, notes b'))
    // Waits for the end of the answer, and is found to be no message while that comes.
    client.socket.end(Buffer.concat([say.bind('p', 's', ['1']), say.sync, Buffer.from('b59da99f5c', 'hex')]))
    await within(client.untilClosed(), 'an end')
    assertMessages(client.received, `try ${count}`)
  }
})
