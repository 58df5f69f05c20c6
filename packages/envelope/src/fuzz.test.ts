// Hostile bytes at every reader: cut, flipped, with boundary lengths, random. Each ends in a typed error or in the very plaintext that was
// sealed, never in a crash, a hang or another plaintext.
import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import { withSeed } from '../testing/seeded.ts'
import {
  createBlockKey,
  EnvelopeError,
  generateKeyPair,
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
  scan,
  sealAcraBlock,
  sealAcraStruct,
  sealCell,
  searchHash,
  serialize,
  signMessage,
  unwrapMessage,
  verifyMessage,
  wrapMessage,
} from './index.ts'
import { sealWithIterations } from './passphrase-cell.ts'

interface Format {
  readonly name: string
  readonly sealed: Buffer
  readonly open: (bytes: Uint8Array) => Uint8Array
  /** Bytes after it do not disturb it. */
  readonly trailing: boolean
  /** Where a shorter form of the same begins, which opens as well. */
  readonly inner: readonly number[]
  /** Offset and size of every length, type and identifier. */
  readonly fields: readonly (readonly [offset: number, size: 1 | 2 | 4 | 8])[]
}

const plaintext = Buffer.from('Ada Lovelace, 12 St James Square')
const context = Buffer.from('zone')
const cellKey = createSecretKey(Buffer.alloc(32, 7))
const search = createSecretKey(Buffer.alloc(32, 8))
const blockKey = createBlockKey(Buffer.alloc(32, 9))
const pair = generateKeyPair()
const privateKey = importPrivateKey(pair.privateKey)
const publicKey = importPublicKey(pair.publicKey)
const other = generateKeyPair()
const otherPublic = importPublicKey(other.publicKey)
const keys = { blockKeys: [blockKey], privateKeys: [privateKey], search }

const block = sealAcraBlock(blockKey, plaintext)
const struct = sealAcraStruct(publicKey, plaintext)
const searchable = Buffer.concat([searchHash(search, plaintext), serialize('acrablock', block)])

const cellFields = (at: number) => [0, 4, 8, 12].map(offset => [at + offset, 4] as const)
const blockFields = (at: number) =>
  [
    [at + 4, 8],
    [at + 12, 1],
    [at + 13, 2],
    [at + 15, 1],
    [at + 16, 2],
    ...cellFields(at + 18),
    ...cellFields(at + 94),
  ] as const
const structFields = (at: number) =>
  [
    [at + 12, 4],
    [at + 16, 4],
    [at + 53, 4],
    [at + 57, 4],
    [at + 137, 8],
    ...cellFields(at + 61),
    ...cellFields(at + 145),
  ] as const

const formats: readonly Format[] = [
  {
    name: 'Secure Cell',
    sealed: sealCell(cellKey, plaintext, context),
    open: bytes => openCell(cellKey, bytes, context),
    trailing: false,
    inner: [],
    fields: cellFields(0),
  },
  {
    name: 'Token Protect',
    sealed: sealCell(cellKey, plaintext),
    open: bytes => openTokenProtect(cellKey, bytes.subarray(0, 44), bytes.subarray(44)),
    trailing: false,
    inner: [],
    fields: cellFields(0),
  },
  {
    name: 'passphrase cell',
    // With 1000 iterations: the usual 314110 are too slow for a thousand readings.
    sealed: sealWithIterations('secret', plaintext, context, 1000),
    open: bytes => openCellWithPassphrase('secret', bytes, context),
    trailing: false,
    inner: [],
    fields: [...cellFields(0), [16, 4], [48, 4], [52, 2]],
  },
  {
    name: 'encrypted message',
    sealed: wrapMessage(privateKey, otherPublic, plaintext),
    open: bytes => unwrapMessage(privateKey, otherPublic, bytes),
    trailing: false,
    inner: [],
    fields: [[0, 4], [4, 4], ...cellFields(8)],
  },
  {
    name: 'signed message',
    sealed: signMessage(privateKey, plaintext),
    open: bytes => verifyMessage(publicKey, bytes),
    trailing: true,
    inner: [],
    fields: [
      [0, 4],
      [4, 4],
      [8, 4],
    ],
  },
  {
    name: 'AcraStruct',
    sealed: struct,
    open: bytes => openAcraStruct([privateKey], bytes),
    trailing: false,
    inner: [],
    fields: structFields(0),
  },
  {
    name: 'AcraBlock',
    sealed: block,
    open: bytes => openAcraBlock([blockKey], bytes).plaintext,
    trailing: true,
    inner: [],
    fields: blockFields(0),
  },
  {
    name: 'stored AcraStruct',
    sealed: serialize('acrastruct', struct),
    open: bytes => openStored(bytes, keys),
    trailing: false,
    inner: [12],
    fields: [[3, 8], [11, 1], ...structFields(12)],
  },
  {
    name: 'stored AcraBlock with search hash',
    sealed: searchable,
    open: bytes => openStored(bytes, keys),
    trailing: false,
    inner: [33, 45],
    fields: [[0, 1], [36, 8], [44, 1], ...blockFields(45)],
  },
]

