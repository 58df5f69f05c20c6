import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { buildBind, parseBind, parseBindNames } from './bind.ts'
import { parseByteaText } from './bytea.ts'
import { buildErrorResponse, parseErrorResponse, rebuildErrorResponse } from './error-response.ts'
import { buildParse, buildQuery, parseParse, parseQuery } from './parse.ts'
import {
  buildDescribePortal,
  buildParameterDescription,
  buildRowDescription,
  parseParameterDescription,
  parseRowDescription,
  parseTarget,
} from './row-description.ts'
import { buildCancelRequest, buildSslRequest, buildStartupMessage, parseStartupPacket } from './startup.ts'
import { WireError } from './wire-error.ts'

const randomName = (): string => randomBytes(randomInt(0, 9)).toString('latin1').replaceAll('\0', 'x')

test('Parse, Bind, Query, RowDescription and the others read what they wrote', () => {
  for (let round = 0; round < 300; round += 1) {
    const parse = {
      name: randomName(),
      text: Buffer.from(randomName()),
      types: Array.from({ length: randomInt(0, 4) }, () => randomInt(0, 2 ** 32)),
    }
    const parseBytes = buildParse(parse)
    assert.deepEqual(parseParse(parseBytes, 5, parseBytes.length), parse)
    const count = randomInt(0, 5)
    const bind = {
      portal: randomName(),
      statement: randomName(),
      formats: Array.from({ length: count }, () => randomInt(0, 2)),
      values: Array.from({ length: count }, () => (randomInt(0, 3) === 0 ? undefined : randomBytes(randomInt(0, 40)))),
      resultFormats: Array.from({ length: randomInt(0, 3) }, () => randomInt(0, 2)),
    }
    const bindBytes = buildBind(bind)
    assert.deepEqual(parseBind(bindBytes, 5, bindBytes.length), bind)
    assert.deepEqual(parseBindNames(bindBytes, 5, bindBytes.length), { portal: bind.portal, statement: bind.statement })
    const queryBytes = buildQuery(parse.text)
    assert.deepEqual(parseQuery(queryBytes, 5, queryBytes.length), parse.text)
    const columns = Array.from({ length: randomInt(0, 4) }, () => ({
      name: Buffer.from(randomName()),
      tableOid: randomInt(0, 2 ** 32),
      attnum: randomInt(-7, 1600),
      typeOid: randomInt(0, 2 ** 32),
      typeLength: -1,
      typeModifier: -1,
      format: randomInt(0, 2),
    }))
    const rowBytes = buildRowDescription(columns)
    assert.deepEqual(parseRowDescription(rowBytes, 5, rowBytes.length), columns)
    const parameterBytes = buildParameterDescription(parse.types)
    assert.deepEqual(parseParameterDescription(parameterBytes, 5, parameterBytes.length), parse.types)
    const describe = buildDescribePortal(parse.name)
    assert.deepEqual(parseTarget(describe, 5, describe.length), { of: 'portal', name: parse.name })
    for (const bytes of [parseBytes, bindBytes, queryBytes, rowBytes, parameterBytes, describe]) {
      assert.equal(bytes.readInt32BE(1), bytes.length - 1)
    }
  }
})

test('one format code stands for all parameters, none for text', () => {
  const all = Buffer.from('0000 0001 0001 0002 00000001 61 00000001 62 0000'.replaceAll(' ', ''), 'hex')
  assert.deepEqual(parseBind(all, 0, all.length).formats, [1, 1])
  const none = Buffer.from('0000 0000 0001 ffffffff 0000'.replaceAll(' ', ''), 'hex')
  assert.deepEqual(parseBind(none, 0, none.length).formats, [0])
})

const malformed: readonly { readonly name: string; readonly read: (bytes: Buffer) => unknown; readonly hex: string }[] =
  [
    { name: 'text after the NUL of Query', read: b => parseQuery(b, 0, b.length), hex: '610062' },
    { name: 'Query without NUL', read: b => parseQuery(b, 0, b.length), hex: '6162' },
    { name: 'empty Query body', read: b => parseQuery(b, 0, b.length), hex: '' },
    { name: 'text after the types of Parse', read: b => parseParse(b, 0, b.length), hex: '0061000000ff' },
    { name: 'types of Parse cut', read: b => parseParse(b, 0, b.length), hex: '006100000200000000' },
    { name: 'parameter longer than Bind', read: b => parseBind(b, 0, b.length), hex: '0000000000010000ffff' },
    { name: 'parameter of length -2', read: b => parseBind(b, 0, b.length), hex: '000000000001fffffffe0000' },
    { name: 'format code 2', read: b => parseBind(b, 0, b.length), hex: '00000001000200000000' },
    {
      name: 'two formats for three parameters',
      read: b => parseBind(b, 0, b.length),
      hex: '0000000200000000 0003'.replace(' ', ''),
    },
    { name: 'RowDescription cut', read: b => parseRowDescription(b, 0, b.length), hex: '0001610000' },
    { name: 'error fields without an end', read: b => parseErrorResponse(b, 0, b.length), hex: '534500' },
  ]

