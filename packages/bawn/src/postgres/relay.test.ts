import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createLoginThrottle } from '../accounts/throttle.ts'
import { createIdentity } from '../authn/identity.ts'
import { GatewayError } from '../error.ts'
import type { Field, FieldView } from '../fields/field.ts'
import { Answers } from './answers.ts'
import { Conversation } from './conversation.ts'
import { FieldUses } from './field-uses.ts'
import { Requests } from './requests.ts'
import { planRow, revealRow } from './rows.ts'
import { noSessionLimits } from './session-limits.ts'
import { SessionSlots } from './session-slots.ts'
import type { SchemaSnapshot, StatementPlan } from './sql/plan.ts'
import type { DatabaseState, DoorState } from './state.ts'
import { MessageBuilder } from './wire/builder.ts'
import { back } from './wire/message.ts'
import { buildQuery } from './wire/parse.ts'
import { buildRowDescription, type ColumnDescription, parseRowDescription } from './wire/row-description.ts'

// Both directions without a socket: bytes in, bytes out, however they are cut. `postgres-*.test.ts` in test/ does the same on a server.

const secret: Field = { name: 'secret', columns: [], json: [], type: 'text', encrypt: 'acrablock', searchable: false }
const snapshot: SchemaSnapshot = {
  epoch: 1,
  relations: [],
  columns: new Map([[500, new Map([[2, secret]])]]),
  dependents: [],
  homonyms: [],
  problems: [],
}

/** Stored is `S:` and the value; anything else does not open. */
const view: FieldView = {
  field: secret,
  disclosure: { kind: 'plain', rule: 'test' },
  reveal(stored) {
    const text = Buffer.from(stored).toString('latin1')
    if (!text.startsWith('S:')) throw new GatewayError('fields.unreadable', 'does not open')
    return Buffer.from(text.slice(2), 'latin1')
  },
  protect: plaintext => Buffer.concat([Buffer.from('S:'), plaintext]),
  searchHash: plaintext => plaintext,
}

const identity = createIdentity({
  id: 'ada',
  roles: ['billing'],
  claims: {},
  clientId: undefined,
  mechanism: 'jwt',
  source: undefined,
  expiresAt: undefined,
})

function conversation(): Conversation {
  const audit = { emit: () => {}, commit: () => {}, head: '', close: async () => {} }
  const plan = (text: Uint8Array): StatementPlan =>
    Buffer.from(text).includes('secret')
      ? {
          kind: 'protected',
          verb: 'SELECT',
          tables: ['public.t'],
          edits: [],
          parameters: [],
          schemaChange: false,
          declares: false,
        }
      : { kind: 'pass', schemaChange: false }
  const database: DatabaseState = {
    name: 'shop',
    upstream: {
      host: '',
      port: 0,
      database: '',
      tls: undefined,
      user: '',
      password: '',
      connectTimeoutMs: 0,
      probeAfterMs: 1,
    },
    gate: { open: false, decide: () => ({ kind: 'permit', rule: 'test' }) },
    limits: noSessionLimits,
    schema: {
      current: undefined,
      fresh: () => snapshot,
      refresh: async () => snapshot,
      outdate: () => {},
      isChangedBy: () => true,
      announce: () => {},
    },
    planner: {
      plan,
      read: () => Promise.reject(new Error('without grants')),
      match: () => Promise.reject(new Error('without a firewall')),
      close: async () => {},
    },
  }
  const state: DoorState = {
    databases: new Map([['shop', database]]),
    hostRules: { match: () => ({ kind: 'none' }) },
    certificate: undefined,
    scram: undefined,
    jwt: undefined,
    password: undefined,
    trust: undefined,
    findAccount: async () => undefined,
    plugged: new Map(),
    token: undefined,
    tokenSource: undefined,
    throttle: createLoginThrottle({ now: () => 0 }),
    slots: new SessionSlots(),
    catalogue: { fields: [secret], find: () => secret, view: () => view },
    audit,
    auditStatements: 'protected',
    log: () => {},
    now: () => 0,
  }
  const context = { audit, sessionId: 's', identity, address: '', database: 'shop', rule: 'test' }
  return new Conversation(state, database, context, { maxFrameBytes: 10_000, maxPending: 100, maxPrepared: 10 })
}

const column = (name: string, attnum: number, typeOid: number, format = 0): ColumnDescription => ({
  name: Buffer.from(name),
  tableOid: 500,
  attnum,
  typeOid,
  typeLength: -1,
  typeModifier: -1,
  format,
})
const columns = [column('id', 1, 23), column('secret', 2, 17), column('note', 3, 25)]

const dataRow = (...cells: (Uint8Array | undefined)[]): Buffer => {
  const row = new MessageBuilder().begin(back.dataRow).int16(cells.length)
  for (const cell of cells) cell === undefined ? row.int32(-1) : row.int32(cell.length).bytes(cell)
  return row.end().take()
}
const hex = (text: string): Buffer => Buffer.from(`\\x${Buffer.from(text).toString('hex')}`)
const end = (type: number, text: string): Buffer =>
  new MessageBuilder().begin(type).bytes(Buffer.from(text)).end().take()
const complete = end(back.commandComplete, 'SELECT 1\0')
const ready = end(back.readyForQuery, 'I')