const isTyped = (error: unknown): boolean => error instanceof EnvelopeError && error.cause === undefined

for (const { name, sealed, open, trailing, inner, fields } of formats) {
  test(`${name}: cut anywhere it is refused`, () => {
    for (let length = 0; length < sealed.length; length++)
      assert.throws(() => open(sealed.subarray(0, length)), isTyped)
    for (let start = 1; start < sealed.length; start++) {
      if (inner.includes(start)) assert.deepEqual(open(sealed.subarray(start)), plaintext)
      else assert.throws(() => open(sealed.subarray(start)), isTyped)
    }
  })

  test(`${name}: with any bit flipped it is refused`, () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      // High bits of the iteration count cost seconds below the cap, and are a test of their own.
      if (name === 'passphrase cell' && bit >= 48 * 8 + 16 && bit < 48 * 8 + 21) continue
      const flipped = Buffer.from(sealed)
      flipped[bit >> 3] = (sealed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => open(flipped), isTyped, `bit ${bit}`)
    }
  })

  test(`${name}: with a boundary value in any field it is refused`, () => {
    for (const [offset, size] of fields) {
      for (const changed of withBoundaryValues(sealed, offset, size)) {
        assert.throws(
          () => open(changed),
          isTyped,
          `offset ${offset}: ${changed.toString('hex', offset, offset + size)}`,
        )
      }
    }
  })

  test(`${name}: bytes after it`, () => {
    for (const extra of [1, 2, 8, 100]) {
      const longer = Buffer.concat([sealed, Buffer.alloc(extra, 0x22)])
      if (trailing) assert.deepEqual(open(longer), plaintext)
      else assert.throws(() => open(longer), isTyped)
    }
  })

  test(`${name}: random bytes, with and without its beginning`, () => {
    withSeed(random => {
      for (let round = 0; round < 300; round++) {
        const noise = random.bytes(random.integer(0, 400))
        assert.throws(() => open(noise), isTyped)
        const kept = sealed.subarray(0, random.integer(0, sealed.length - 1))
        const mended = Buffer.concat([kept, noise])
        // By chance the noise may begin with the very bytes that were cut off.
        const whole = mended.subarray(0, sealed.length).equals(sealed) && (trailing || mended.length === sealed.length)
        if (whole) assert.deepEqual(open(mended), plaintext)
        else assert.throws(() => open(mended), isTyped)
      }
    })
  })
}

function withBoundaryValues(sealed: Buffer, offset: number, size: 1 | 2 | 4 | 8): Buffer[] {
  const top = 1n << BigInt(size * 8)
  const now = size === 8 ? sealed.readBigUInt64LE(offset) : BigInt(sealed.readUIntLE(offset, size))
  const around = [0n, now, 1n << 31n, 1n << 32n, 1n << 53n, 1n << 63n, top].flatMap(near =>
    [-189n, -145n, -138n, -44n, -12n, -4n, -1n, 0n, 1n, 4n, 12n, 44n, 145n].map(delta => near + delta),
  )
  const values = new Set(around.filter(value => value >= 0n && value < top && value !== now))
  return [...values].map(value => {
    const changed = Buffer.from(sealed)
    for (let at = 0; at < size; at++) changed[offset + at] = Number((value >> BigInt(8 * at)) & 0xffn)
    return changed
  })
}

