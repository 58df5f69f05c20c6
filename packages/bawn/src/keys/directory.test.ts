import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import {
  exportPublicKey,
  importPrivateKey,
  importPublicKey,
  openStored,
  sealAcraBlock,
  sealAcraStruct,
  serialize,
} from '@bawn/envelope'
import { openDirectoryKeystore } from './directory.ts'
import { generateAuditKey, generateKeys } from './generate.ts'
import { listKeys, publicKeyText } from './list.ts'
import { generateMasterKey, parseMasterKey } from './master-key.ts'
import { openKeyFile } from './sealed-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-keys-'))
after(() => rmSync(folder, { recursive: true }))

let made = 0
const fresh = () => join(folder, `${made++}`)
const masterKey = randomBytes(32)
const at = (ms: number) => () => Date.UTC(2026, 0, 2, 3, 4, 5) + ms

test('generated keys open, and are for one user only', () => {
  const path = fresh()
  assert.deepEqual(generateKeys({ path, masterKey, clientId: 'shop1' }), [
    { keyId: 'client/shop1/storage', rotated: false },
    { keyId: 'client/shop1/symmetric', rotated: false },
    { keyId: 'client/shop1/searchable', rotated: false },
  ])
  assert.deepEqual(generateAuditKey({ path, masterKey }), { keyId: 'audit-log', rotated: false })
  assert.deepEqual(readdirSync(path).sort(), [
    'secure_log_key',
    'shop1_hmac',
    'shop1_storage',
    'shop1_storage.pub',
    'shop1_storage_sym',
  ])
  assert.equal(readFileSync(join(path, 'shop1_storage')).length, 89)
  assert.equal(readFileSync(join(path, 'shop1_storage_sym')).length, 76)
  const keystore = openDirectoryKeystore({ path, masterKey })
  const keys = keystore.client('shop1')
  assert.equal(keys.symmetric.length, 1)
  assert.equal(keys.storage.length, 1)
  assert.equal(keys.search?.symmetricKeySize, 32)
  assert.equal(keystore.audit().symmetricKeySize, 32)
  assert.equal(keystore.client('shop1'), keys)
  const text = publicKeyText({ path, clientId: 'shop1' })
  const container = sealAcraStruct(importPublicKey(Buffer.from(text, 'base64')), Buffer.from('from an app'))
  assert.equal(openStored(container, { blockKeys: [], privateKeys: keys.storage }).toString(), 'from an app')
  assert.ok(keys.storagePublic)
  const own = sealAcraStruct(keys.storagePublic, Buffer.from('own'))
  assert.equal(openStored(own, { blockKeys: [], privateKeys: keys.storage }).toString(), 'own')
})

test('rotated keys still open what they sealed, and the newest is tried first', () => {
  const path = fresh()
  const sealed: Buffer[] = []
  for (let round = 0; round < 4; round++) {
    // The same millisecond twice: a name that is taken is not written over.
    generateKeys({ path, masterKey, clientId: 'shop1', clock: at(round < 2 ? 0 : round) })
    const { symmetric, storagePublic } = openDirectoryKeystore({ path, masterKey }).client('shop1')
    const [block] = symmetric
    assert.ok(block && storagePublic)
    sealed.push(serialize('acrablock', sealAcraBlock(block, Buffer.from(`${round}`))))
    sealed.push(serialize('acrastruct', sealAcraStruct(storagePublic, Buffer.from(`${round}`))))
  }
  const keys = openDirectoryKeystore({ path, masterKey }).client('shop1')
  assert.equal(keys.symmetric.length, 4)
  assert.equal(keys.storage.length, 4)
  for (const [i, value] of sealed.entries()) {
    const plaintext = openStored(value, { blockKeys: keys.symmetric, privateKeys: keys.storage })
    assert.equal(plaintext.toString(), `${Math.floor(i / 2)}`)
  }
  const [current] = keys.symmetric
  assert.ok(current)
  assert.throws(() => openStored(sealed[4] ?? Buffer.alloc(0), { blockKeys: [current], privateKeys: [] }))
  assert.deepEqual(readdirSync(join(path, 'shop1_hmac.old')).sort(), [
    '2026-01-02T03:04:05',
    '2026-01-02T03:04:05.002',
    '2026-01-02T03:04:05.003',
  ])
})

test('an earlier name in the same millisecond is kept', () => {
  const path = fresh()
  for (let round = 0; round < 3; round++)
    generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['search'], clock: at(120) })
  assert.deepEqual(readdirSync(join(path, 'shop1_hmac.old')).sort(), [
    '2026-01-02T03:04:05.12',
    '2026-01-02T03:04:05.120000001',
  ])
})