test('malformed bodies are refused', () => {
  for (const { name, read, hex } of malformed) assert.throws(() => read(Buffer.from(hex, 'hex')), WireError, name)
})

test('cut and random bodies end in a WireError, and nothing reads beyond its message', () => {
  const readers = [parseQuery, parseParse, parseBind, parseBindNames, parseRowDescription, parseParameterDescription]
  for (let round = 0; round < 3_000; round += 1) {
    const bytes = randomBytes(randomInt(0, 60))
    const end = randomInt(0, bytes.length + 1)
    for (const read of [...readers, parseErrorResponse, parseTarget]) {
      try {
        read(bytes, 0, end)
      } catch (error) {
        assert.ok(error instanceof WireError)
      }
    }
  }
})

test('start-up packets', () => {
  const startup = buildStartupMessage([
    ['user', 'alice'],
    ['database', 'shop'],
  ])
  const read = parseStartupPacket(startup)
  assert.ok(read.kind === 'startup')
  assert.deepEqual({ ...read.parameters }, { user: 'alice', database: 'shop' })
  assert.deepEqual([read.major, read.minor], [3, 0])
  assert.deepEqual(parseStartupPacket(buildSslRequest()), { kind: 'ssl' })
  const cancel = parseStartupPacket(buildCancelRequest(7, Buffer.alloc(32, 1)))
  assert.ok(cancel.kind === 'cancel' && cancel.processId === 7 && cancel.key.length === 32)
  const old = Buffer.from('0000000800020000', 'hex')
  assert.deepEqual(parseStartupPacket(old), { kind: 'unsupported', major: 2, minor: 0 })
  const newer = Buffer.concat([Buffer.from('000000000003270f', 'hex'), Buffer.from('user\0a\0_pq_.x\0y\0\0')])
  const negotiated = parseStartupPacket(newer)
  assert.ok(negotiated.kind === 'startup' && negotiated.minor === 9999)
  assert.deepEqual(negotiated.protocolOptions, ['_pq_.x'])
  for (const bad of [
    '0000000c04d2162e00000001',
    '0000000904d2162f00',
    '000000080003',
    '0000000a000300007500',
    '0000000a00030000 0000'.replace(' ', ''),
  ]) {
    assert.throws(() => parseStartupPacket(Buffer.from(bad, 'hex')), WireError, bad)
  }
  for (let round = 0; round < 3_000; round += 1) {
    const bytes = randomBytes(randomInt(4, 60))
    if (round % 2 === 0 && bytes.length >= 8) bytes.writeInt32BE(0x0003_0000, 4)
    try {
      parseStartupPacket(bytes)
    } catch (error) {
      assert.ok(error instanceof WireError)
    }
  }
})

test('ErrorResponse keeps unknown fields and their order', () => {
  const built = buildErrorResponse({ severity: 'ERROR', sqlstate: '42501', message: 'no', hint: 'ask', position: 8 })
  const fields = parseErrorResponse(built, 5, built.length)
  assert.deepEqual(
    [...fields],
    [
      ['S', 'ERROR'],
      ['V', 'ERROR'],
      ['C', '42501'],
      ['M', 'no'],
      ['H', 'ask'],
      ['P', '8'],
    ],
  )
  fields.set('~', 'future')
  const again = rebuildErrorResponse(fields)
  assert.deepEqual([...parseErrorResponse(again, 5, again.length)].at(-1), ['~', 'future'])
})

const byteaTexts: readonly (readonly [text: string, hex: string | undefined])[] = [
  ['\\x', ''],
  ['\\x00fF', '00ff'],
  ['\\x0 0', undefined],
  ['\\x00 ff\n', '00ff'],
  ['\\x0', undefined],
  ['\\xzz', undefined],
  ['', ''],
  ['abc', '616263'],
  ['a\\\\b', '615c62'],
  ['\\000\\377', '00ff'],
  ['\\400', undefined],
  ['\\08', undefined],
  ['a\\', undefined],
]

test('both text forms of bytea', () => {
  for (const [text, hex] of byteaTexts) assert.equal(parseByteaText(Buffer.from(text))?.toString('hex'), hex, text)
  for (let round = 0; round < 200; round += 1) {
    const bytes = randomBytes(randomInt(0, 50))
    assert.deepEqual(parseByteaText(Buffer.from(`\\x${bytes.toString('hex')}`)), bytes)
    const escaped = Array.from(bytes, b =>
      b >= 0x20 && b < 0x7f && b !== 0x5c
        ? String.fromCharCode(b)
        : b === 0x5c
          ? '\\\\'
          : `\\${b.toString(8).padStart(3, '0')}`,
    ).join('')
    assert.deepEqual(parseByteaText(Buffer.from(escaped, 'latin1')), bytes)
  }
})