test('Context Imprint gives something for any bytes but none', () => {
  withSeed(random => {
    for (let round = 0; round < 100; round++) {
      const data = random.bytes(random.integer(1, 400))
      assert.equal(openContextImprint(cellKey, data, context).length, data.length)
    }
  })
  assert.throws(() => openContextImprint(cellKey, Buffer.alloc(0), context), isTyped)
})

test('key containers: cut, flipped, with boundary values or random they are refused', () => {
  for (const [container, read] of [
    [pair.privateKey, importPrivateKey],
    [pair.publicKey, importPublicKey],
  ] as const) {
    for (let length = 0; length < container.length; length++) {
      assert.throws(() => read(container.subarray(0, length)), isTyped)
    }
    // CRC-32C finds every single flipped bit.
    for (let bit = 0; bit < container.length * 8; bit++) {
      const flipped = Buffer.from(container)
      flipped[bit >> 3] = (container[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => read(flipped), isTyped)
    }
    for (const changed of withBoundaryValues(container, 4, 4)) assert.throws(() => read(changed), isTyped)
    withSeed(random => {
      for (let round = 0; round < 300; round++) assert.throws(() => read(random.bytes(random.integer(0, 200))), isTyped)
    })
  }
})

test('looking at hostile bytes never throws, and only whole containers look like one', () => {
  assert.ok(looksLikeContainer(searchable) && looksLikeContainer(block) && looksLikeContainer(struct))
  for (const whole of [searchable, block, struct]) {
    for (let length = 0; length < whole.length; length++)
      assert.equal(looksLikeContainer(whole.subarray(0, length)), false)
  }
  withSeed(random => {
    for (let round = 0; round < 2000; round++) {
      const start = random.pick([Buffer.alloc(0), Buffer.alloc(8, 0x22), Buffer.from('%%%'), Buffer.of(0x7f)])
      const noise = Buffer.concat([start, random.bytes(random.integer(0, 300))])
      assert.equal(looksLikeContainer(noise), false)
      assert.throws(() => parseSerialized(Buffer.concat([noise, Buffer.of(0)])), isTyped)
    }
  })
})

test('scanning text, tags, pieces and whole containers in any mixture opens the whole ones and keeps every other byte', () => {
  withSeed(random => {
    const values = [serialize('acrablock', block), serialize('acrastruct', struct)]
    for (let round = 0; round < 300; round++) {
      const input: Buffer[] = []
      const output: Buffer[] = []
      for (let part = random.integer(1, 6); part > 0; part--) {
        const whole = random.integer(0, 1) === 0
        // A cut container could be completed by what follows it, so it is followed by a byte of its own.
        const piece = whole
          ? random.pick(values)
          : random.pick([
              Buffer.from('a "quoted" text, 100 %'),
              Buffer.alloc(random.integer(1, 40), random.pick([0x22, 0x25])),
              Buffer.concat([random.pick(values).subarray(0, random.integer(1, 150)), Buffer.of(0x21)]),
              random.bytes(random.integer(1, 60)),
            ])
        input.push(piece)
        output.push(whole ? plaintext : piece)
      }
      const result = scan(Buffer.concat(input), keys)
      assert.ok(Buffer.concat(output).equals(result.value), `round ${round}`)
    }
  })
})

test('scanning a container with any bit flipped gives it back as it is', () => {
  for (const bare of [block, serialize('acrablock', block)]) {
    for (let bit = 0; bit < bare.length * 8; bit++) {
      const flipped = Buffer.from(bare)
      flipped[bit >> 3] = (bare[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const { value, opened } = scan(flipped, keys)
      // Without its serialized form a container is found as a bare one.
      if (opened === 0) assert.ok(value.equals(flipped))
      else assert.ok(bare !== block && value.equals(Buffer.concat([flipped.subarray(0, 12), plaintext])))
    }
  }
})