test('the list has every key, current ones first', () => {
  const path = fresh()
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['storage'] })
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['storage'] })
  generateKeys({ path, masterKey, clientId: 'a b-c_storage', kinds: ['symmetric'] })
  generateAuditKey({ path, masterKey })
  writeFileSync(join(path, 'shop1_storage.tmp-00'), 'left by a kill', { mode: 0o600 })
  writeFileSync(join(path, 'README'), 'not a key')
  // Killed between keeping a key and replacing it.
  mkdirSync(join(path, 'secure_log_key.old'), { mode: 0o700 })
  writeFileSync(join(path, 'secure_log_key.old', '2026-01-01T00:00:00'), readFileSync(join(path, 'secure_log_key')), {
    mode: 0o600,
  })
  const listed = listKeys({ path })
  assert.deepEqual(
    listed.map(key => [key.keyId, key.clientId, key.state, key.index]),
    [
      ['audit-log', undefined, 'current', 0],
      ['client/a b-c_storage/symmetric', 'a b-c_storage', 'current', 0],
      ['client/shop1/storage', 'shop1', 'current', 0],
      ['client/shop1/storage', 'shop1', 'rotated', 1],
    ],
  )
  assert.ok(listed.every(key => Math.abs(key.createdAt - Date.now()) < 3_600_000))
})

test('the audit key is not replaced', () => {
  const path = fresh()
  generateAuditKey({ path, masterKey })
  assert.throws(() => generateAuditKey({ path, masterKey }), { code: 'keys.exists' })
})

test('a client id without keys is not found, and found once it has some', () => {
  const path = fresh()
  generateAuditKey({ path, masterKey })
  const keystore = openDirectoryKeystore({ path, masterKey })
  assert.throws(() => keystore.client('shop1'), { code: 'keys.not_found' })
  assert.throws(() => publicKeyText({ path, clientId: 'shop1' }), { code: 'keys.not_found' })
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['symmetric'] })
  const keys = keystore.client('shop1')
  assert.deepEqual(
    [keys.symmetric.length, keys.storage.length, keys.search, keys.storagePublic],
    [1, 0, undefined, undefined],
  )
})

test('no audit key', () => {
  const path = fresh()
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['symmetric'] })
  assert.throws(() => openDirectoryKeystore({ path, masterKey }).audit(), { code: 'keys.not_found' })
})

for (const clientId of [
  '../shop',
  'a/b/c',
  'shop1\0',
  'four',
  'x'.repeat(257),
  '.....',
  'shöp1',
  'shop1\n',
  '__proto__/x',
]) {
  test(`client id ${JSON.stringify(clientId).slice(0, 20)} is refused before any file is touched`, () => {
    const path = fresh()
    generateAuditKey({ path, masterKey })
    const keystore = openDirectoryKeystore({ path, masterKey })
    assert.throws(() => keystore.client(clientId), { code: 'keys.bad_client_id' })
    assert.throws(() => generateKeys({ path, masterKey, clientId }), { code: 'keys.bad_client_id' })
  })
}

test('a directory or a file that others may use is refused, with what to do', () => {
  const path = fresh()
  generateKeys({ path, masterKey, clientId: 'shop1' })
  for (const mode of [0o755, 0o750, 0o701]) {
    chmodSync(path, mode)
    assert.throws(() => openDirectoryKeystore({ path, masterKey }), {
      code: 'keys.insecure_mode',
      message: /chmod 700/,
    })
    assert.throws(() => listKeys({ path }), { code: 'keys.insecure_mode' })
  }
  chmodSync(path, 0o500)
  openDirectoryKeystore({ path, masterKey }).client('shop1')
  chmodSync(path, 0o700)
  chmodSync(join(path, 'shop1_storage_sym'), 0o640)
  assert.throws(() => openDirectoryKeystore({ path, masterKey }).client('shop1'), {
    code: 'keys.insecure_mode',
    message: /mode 0640.*chmod 600/,
  })
})

