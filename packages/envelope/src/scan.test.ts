import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import {
  createBlockKey,
  generateKeyPair,
  importPrivateKey,
  publicKeyOf,
  scan,
  sealAcraBlock,
  sealAcraStruct,
  searchHash,
  serialize,
} from './index.ts'

const search = createSecretKey(Buffer.alloc(32, 2))
const blockKey = createBlockKey(Buffer.alloc(32, 3))
const strange = createBlockKey(Buffer.alloc(32, 4))
const privateKey = importPrivateKey(generateKeyPair().privateKey)
const keys = { blockKeys: [blockKey], privateKeys: [privateKey], search }

const block = (text: string): Buffer => sealAcraBlock(blockKey, Buffer.from(text))
const struct = (text: string | Buffer): Buffer => sealAcraStruct(publicKeyOf(privateKey), Buffer.from(text))
const serialized = (text: string): Buffer => serialize('acrablock', block(text))
const foreign = sealAcraBlock(strange, Buffer.from('foreign'))
const join = (...parts: readonly (Buffer | string)[]): Buffer => Buffer.concat(parts.map(part => Buffer.from(part)))
const hash = (text: string): Buffer => searchHash(search, Buffer.from(text))

const hidden = block('hidden')
const inner = struct(hidden)
const hashed = join(hash('x'), block('x'))
const wrongHash = join(hash('y'), block('x'))
const notAlone = join(hash('x'), block('x'), '.')
const bareBesideSerialized = block('bare')
const badLength = Buffer.concat([Buffer.from('%%%'), Buffer.alloc(8, 0xff), Buffer.from([0xf0, 1, 2])])

for (const row of [
  { name: 'nothing', input: join(), output: join(), counts: [0, 0, 0] },
  { name: 'text', input: join('a "" %%% b'), output: join('a "" %%% b'), counts: [0, 0, 0] },
  {
    name: 'several serialized containers',
    input: join('<', serialized('one'), '|', serialize('acrastruct', struct('two')), '>'),
    output: join('<one|two>'),
    counts: [2, 0, 0],
  },
  {
    name: 'bare containers of both kinds',
    input: join(block('one'), ' ', struct('two'), block('three')),
    output: join('one twothree'),
    counts: [3, 0, 0],
  },
  {
    name: 'a bare container beside a serialized one: it stays closed',
    input: join(bareBesideSerialized, serialized('one')),
    output: join(bareBesideSerialized, 'one'),
    counts: [1, 0, 0],
  },
  {
    name: 'a bare container beside what only begins like a serialized one: it stays closed',
    input: join(badLength, bareBesideSerialized),
    output: join(badLength, bareBesideSerialized),
    counts: [0, 0, 0],
  },
  {
    name: 'a container of a foreign key',
    input: join('a', foreign, block('b')),
    output: join('a', foreign, 'b'),
    counts: [1, 1, 0],
  },
  {
    name: 'an AcraBlock inside an AcraStruct: what was decrypted is not searched again',
    input: join('a', inner, 'b'),
    output: join('a', hidden, 'b'),
    counts: [1, 0, 0],
  },
  { name: 'search hash and container', input: hashed, output: join('x'), counts: [1, 0, 0] },
  { name: 'a search hash of another value: all of it stays', input: wrongHash, output: wrongHash, counts: [0, 1, 0] },
  {
    name: 'a search hash that is not alone with its container: it stays, the container opens',
    input: notAlone,
    output: join(hash('x'), 'x.'),
    counts: [1, 0, 0],
  },
]) {
  test(`scanning ${row.name}`, () => {
    const before = Buffer.from(row.input)
    const { value, opened, unopened, skipped } = scan(row.input, keys)
    assert.deepEqual(value, row.output)
    assert.deepEqual([opened, unopened, skipped], row.counts)
    assert.deepEqual(row.input, before, 'the input is not changed')
  })
}

test('no more candidates are tried than the limit says, and text that only looks like one does not count', () => {
  const look = Buffer.concat([Buffer.alloc(12, 0x22), Buffer.alloc(200)])
  const input = join(look, foreign, block('one'), block('two'), foreign)
  const result = scan(input, keys, { maxCandidates: 2 })
  assert.deepEqual([result.opened, result.unopened, result.skipped], [1, 1, 2])
  assert.equal(scan(input, keys).opened, 2)
  const none = scan(input, keys, { maxCandidates: 0 })
  assert.deepEqual([none.opened, none.unopened, none.skipped], [0, 0, 4])
  assert.deepEqual(none.value, input)
})

test('by default 32 candidates are tried', () => {
  const { unopened, skipped } = scan(Buffer.concat(Array.from({ length: 100 }, () => foreign)), keys)
  assert.deepEqual([unopened, skipped], [32, 68])
})

test('a mebibyte of tags comes back as it is', () => {
  for (const byte of [0x22, 0x25]) {
    const input = Buffer.alloc(1024 * 1024, byte)
    assert.ok(scan(input, keys).value.equals(input))
  }
})
