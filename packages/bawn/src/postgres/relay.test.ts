import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { GatewayError } from '../error.ts'
import { Answers } from './answers.ts'
import { FieldUses } from './field-uses.ts'
import { column, complete, conversation, dataRow, end, ready, snapshot, view } from './relay.fixture.ts'
import { Requests } from './requests.ts'
import { planRow, revealRow } from './rows.ts'
import { MessageBuilder } from './wire/builder.ts'
import { back } from './wire/message.ts'
import { buildQuery } from './wire/parse.ts'
import { buildRowDescription, parseRowDescription } from './wire/row-description.ts'

// Both directions without a socket: bytes in, bytes out, however they are cut. `postgres-*.test.ts` in test/ does the same on a server.

const columns = [column('id', 1, 23), column('secret', 2, 17), column('note', 3, 25)]

const hex = (text: string): Buffer => Buffer.from(`\\x${Buffer.from(text).toString('hex')}`)
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
    front.receive(Buffer.from(bytes), true)
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