test('another master key, another name and damaged bytes do not open', () => {
  const path = fresh()
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['symmetric'] })
  generateKeys({ path, masterKey, clientId: 'shop2', kinds: ['search'] })
  assert.throws(() => openDirectoryKeystore({ path, masterKey: randomBytes(32) }).client('shop1'), {
    code: 'keys.unwrap_failed',
  })
  const bytes = readFileSync(join(path, 'shop1_storage_sym'))
  writeFileSync(join(path, 'shop2_storage_sym'), bytes, { mode: 0o600 })
  assert.throws(() => openDirectoryKeystore({ path, masterKey }).client('shop2'), { code: 'keys.unwrap_failed' })
  for (let i = 0; i < bytes.length; i++) {
    const damaged = Buffer.from(bytes)
    damaged[i] = (damaged[i] ?? 0) ^ 4
    writeFileSync(join(path, 'shop1_storage_sym'), i % 2 === 0 ? damaged : bytes.subarray(0, i))
    assert.throws(() => openDirectoryKeystore({ path, masterKey }).client('shop1'), { code: 'keys.unwrap_failed' })
  }
})

test('a private key file that holds something else is refused', () => {
  const path = fresh()
  generateKeys({ path, masterKey, clientId: 'shop1', kinds: ['symmetric'] })
  writeFileSync(join(path, 'shop1_storage'), readFileSync(join(path, 'shop1_storage_sym')), { mode: 0o600 })
  assert.throws(() => openDirectoryKeystore({ path, masterKey }).client('shop1'), { code: 'keys.unwrap_failed' })
  writeFileSync(join(path, 'shop1_storage.pub'), 'not a key')
  assert.throws(() => publicKeyText({ path, clientId: 'shop1' }), { code: 'keys.unreadable' })
})

test('master keys', () => {
  assert.equal(parseMasterKey(generateMasterKey()).length, 32)
  assert.equal(parseMasterKey(` ${randomBytes(64).toString('base64')}\n`).length, 64)
  assert.deepEqual(parseMasterKey(Buffer.alloc(32, 0xff).toString('base64').replace(/=+$/, '')), Buffer.alloc(32, 0xff))
  for (const text of [
    '',
    randomBytes(31).toString('base64'),
    `${randomBytes(48).toString('base64')}!`,
    'x'.repeat(43),
  ]) {
    assert.throws(
      () => parseMasterKey(text),
      error =>
        error instanceof Error &&
        'code' in error &&
        error.code === 'keys.bad_master_key' &&
        (text === '' || !error.message.includes(text)),
    )
  }
  const path = fresh()
  mkdirSync(path, { mode: 0o700 })
  assert.throws(() => openDirectoryKeystore({ path, masterKey: randomBytes(31) }), { code: 'keys.bad_master_key' })
})

test('a directory that is not there', () => {
  assert.throws(() => openDirectoryKeystore({ path: fresh(), masterKey }), { code: 'keys.unreadable' })
})

interface KeystoreVector {
  readonly id: string
  readonly valid: boolean
  readonly master_key: string
  readonly file_name: string
  readonly file: string
  readonly content: string
}

const vectorFile = new URL('../../../../vectors/envelope/keystore-v1-file.json', import.meta.url)
const vectors: readonly KeystoreVector[] = JSON.parse(readFileSync(vectorFile, 'utf8'))

for (const vector of vectors) {
  test(`${vector.id}: ${vector.file_name} ${vector.valid ? 'opens' : 'is refused'}`, () => {
    const path = fresh()
    mkdirSync(path, { mode: 0o700 })
    mkdirSync(join(path, dirname(vector.file_name)), { recursive: true, mode: 0o700 })
    writeFileSync(join(path, vector.file_name), Buffer.from(vector.file, 'hex'), { mode: 0o600 })
    const keystore = openDirectoryKeystore({ path, masterKey: Buffer.from(vector.master_key, 'hex') })
    const open = () => {
      if (vector.file_name.startsWith('.poison_key/')) {
        const master = createSecretKey(Buffer.from(vector.master_key, 'hex'))
        return openKeyFile(join(path, vector.file_name), master, vector.file_name, bytes => Buffer.from(bytes))
      }
      if (vector.file_name === 'secure_log_key') return keystore.audit().export()
      const clientId = vector.file_name.replace(/_(storage|storage_sym|hmac)$/, '')
      const keys = keystore.client(clientId)
      if (vector.file_name.endsWith('_hmac')) return keys.search?.export()
      if (vector.file_name.endsWith('_storage')) {
        const sealed = sealAcraStruct(keys.storagePublic ?? assert.fail('no key'), Buffer.from('x'))
        openStored(sealed, { blockKeys: [], privateKeys: [importPrivateKey(Buffer.from(vector.content, 'hex'))] })
      }
      return Buffer.from(vector.content, 'hex')
    }
    if (vector.valid) assert.equal(open()?.toString('hex'), vector.content)
    else assert.throws(open, { code: 'keys.unwrap_failed' })
  })
}