const queries = Buffer.concat([buildQuery(Buffer.from('select id, secret, note')), buildQuery(Buffer.from('select 1'))])
const served = Buffer.concat([
  end(back.notice, 'SNOTICE\0\0'),
  buildRowDescription(columns),
  dataRow(Buffer.from('1'), hex('S:first'), Buffer.from('x'.repeat(50))),
  dataRow(Buffer.from('2'), undefined, undefined),
  dataRow(Buffer.from('3'), hex('S:'), Buffer.from('')),
  complete,
  ready,
  buildRowDescription([column('one', 0, 23)]),
  dataRow(Buffer.from('1')),
  dataRow(Buffer.from('12')),
  dataRow(undefined),
  dataRow(Buffer.from('123')),
  complete,
  end(back.parameterStatus, 'TimeZone\0UTC\0'),
  ready,
])

function relay(
  requests: readonly Uint8Array[],
  answers: readonly Uint8Array[],
): { toServer: string; toClient: string } {
  const talk = conversation()
  const front = new Requests(talk, () => {})
  const behind = new Answers(talk)
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  const flush = (): void => {
    const [one, other] = [talk.toServer.take(), talk.toClient.take()]
    if (one !== undefined) toServer.push(Buffer.from(one))
    if (other !== undefined) toClient.push(Buffer.from(other))
  }
  for (const bytes of requests) {
    front.reader.push(Buffer.from(bytes))
    front.run()
    flush()
  }
  for (const bytes of answers) {
    const chunk = Buffer.from(bytes)
    behind.receive(chunk)
    flush()
    // What was received may be overwritten from here on.
    chunk.fill(0xee)
  }
  return { toServer: Buffer.concat(toServer).toString('latin1'), toClient: Buffer.concat(toClient).toString('latin1') }
}

test('a stream cut anywhere is relayed and rewritten the same', () => {
  const whole = relay([queries], [served])
  assert.equal(whole.toServer, queries.toString('latin1'))
  assert.ok(whole.toClient.includes('first') && !whole.toClient.includes('\\x533a'))
  for (let cut = 1; cut < served.length; cut += 1) {
    assert.deepEqual(relay([queries], [served.subarray(0, cut), served.subarray(cut)]), whole, `cut at ${cut}`)
  }
  for (let cut = 1; cut < queries.length; cut += 1) {
    assert.deepEqual(relay([queries.subarray(0, cut), queries.subarray(cut)], [served]), whole, `cut at ${cut}`)
  }
  const single = (bytes: Buffer) => Array.from(bytes, byte => Uint8Array.of(byte))
  assert.deepEqual(relay(single(queries), single(served)), whole)
})

test('answers to nothing that was asked, and random bytes, end in a typed error', () => {
  for (const answer of [
    ready,
    complete,
    dataRow(Buffer.from('1')),
    end(back.parseComplete, ''),
    end(back.copyIn, '\0\0\0'),
  ]) {
    assert.throws(() => relay([], [answer]), { code: 'postgres.protocol' })
  }
  assert.throws(() => relay([queries], [end(back.parseComplete, '')]), { code: 'postgres.protocol' })
  for (let round = 0; round < 1_000; round += 1) {
    const broken = Buffer.from(served)
    for (let flips = randomInt(1, 5); flips > 0; flips -= 1) broken[randomInt(0, broken.length)] = randomInt(0, 256)
    try {
      relay([queries], [broken])
    } catch (error) {
      assert.ok(error instanceof GatewayError, String(error))
    }
    try {
      relay([randomBytes(randomInt(1, 60))], [])
    } catch (error) {
      assert.ok(error instanceof GatewayError, String(error))
    }
  }
})

test('a result column is what OID and number say, whatever it is called', () => {
  const rowDescription = buildRowDescription([
    column('secret', 1, 25),
    column('innocent', 2, 17),
    { ...column('secret', 2, 17), tableOid: 0 },
  ])
  const plan = planRow(parseRowDescription(rowDescription, 5, rowDescription.length), snapshot, () => view)
  assert.deepEqual(
    plan?.columns.map(one => one !== undefined),
    [false, true, false],
  )
})

const shapes: readonly (readonly [
  name: string,
  format: number,
  type: number,
  cell: Buffer,
  shown: string | undefined,
])[] = [
  ['hex', 0, 17, hex('S:é'), 'é'],
  ['escape form', 0, 17, Buffer.from('S:a\\\\b\\303\\251'), 'a\\bé'],
  ['binary', 1, 17, Buffer.from('S:é'), 'é'],
  ['a type that has no bytes in binary', 1, 23, Buffer.from([0, 0, 0, 1]), undefined],
]

test('rows are rewritten exactly, or not at all', () => {
  for (const [name, format, type, cell, shown] of shapes) {
    const plan = planRow([columns[0] ?? column('id', 1, 23), column('secret', 2, type, format)], snapshot, () => view)
    assert.ok(plan !== undefined)
    const row = dataRow(Buffer.from('7'), cell)
    const out = new MessageBuilder()
    revealRow(row, new DataView(row.buffer, row.byteOffset, row.length), 0, row.length, plan, out, new FieldUses())
    assert.deepEqual(out.take(), dataRow(Buffer.from('7'), shown === undefined ? undefined : Buffer.from(shown)), name)
    for (let cut = 0; cut < row.length; cut += 1) {
      const reveal = () =>
        revealRow(
          row,
          new DataView(row.buffer, row.byteOffset, row.length),
          0,
          cut,
          plan,
          new MessageBuilder(),
          new FieldUses(),
        )
      assert.throws(reveal, GatewayError, `${name} cut at ${cut}`)
    }
  }
})
