// Sealing and opening per second of processor time, beside what OpenSSL does bare, what node:crypto does bare, and Themis as WebAssembly.
//   node bench/envelope.ts [--json]
// All contestants run in turn in every round, and each figure is the median of its rounds, so a busy machine slows all of them alike:
// trust the ratios. About 40 seconds.
import { spawnSync } from 'node:child_process'
import { createCipheriv, createDecipheriv, createECDH, createSecretKey, randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { KeyPair, PrivateKey, PublicKey, SecureCellSeal, SecureMessage } from 'wasm-themis'
import {
  createBlockKey,
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  openAcraBlock,
  openAcraStruct,
  sealAcraBlock,
  sealAcraStruct,
} from '../packages/envelope/src/index.ts'
import { loadThemis } from '../packages/envelope/testing/themis.ts'

const sizes = [16, 256, 4096, 65536] as const
const dekSize = 32
const rounds = 9
const slotMs = 40

interface Contestant {
  readonly name: string
  readonly run: () => unknown
  readonly perSecond: number[]
}

function contestant(name: string, run: () => unknown): Contestant {
  return { name, run, perSecond: [] }
}

/** What one AcraBlock or AcraStruct costs in Themis: two cells, and for an AcraStruct an agreement of keys. */
function themisContestants(size: number): Contestant[] {
  const value = randomBytes(size)
  const kek = randomBytes(32)
  const recipient = new KeyPair()
  const sealBlock = (): [Uint8Array, Uint8Array] => {
    const dek = randomBytes(dekSize)
    return [SecureCellSeal.withKey(kek).encrypt(dek), SecureCellSeal.withKey(dek).encrypt(value)]
  }
  const sealStruct = (): [Uint8Array, Uint8Array, Uint8Array] => {
    const dek = randomBytes(dekSize)
    const throwaway = new KeyPair()
    const wrapped = new SecureMessage(pairOf(throwaway.privateKey, recipient.publicKey)).encrypt(dek)
    return [throwaway.publicKey, wrapped, SecureCellSeal.withKey(dek).encrypt(value)]
  }
  const [wrappedDek, blockData] = sealBlock()
  const [throwaway, message, structData] = sealStruct()
  return [
    contestant(`themis acrablock seal ${size}`, sealBlock),
    contestant(`themis acrablock open ${size}`, () =>
      SecureCellSeal.withKey(SecureCellSeal.withKey(kek).decrypt(wrappedDek)).decrypt(blockData),
    ),
    contestant(`themis acrastruct seal ${size}`, sealStruct),
    contestant(`themis acrastruct open ${size}`, () => {
      const dek = new SecureMessage(pairOf(recipient.privateKey, throwaway)).decrypt(message)
      return SecureCellSeal.withKey(dek).decrypt(structData)
    }),
  ]
}

function pairOf(privateKey: Uint8Array, publicKey: Uint8Array): KeyPair {
  return new KeyPair(new PrivateKey(privateKey), new PublicKey(publicKey))
}

function bawnContestants(size: number): Contestant[] {
  const value = randomBytes(size)
  const blockKey = createBlockKey(randomBytes(32))
  const pair = generateKeyPair()
  const privateKeys = [importPrivateKey(pair.privateKey)]
  const publicKey = importPublicKey(pair.publicKey)
  const block = sealAcraBlock(blockKey, value)
  const struct = sealAcraStruct(publicKey, value)
  return [
    contestant(`bawn acrablock seal ${size}`, () => sealAcraBlock(blockKey, value)),
    contestant(`bawn acrablock open ${size}`, () => openAcraBlock([blockKey], block)),
    contestant(`bawn acrastruct seal ${size}`, () => sealAcraStruct(publicKey, value)),
    contestant(`bawn acrastruct open ${size}`, () => openAcraStruct(privateKeys, struct)),
  ]
}

/** One AES-256-GCM call through node:crypto with the key ready. */
function gcmContestants(size: number): Contestant[] {
  const key = createSecretKey(randomBytes(32))
  const iv = randomBytes(12)
  const value = randomBytes(size)
  const options = { authTagLength: 16 }
  const seal = (): [Buffer, Buffer] => {
    const cipher = createCipheriv('aes-256-gcm', key, iv, options)
    const ciphertext = cipher.update(value)
    cipher.final()
    return [ciphertext, cipher.getAuthTag()]
  }
  const [ciphertext, tag] = seal()
  return [
    contestant(`node gcm seal ${size}`, seal),
    contestant(`node gcm open ${size}`, () => {
      const decipher = createDecipheriv('aes-256-gcm', key, iv, options)
      decipher.setAuthTag(tag)
      const plaintext = decipher.update(ciphertext)
      decipher.final()
      return plaintext
    }),
  ]
}

function ecdhContestant(): Contestant {
  const [ours, theirs] = [createECDH('prime256v1'), createECDH('prime256v1')]
  ours.generateKeys()
  theirs.generateKeys()
  const point = theirs.getPublicKey(null, 'compressed')
  return contestant('node ecdh', () => ours.computeSecret(point))
}

setFlagsFromString('--expose-gc')
const collectGarbage: unknown = runInNewContext('gc')

/** Runs for one slot of processor time. Garbage of the one before is not this one's to collect. */
function slot({ run, perSecond }: Contestant): void {
  if (typeof collectGarbage === 'function') collectGarbage()
  const start = process.cpuUsage()
  let done = 0
  let spent = 0
  for (let batch = 1; spent < slotMs * 1000; batch = Math.min(batch * 2, 64)) {
    for (let at = 0; at < batch; at++) run()
    done += batch
    const used = process.cpuUsage(start)
    spent = used.user + used.system
  }
  perSecond.push((done * 1e6) / spent)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

/** `openssl speed` reports by processor time too. @returns operations a second, `undefined` where there is no openssl */
function opensslSpeed(args: readonly string[], parse: (fields: readonly string[]) => number): number | undefined {
  const { stdout, status } = spawnSync('openssl', ['speed', '-mr', '-seconds', '1', ...args], { encoding: 'utf8' })
  const line = status === 0 ? stdout.split('\n').find(text => /^\+F\d*:/.test(text)) : undefined
  return line === undefined ? undefined : parse(line.split(':'))
}

const opensslGcm = (size: number): number | undefined =>
  opensslSpeed(['-bytes', String(size), '-evp', 'aes-256-gcm'], fields => Number(fields[3]) / size)
const opensslEcdh = (): number | undefined => opensslSpeed(['ecdhp256'], fields => Number(fields[3]))

interface Row {
  readonly container: 'acrablock' | 'acrastruct'
  readonly operation: 'seal' | 'open'
  readonly bytes: number
  readonly bawn: number
  /** The same calls through node:crypto alone: two of AES-GCM, and for an AcraStruct one ECDH. */
  readonly node: number
  /** The same in OpenSSL itself. */
  readonly openssl: number | undefined
  readonly themisWasm: number
}

/** Operations a second when each of these is done once per operation. */
function together(...rates: readonly (number | undefined)[]): number | undefined {
  let seconds = 0
  for (const rate of rates) {
    if (rate === undefined) return undefined
    seconds += 1 / rate
  }
  return 1 / seconds
}

function measure(): { readonly rows: readonly Row[]; readonly bare: Readonly<Record<string, number | undefined>> } {
  const contestants = [
    ecdhContestant(),
    ...[dekSize, ...sizes].flatMap(gcmContestants),
    ...sizes.flatMap(size => [...bawnContestants(size), ...themisContestants(size)]),
  ]
  for (const one of contestants) for (let at = 0; at < 30; at++) one.run()
  for (let round = 0; round < rounds; round++) for (const one of contestants) slot(one)
  const rates = new Map(contestants.map(one => [one.name, median(one.perSecond)]))
  const rate = (name: string): number => rates.get(name) ?? Number.NaN

  const bare: Record<string, number | undefined> = {
    'openssl ecdh p-256': opensslEcdh(),
    'node ecdh p-256': rate('node ecdh'),
  }
  for (const size of [dekSize, ...sizes]) {
    bare[`openssl aes-256-gcm ${size}`] = opensslGcm(size)
    bare[`node aes-256-gcm open ${size}`] = rate(`node gcm open ${size}`)
  }
  const rows = sizes.flatMap(bytes =>
    (['acrablock', 'acrastruct'] as const).flatMap(container =>
      (['seal', 'open'] as const).map((operation): Row => {
        const struct = container === 'acrastruct'
        const name = `${container} ${operation} ${bytes}`
        const gcm = [`node gcm ${operation} ${dekSize}`, `node gcm ${operation} ${bytes}`].map(rate)
        const raw = [bare[`openssl aes-256-gcm ${dekSize}`], bare[`openssl aes-256-gcm ${bytes}`]]
        return {
          container,
          operation,
          bytes,
          bawn: rate(`bawn ${name}`),
          node: together(...gcm, ...(struct ? [rate('node ecdh')] : [])) ?? Number.NaN,
          openssl: together(...raw, ...(struct ? [bare['openssl ecdh p-256']] : [])),
          themisWasm: rate(`themis ${name}`),
        }
      }),
    ),
  )
  return { rows, bare }
}

const whole = (value: number | undefined): string =>
  value === undefined ? '–' : Math.round(value).toLocaleString('en')
const ratio = (value: number, to: number | undefined): string => (to === undefined ? '–' : (value / to).toFixed(2))

function print(table: readonly (readonly string[])[]): void {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map(row => (row[column] ?? '').length)))
  for (const row of table) {
    console.log(
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
  }
}

await loadThemis()
const { rows, bare } = measure()
const conditions = {
  node: process.version,
  openssl: process.versions.openssl,
  processor: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  rounds,
  unit: 'operations per second of processor time, one thread',
}
if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ conditions, rows, bare }, undefined, 2))
} else {
  console.log(
    `Node ${conditions.node} with OpenSSL ${conditions.openssl}, ${conditions.processor}, ${conditions.cores} cores`,
  )
  console.log(`${conditions.unit}, median of ${rounds} rounds\n`)
  print([
    [
      'container',
      'operation',
      'bytes',
      'bawn',
      'node bare',
      'openssl bare',
      'themis wasm',
      'x node',
      'x openssl',
      'x themis',
    ],
    ...rows.map(row => [
      row.container,
      row.operation,
      String(row.bytes),
      whole(row.bawn),
      whole(row.node),
      whole(row.openssl),
      whole(row.themisWasm),
      ratio(row.bawn, row.node),
      ratio(row.bawn, row.openssl),
      ratio(row.bawn, row.themisWasm),
    ]),
  ])
  console.log(
    '\nBare is the arithmetic alone: two AES-256-GCM calls (32 bytes and the value) and for an AcraStruct one ECDH P-256;',
  )
  console.log('no key derivation, no throwaway key pair, no framing.\n')
  print([['bare', '', 'per second'], ...Object.entries(bare).map(([name, value]) => [name, '', whole(value)])])
}