test('a storage key file of the Acra specification opens', () => {
  const path = fresh()
  mkdirSync(path, { mode: 0o700 })
  const file =
    '000101400c000000100000002d000000060606060606060606060606d3ee28089cf330804c55db204d67c98a84d680f0181fbec3c6764aaa37fb1017' +
    'e4c3ead558048316341598d318b2fa26e7891c960bb5edc3b6b6dbce1b'
  writeFileSync(join(path, 'client1_storage'), Buffer.from(file, 'hex'), { mode: 0o600 })
  const keys = openDirectoryKeystore({ path, masterKey: Buffer.from(Array.from({ length: 32 }, (_, i) => i)) }).client(
    'client1',
  )
  assert.equal(
    exportPublicKey(keys.storagePublic ?? assert.fail('no key')).toString('hex'),
    '554543320000002dee5da420036021d528a6e432f55a10647b4af0520db577c0ad87ed39fdb07b401cf4d3bd92',
  )
})

const rotator = `
  import { openDirectoryKeystore } from ${JSON.stringify(new URL('./directory.ts', import.meta.url).href)}
  import { generateKeys } from ${JSON.stringify(new URL('./generate.ts', import.meta.url).href)}
  import { sealAcraBlock, sealAcraStruct } from '@bawn/envelope'
  const [path, master] = process.argv.slice(1)
  const options = { path, masterKey: Buffer.from(master, 'hex'), clientId: 'shop1' }
  const next = () => {
    generateKeys(options)
    const keys = openDirectoryKeystore(options).client('shop1')
    const block = sealAcraBlock(keys.symmetric[0], Buffer.from('x')).toString('hex')
    const struct = sealAcraStruct(keys.storagePublic, Buffer.from('x')).toString('hex')
    process.stdout.write(block + '\\n' + struct + '\\n', () => setImmediate(next))
  }
  next()
`

test('kill -9 while keys rotate: whatever was sealed still opens', async () => {
  const path = fresh()
  const sealed: string[] = []
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', rotator, path, masterKey.toString('hex')], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.length > 600 * (1 + round)) child.kill('SIGKILL')
    }
    await exited
    sealed.push(...output.split('\n').slice(0, -1))
  }
  const keys = openDirectoryKeystore({ path, masterKey }).client('shop1')
  assert.ok(sealed.length > 8)
  for (const hex of sealed) {
    const opened = openStored(Buffer.from(hex, 'hex'), { blockKeys: keys.symmetric, privateKeys: keys.storage })
    assert.equal(opened.toString(), 'x')
  }
  assert.equal(listKeys({ path }).filter(key => key.state === 'current').length, 3)
})

const maker = `
  import { generateAuditKey, generateKeys } from ${JSON.stringify(new URL('./generate.ts', import.meta.url).href)}
  const options = { path: process.argv[1], masterKey: Buffer.from(process.argv[2], 'hex') }
  const insist = work => {
    for (;;) {
      try {
        return work()
      } catch (error) {
        if (error.code !== 'keys.locked') return error.code
      }
    }
  }
  process.stdin.once('data', () => {
    for (let i = 0; i < 5; i++) insist(() => generateKeys({ ...options, clientId: 'shop1', kinds: ['symmetric'] }))
    process.stdout.write(insist(() => generateAuditKey(options).keyId) + '\\n')
    process.exit(0)
  })
  process.stdout.write('ready\\n')
`

test('however many processes make keys at once, each key is kept and the first audit key stays', async () => {
  const path = fresh()
  const children = Array.from({ length: 3 }, () =>
    spawn(process.execPath, ['--input-type=module', '--eval', maker, path, masterKey.toString('hex')], {
      cwd: import.meta.dirname,
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  )
  await Promise.all(children.map(child => once(child.stdout, 'data')))
  const said = children.map(async child => {
    let text = ''
    for await (const chunk of child.stdout) text += String(chunk)
    return text.trim()
  })
  for (const child of children) child.stdin.end('go')
  assert.deepEqual((await Promise.all(said)).sort(), ['audit-log', 'keys.exists', 'keys.exists'])
  const rotated = readdirSync(join(path, 'shop1_storage_sym.old')).map(name => join('shop1_storage_sym.old', name))
  const kept = new Set(['shop1_storage_sym', ...rotated].map(name => readFileSync(join(path, name), 'hex')))
  assert.equal(kept.size, 15)
})
