import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Field, FieldView } from '../fields/field.ts'
import { sealBind, sealedTypes } from './seal.ts'
import { typeOid } from './wire/message.ts'

const text: Field = { name: 'text', columns: [], json: [], type: 'text', encrypt: 'acrablock', searchable: true }
const bytes: Field = { ...text, name: 'bytes', type: 'bytes' }
const viewOf = (field: Field): FieldView => ({
  field,
  disclosure: { kind: 'plain', rule: 'test' },
  reveal: stored => stored,
  protect: plaintext => Buffer.concat([Buffer.from('S:'), plaintext]),
  searchHash: plaintext => Buffer.concat([Buffer.from('H:'), plaintext]),
})

interface Row {
  readonly name: string
  readonly field: Field
  readonly as?: 'sealed' | 'searched'
  readonly type: number
  readonly format: 0 | 1
  readonly value: Buffer
  readonly sealed: string | undefined
}

const rows: readonly Row[] = [
  { name: 'text as text', field: text, type: 0, format: 0, value: Buffer.from('é'), sealed: 'S:é' },
  { name: 'text as binary', field: text, type: 25, format: 1, value: Buffer.from('é'), sealed: 'S:é' },
  {
    name: 'text that looks like hex is itself',
    field: text,
    type: 0,
    format: 0,
    value: Buffer.from('\\x61'),
    sealed: 'S:\\x61',
  },
  { name: 'text declared bytea', field: text, type: 17, format: 0, value: Buffer.from('\\x61'), sealed: 'S:a' },
  { name: 'a number as text', field: text, type: 23, format: 0, value: Buffer.from('42'), sealed: 'S:42' },
  {
    name: 'a number as binary',
    field: text,
    type: 23,
    format: 1,
    value: Buffer.from([0, 0, 0, 42]),
    sealed: undefined,
  },
  { name: 'not UTF-8', field: text, type: 25, format: 1, value: Buffer.from([0xff]), sealed: undefined },
  { name: 'bytes as hex', field: bytes, type: 0, format: 0, value: Buffer.from('\\x6162'), sealed: 'S:ab' },
  { name: 'bytes as binary', field: bytes, type: 17, format: 1, value: Buffer.from('\\x61'), sealed: 'S:\\x61' },
  { name: 'bytes as broken hex', field: bytes, type: 17, format: 0, value: Buffer.from('\\xzz'), sealed: undefined },
  { name: 'searched', field: text, as: 'searched', type: 0, format: 0, value: Buffer.from('a'), sealed: 'H:a' },
]

test('parameters are sealed by what they are, in the form they come in', () => {
  for (const { name, field, as = 'sealed', type, format, value, sealed } of rows) {
    const bind = { portal: '', statement: '', formats: [0, format], values: [undefined, value], resultFormats: [] }
    const seal = () => sealBind(bind, [{ index: 2, field, as }], [0, type], viewOf)
    if (sealed === undefined) {
      assert.throws(seal, { code: 'postgres.bad_parameter' }, name)
      continue
    }
    const made = seal()
    assert.equal(Buffer.from(made.sealed.values[1] ?? []).toString(), sealed, name)
    assert.deepEqual(made.sealed.formats, [0, 1], name)
    assert.deepEqual(made.uses.list(), [{ field: field.name, as, count: 1 }], name)
  }
})

test('NULL stays NULL, and the type is bytea towards the server', () => {
  const bind = { portal: '', statement: '', formats: [0], values: [undefined], resultFormats: [] }
  const { sealed, uses } = sealBind(bind, [{ index: 1, field: text, as: 'sealed' }], [], viewOf)
  assert.deepEqual([sealed.values, uses.total], [[undefined], 0])
  assert.deepEqual(sealedTypes([25], [{ index: 3, field: text, as: 'sealed' }]), [25, 0, typeOid.bytea])
})
