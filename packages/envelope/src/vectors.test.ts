// Every file in vectors/envelope, both ways: valid bytes open, deterministic ones are made again exactly, what this package seals opens,
// and damaged bytes are refused with the code that the vector states.
import assert from 'node:assert/strict'
import { createHash, createSecretKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { agree, pointOf } from './ec-key.ts'
import {
  createBlockKey,
  EnvelopeError,
  exportPublicKey,
  importPrivateKey,
  importPublicKey,
  looksLikeContainer,
  openAcraBlock,
  openAcraStruct,
  openCell,
  openCellWithPassphrase,
  openContextImprint,
  openStored,
  openTokenProtect,
  parseSerialized,
  publicKeyOf,
  scan,
  sealAcraBlock,
  sealAcraStruct,
  sealCell,
  sealCellWithPassphrase,
  sealContextImprint,
  sealTokenProtect,
  searchHash,
  serialize,
  signMessage,
  unwrapMessage,
  verifyMessage,
  wrapMessage,
} from './index.ts'
import { derive, labelled } from './kdf.ts'

class Vector {
  readonly #row: Record<string, unknown>

  constructor(row: unknown) {
    assert.ok(typeof row === 'object' && row !== null)
    this.#row = { ...row }
  }

  has(name: string): boolean {
    return name in this.#row
  }

  text(name: string): string {
    const value = this.#row[name]
    assert.ok(typeof value === 'string', `vector has no text ${name}`)
    return value
  }

  number(name: string): number {
    const value = this.#row[name]
    assert.ok(typeof value === 'number', `vector has no number ${name}`)
    return value
  }

  bytes(name: string): Buffer {
    return fromHex(this.text(name))
  }

  list(name: string): Buffer[] {
    const value = this.#row[name]
    assert.ok(Array.isArray(value), `vector has no list ${name}`)
    return value.map(fromHex)
  }

  get valid(): boolean {
    return this.#row['valid'] === true
  }

  get lenient(): boolean {
    return this.#row['lenient'] === true
  }
}

function fromHex(text: unknown): Buffer {
  assert.ok(typeof text === 'string')
  const bytes = Buffer.from(text, 'hex')
  assert.equal(bytes.length * 2, text.length, 'not hexadecimal')
  return bytes
}

/** Runs `valid` on the good rows; on the others `open` has to throw the code that the row expects. */
function vectors(kind: string, open: (vector: Vector) => unknown, valid: (vector: Vector) => void): void {
  const file = new URL(`../../../vectors/envelope/${kind}.json`, import.meta.url)
  const rows: unknown = JSON.parse(readFileSync(file, 'utf8'))
  assert.ok(Array.isArray(rows) && rows.length > 0)
  for (const row of rows) {
    const vector = new Vector(row)
    test(`${vector.text('id')}: ${vector.text('comment')}`, () => {
      // Irregular bytes that the reference takes. A signed message is the one kind that we take too.
      if (vector.valid && !vector.has('expect')) return valid(vector)
      assert.ok(!vector.valid || vector.lenient)
      assert.throws(
        () => open(vector),
        error => error instanceof EnvelopeError && error.code === vector.text('expect') && error.cause === undefined,
      )
    })
  }
}

const keysOf = (vector: Vector) => ({
  blockKeys: vector.list('keys').map(kek => createBlockKey(kek)),
  privateKeys: vector.has('private_keys') ? vector.list('private_keys').map(importPrivateKey) : [],
})

vectors(
  'soter-kdf',
  () => assert.fail(),
  vector => {
    const parts = vector.list('context_parts')
    const key = createSecretKey(vector.bytes('key'))
    const output = derive(key, labelled(vector.text('label')), vector.number('length'), ...parts)
    assert.deepEqual(output, vector.bytes('output'))
    assert.equal(output.buffer.byteLength, 32, 'a derived key shares its memory with nothing')
  },
)

vectors(
  'ec-key-pair',
  () => assert.fail(),
  vector => {
    const privateKey = importPrivateKey(vector.bytes('private_key'))
    const publicKey = importPublicKey(vector.bytes('public_key'))
    assert.equal(privateKey.curve, vector.text('curve'))
    assert.equal(publicKey.curve, vector.text('curve'))
    const point = vector.bytes('public_point')
    const size = (point.length - 1) / 2
    const compressed = Buffer.concat([Buffer.of(2 + ((point.at(-1) ?? 0) & 1)), point.subarray(1, 1 + size)])
    assert.deepEqual(pointOf(publicKey), compressed)
    assert.deepEqual(pointOf(publicKeyOf(privateKey)), compressed)
    assert.deepEqual(exportPublicKey(publicKeyOf(privateKey)), exportPublicKey(publicKey))
    if (vector.bytes('public_key').length === 13 + size) {
      assert.deepEqual(exportPublicKey(publicKey), vector.bytes('public_key'))
    }
    assert.deepEqual(verifyMessage(publicKey, signMessage(privateKey, Buffer.from('m'))), Buffer.from('m'))
  },
)
vectors(
  'ec-public-key',
  vector => importPublicKey(vector.bytes('public_key')),
  () => assert.fail(),
)
vectors(
  'ec-private-key',
  vector => importPrivateKey(vector.bytes('private_key')),
  () => assert.fail(),
)

const openCellOf = (vector: Vector) => openCell(vector.bytes('key'), vector.bytes('cell'), vector.bytes('context'))
vectors('secure-cell-seal', openCellOf, vector => {
  const plaintext = openCellOf(vector)
  if (vector.has('plaintext')) assert.deepEqual(plaintext, vector.bytes('plaintext'))
  else {
    assert.equal(plaintext.length, vector.number('plaintext_length'))
    assert.deepEqual(createHash('sha256').update(plaintext).digest(), vector.bytes('plaintext_sha256'))
  }
  const key = createSecretKey(vector.bytes('key'))
  assert.deepEqual(openCell(key, vector.bytes('cell'), vector.bytes('context')), plaintext)
  const context = vector.bytes('context')
  const cell = sealCell(key, plaintext, context.length === 0 ? undefined : context)
  assert.equal(cell.length, vector.bytes('cell').length)
  assert.deepEqual(openCell(vector.bytes('key'), cell, context), plaintext)
})

const openPassphrase = (vector: Vector) =>
  openCellWithPassphrase(vector.text('passphrase'), vector.bytes('cell'), vector.bytes('context'))
vectors('secure-cell-seal-passphrase', openPassphrase, vector => {
  const plaintext = openPassphrase(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  const asBytes = Buffer.from(vector.text('passphrase'), 'utf8')
  const cell = sealCellWithPassphrase(asBytes, plaintext, vector.bytes('context'))
  assert.equal(cell.length, plaintext.length + 70)
  assert.deepEqual(openCellWithPassphrase(vector.text('passphrase'), cell, vector.bytes('context')), plaintext)
})

const openToken = (vector: Vector) =>
  openTokenProtect(vector.bytes('key'), vector.bytes('token'), vector.bytes('data'), vector.bytes('context'))
vectors('secure-cell-token-protect', openToken, vector => {
  const plaintext = openToken(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  const { token, data } = sealTokenProtect(vector.bytes('key'), plaintext, vector.bytes('context'))
  assert.equal(data.length, plaintext.length)
  assert.deepEqual(openTokenProtect(vector.bytes('key'), token, data, vector.bytes('context')), plaintext)
})

vectors(
  'secure-cell-context-imprint',
  () => assert.fail(),
  vector => {
    const [key, context] = [vector.bytes('key'), vector.bytes('context')]
    assert.deepEqual(openContextImprint(key, vector.bytes('data'), context), vector.bytes('plaintext'))
    assert.deepEqual(sealContextImprint(key, vector.bytes('plaintext'), context), vector.bytes('data'))
  },
)

const unwrap = (vector: Vector) =>
  unwrapMessage(
    importPrivateKey(vector.bytes('recipient_private_key')),
    importPublicKey(vector.bytes('sender_public_key')),
    vector.bytes('message'),
  )
vectors('secure-message', unwrap, vector => {
  const plaintext = unwrap(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  const senderPrivate = importPrivateKey(vector.bytes('sender_private_key'))
  const senderPublic = importPublicKey(vector.bytes('sender_public_key'))
  const recipientPrivate = importPrivateKey(vector.bytes('recipient_private_key'))
  const recipientPublic = importPublicKey(vector.bytes('recipient_public_key'))
  if (vector.has('shared_secret')) {
    assert.deepEqual(agree(senderPrivate, pointOf(recipientPublic)), vector.bytes('shared_secret'))
  }
  const wrapped = wrapMessage(senderPrivate, recipientPublic, plaintext)
  assert.equal(wrapped.length, plaintext.length + 52)
  assert.deepEqual(unwrapMessage(recipientPrivate, senderPublic, wrapped), plaintext)
  assert.deepEqual(unwrapMessage(senderPrivate, recipientPublic, wrapped), plaintext)
})

const verify = (vector: Vector) => verifyMessage(importPublicKey(vector.bytes('public_key')), vector.bytes('message'))
vectors('secure-message-signed', verify, vector => {
  const message = verify(vector)
  assert.deepEqual(message, vector.bytes('plaintext'))
  const signed = signMessage(importPrivateKey(vector.bytes('private_key')), message)
  assert.deepEqual(verifyMessage(importPublicKey(vector.bytes('public_key')), signed), message)
})

const openStruct = (vector: Vector) =>
  openAcraStruct(vector.list('private_keys').map(importPrivateKey), vector.bytes('container'), vector.bytes('context'))
vectors('acra-struct', openStruct, vector => {
  const plaintext = openStruct(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  const publicKey = importPublicKey(vector.bytes('public_key'))
  const container = sealAcraStruct(publicKey, plaintext, vector.bytes('context'))
  assert.equal(container.length, plaintext.length + 189)
  const privateKeys = vector.list('private_keys').map(importPrivateKey)
  assert.deepEqual(openAcraStruct(privateKeys, container, vector.bytes('context')), plaintext)
})

const openBlock = (vector: Vector) => {
  const keys = vector.list('keys').map(kek => createBlockKey(kek, vector.bytes('context')))
  return openAcraBlock(keys, vector.bytes('container'))
}
vectors('acra-block', openBlock, vector => {
  const { plaintext, consumed } = openBlock(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  assert.equal(consumed, vector.number('consumed'))
  const key = vector
    .list('keys')
    .map(kek => createBlockKey(kek, vector.bytes('context')))
    .at(-1)
  assert.ok(key)
  const container = sealAcraBlock(key, plaintext)
  assert.equal(container.length, plaintext.length + 138)
  assert.deepEqual(container.subarray(13, 15), vector.bytes('key_id'))
  assert.deepEqual(openAcraBlock([key], container), { plaintext, consumed: container.length })
})

vectors(
  'crypto-envelope',
  vector => openStored(vector.bytes('container'), keysOf(vector)),
  vector => {
    assert.deepEqual(openStored(vector.bytes('container'), keysOf(vector)), vector.bytes('plaintext'))
    const { kind, container } = parseSerialized(vector.bytes('container'))
    assert.equal(kind, vector.text('envelope_id') === 'f0' ? 'acrablock' : 'acrastruct')
    assert.deepEqual(container, vector.bytes('inner'))
    assert.deepEqual(serialize(kind, vector.bytes('inner')), vector.bytes('container'))
    assert.deepEqual(openStored(container, keysOf(vector)), vector.bytes('plaintext'))
    assert.ok(looksLikeContainer(vector.bytes('container')) && looksLikeContainer(container))
  },
)

vectors(
  'search-hash',
  () => assert.fail(),
  vector =>
    assert.deepEqual(searchHash(createSecretKey(vector.bytes('key')), vector.bytes('plaintext')), vector.bytes('hash')),
)

const openSearchable = (vector: Vector) =>
  openStored(vector.bytes('value'), { ...keysOf(vector), search: createSecretKey(vector.bytes('hmac_key')) })
vectors('searchable-value', openSearchable, vector => {
  const plaintext = openSearchable(vector)
  assert.deepEqual(plaintext, vector.bytes('plaintext'))
  const hash = searchHash(createSecretKey(vector.bytes('hmac_key')), plaintext)
  assert.deepEqual(hash, vector.bytes('value').subarray(0, 33))
})

vectors(
  'keystore-v1-file',
  () => assert.fail(),
  vector => {
    const master = createSecretKey(vector.bytes('master_key'))
    const content = openCell(master, vector.bytes('file'), vector.bytes('context'))
    assert.deepEqual(content, vector.bytes('content'))
    assert.deepEqual(
      vector.bytes('context'),
      Buffer.from(vector.text('file_name').replace(/_(storage|storage_sym|hmac)$/, '')),
    )
    const file = sealCell(master, content, vector.bytes('context'))
    assert.deepEqual(openCell(vector.bytes('master_key'), file, vector.bytes('context')), content)
  },
)

vectors(
  'scan',
  () => assert.fail(),
  vector => assert.deepEqual(scan(vector.bytes('input'), keysOf(vector)).value, vector.bytes('output')),
)
