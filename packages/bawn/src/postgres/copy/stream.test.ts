import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import type { Field } from '../../fields/field.ts'
import { PostgresError } from '../failure.ts'
import type { CopyFormat, CopyPlan } from '../sql/plan.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { CopyStream } from './stream.ts'

// What PostgreSQL makes of the same data is compared in test/postgres-copy.test.ts.

const field = { name: 'email', type: 'text' } as Field
const none: ReadonlySet<number> = new Set()
const text: CopyFormat = { kind: 'text', delimiter: 9, null: Buffer.from('\\N'), header: false }
const csv: CopyFormat = {
  kind: 'csv',
  delimiter: 0x2c,
  quote: 0x22,
  escape: 0x22,
  null: Buffer.alloc(0),
  header: false,
  forceQuote: none,
  forceNull: none,
  forceNotNull: none,
}
const formats: readonly CopyFormat[] = [
  text,
  { ...text, header: true },
  csv,
  { ...csv, escape: 0x5c },
  { kind: 'binary' },
]

const planOf = (format: CopyFormat): CopyPlan => ({ direction: 'in', format, columns: [undefined, field] })

/** The data that leaves, without its messages, and the code of the error that ended it. */
function converted(pieces: readonly Uint8Array[], format: CopyFormat, maxBytes = 10_000): string {
  const out = new MessageBuilder()
  const stream = new CopyStream(planOf(format), maxBytes, (_, value) =>
    Buffer.concat([Buffer.from('<'), value, Buffer.from('>')]),
  )
  let end = ''
  try {
    for (const piece of pieces) {
      const chunk = Buffer.from(piece)
      stream.push(chunk, out)
      chunk.fill(0xee)
    }
    stream.finish(out)
  } catch (error) {
    assert(error instanceof PostgresError, String(error))
    end = error.code
  }
  const bytes = out.take()
  const data: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    assert.equal(bytes[at], 0x64)
    data.push(bytes.subarray(at + 5, at + 1 + bytes.readInt32BE(at + 1)))
  }
  return Buffer.concat(data).toString('latin1') + end
}

const binary = Buffer.from(
  '5047434f50590aff0d0a0000000000000000020102000200000001410000000242430002ffffffffffffffffffff',
  'hex',
)
const samples: readonly (readonly [format: CopyFormat, data: Buffer, expected: string])[] = [
  [text, Buffer.from('1\ta\\tb\n2\t\\N\n'), '1\t<a\\tb>\n2\t\\N\n'],
  [text, Buffer.from('1\ta\r\n2\tb\r\n'), '1\t<a>\r\n2\t<b>\r\n'],
  [text, Buffer.from('1\ta\r2\tb'), '1\t<a>\r2\t<b>'],
  [text, Buffer.from('1\ta\n\\.\n2\tb\n'), '1\t<a>\n\\.\n'],
  [{ ...text, header: true }, Buffer.from('id\temail\n1\ta\n'), 'id\temail\n1\t<a>\n'],
  [csv, Buffer.from('1,"a,""\nb"\n2,\n3,""\n'), '1,"<a,""\nb>"\n2,\n3,<>\n'],
  [{ ...csv, escape: 0x5c }, Buffer.from('1,"a\\"b"\n'), '1,"<a\\"b>"\n'],
  [{ ...csv, header: true }, Buffer.from('\\.\n1,a\n'), '\\.\n1,<a>\n'],
]

test('values are converted, and nothing else, however the data arrives', () => {
  for (const [format, data, expected] of samples) {
    assert.equal(converted([data], format), expected)
    for (let at = 0; at <= data.length; at += 1) {
      assert.equal(converted([data.subarray(0, at), data.subarray(at)], format), expected)
    }
    assert.equal(
      converted(
        Array.from(data, byte => Uint8Array.of(byte)),
        format,
      ),
      expected,
    )
  }
})

test('binary: header with extension, rows, NULL, trailer', () => {
  const whole = converted([binary], { kind: 'binary' })
  assert.match(whole, /<BC>/)
  assert.ok(!/postgres\./.test(whole), whole)
  for (let at = 0; at <= binary.length; at += 1) {
    assert.equal(converted([binary.subarray(0, at), binary.subarray(at)], { kind: 'binary' }), whole)
  }
  assert.equal(
    converted(
      Array.from(binary, byte => Uint8Array.of(byte)),
      { kind: 'binary' },
    ),
    whole,
  )
  for (let size = 1; size < binary.length; size += 1) {
    const end = converted([binary.subarray(0, size)], { kind: 'binary' })
    // Complete rows without a trailer are taken by the server as well.
    assert.ok(/postgres\.copy_malformed$/.test(end) || [21, 34, 44].includes(size), `${size}: ${end}`)
  }
})

test('a row over the limit is refused before it is kept, whatever its pieces', () => {
  for (const format of formats) {
    const row =
      format.kind === 'binary'
        ? Buffer.concat([binary.subarray(0, 21), Buffer.from('00020000ffff', 'hex')])
        : Buffer.alloc(5_000, 'x')
    for (const size of [1, 7, 5_000]) {
      const pieces = Array.from({ length: Math.ceil(row.length / size) }, (_, index) =>
        row.subarray(index * size, (index + 1) * size),
      )
      assert.match(converted(pieces, format, 1_000), /postgres\.too_large$/)
    }
  }
})

test('random bytes end in a typed error or in rows, the same however they are cut', () => {
  const marks = Buffer.from('\t,"\\\n\r.N0x\0é|ab')
  for (let round = 0; round < 3_000; round += 1) {
    const format: CopyFormat = formats[round % formats.length] ?? text
    const noise =
      round % 2 === 0
        ? randomBytes(randomInt(0, 80))
        : Buffer.from(Array.from({ length: randomInt(0, 40) }, () => marks[randomInt(0, marks.length)] ?? 0))
    const data: Buffer =
      format.kind === 'binary' && round % 3 > 0
        ? Buffer.concat([binary.subarray(0, randomInt(0, binary.length)), noise])
        : noise
    const at = randomInt(0, data.length + 1)
    const code = (result: string): string => /postgres\.\w+$/.exec(result)?.[0] ?? ''
    const whole = converted([data], format)
    for (const pieces of [[data.subarray(0, at), data.subarray(at)], Array.from(data, byte => Uint8Array.of(byte))]) {
      const found = converted(pieces, format)
      assert.equal(code(found), code(whole), JSON.stringify(data.toString('latin1')))
      assert.equal(found, whole)
    }
  }
})
