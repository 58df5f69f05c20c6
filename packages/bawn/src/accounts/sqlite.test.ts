import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { deriveScramVerifier, formatScramVerifier, isPasswordOf } from './scram-verifier.ts'
import { openSqliteAccounts } from './sqlite.ts'
import type { Account } from './store.ts'
import { parseVerifier } from './verifier.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-accounts-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const freshPath = () => join(folder, `${++files}`, 'accounts.db')
const open = (path = freshPath()) => openSqliteAccounts({ name: 'staff', path })

const verifier = await deriveScramVerifier('pencil', randomBytes(16), 64)
const alice: Account = { name: 'alice', roles: ['support'], scram: verifier, locked: false }

test('what was added is found after closing and opening', async () => {
  const path = freshPath()
  const first = open(path)
  await first.add(alice)
  await first.add({ name: 'Zoë@example.org', roles: [], scram: undefined, locked: true })
  const { decoySecret } = first
  await first.close()
  const second = open(path)
  const found = await second.find('alice')
  assert.ok(found?.scram !== undefined)
  assert.deepEqual(found.roles, ['support'])
  assert.equal(found.locked, false)
  assert.equal(await isPasswordOf(found.scram, 'pencil'), true)
  assert.deepEqual(
    (await second.list()).map(account => [account.name, account.locked]),
    [
      ['Zoë@example.org', true],
      ['alice', false],
    ],
  )
  assert.deepEqual(second.decoySecret, decoySecret)
  await second.close()
})

test('a name is found exactly, and an unknown one is undefined', async () => {
  const store = open()
  await store.add(alice)
  for (const name of ['Alice', 'alice ', '', 'bob', 'alice\0', "' OR 1=1 --"]) {
    assert.equal(await store.find(name), undefined)
  }
  await store.close()
})

test('a taken name, a bad name and a bad role are refused', async () => {
  const store = open()
  await store.add(alice)
  await assert.rejects(store.add({ ...alice, roles: ['admin'] }), { code: 'accounts.exists' })
  assert.deepEqual((await store.find('alice'))?.roles, ['support'])
  for (const name of ['', 'a\nb', 'a'.repeat(129), 'a\u202eb', '\ud800']) {
    await assert.rejects(store.add({ ...alice, name }), { code: 'accounts.invalid' })
  }
  await assert.rejects(store.add({ ...alice, name: 'eve', roles: ['not a role'] }), { code: 'accounts.invalid' })
  await assert.rejects(store.setRoles('alice', ['']), { code: 'accounts.invalid' })
  await store.close()
})

test('changes show at once in another connection', async () => {
  const path = freshPath()
  const writer = open(path)
  const reader = open(path)
  await writer.add(alice)
  await writer.setRoles('alice', ['b', 'a', 'b'])
  await writer.setLocked('alice', true)
  const other = await deriveScramVerifier('crayon', randomBytes(16), 64)
  await writer.setVerifier('alice', { scram: other, password: undefined })
  const found = await reader.find('alice')
  assert.ok(found?.scram !== undefined)
  assert.deepEqual(found.roles, ['a', 'b'])
  assert.equal(found.locked, true)
  assert.equal(await isPasswordOf(found.scram, 'crayon'), true)
  await writer.remove('alice')
  assert.equal(await reader.find('alice'), undefined)
  await writer.close()
  await reader.close()
})

test('changing who is not there says so', async () => {
  const store = open()
  for (const change of [
    store.setVerifier('bob', { scram: verifier, password: undefined }),
    store.setRoles('bob', []),
    store.setLocked('bob', true),
    store.remove('bob'),
  ]) {
    await assert.rejects(change, { code: 'accounts.not_found' })
  }
  await store.close()
})

test('the folder is made for its owner, and so are all files, even where they were readable before', async () => {
  const path = freshPath()
  const store = open(path)
  await store.add(alice)
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  const files = readdirSync(join(path, '..'))
  assert.ok(files.length >= 2)
  for (const file of files) assert.equal(statSync(join(path, '..', file)).mode & 0o777, 0o600, file)
  await store.close()
  chmodSync(path, 0o644)
  await open(path).close()
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

test('a file of a newer version is refused and left alone', async () => {
  const path = freshPath()
  await open(path).close()
  const database = new DatabaseSync(path)
  database.exec('PRAGMA user_version = 4')
  database.close()
  assert.throws(() => open(path), { code: 'accounts.newer_schema' })
})

test('what is no database, and a damaged row, are a store that failed', async () => {
  const other = join(folder, 'other.db')
  writeFileSync(other, 'not a database, but long enough to have a header of its own'.repeat(20))
  assert.throws(() => open(other), { code: 'accounts.unavailable' })
  assert.throws(() => openSqliteAccounts({ name: 'staff', path: folder }), { code: 'accounts.unavailable' })

  const path = freshPath()
  const store = open(path)
  const database = new DatabaseSync(path)
  database.exec(
    "INSERT INTO account (name, scram, roles, locked) VALUES ('a', 'md5x', '[]', 0), ('b', NULL, '{', 0), ('c', NULL, '[1]', 0)",
  )
  database.close()
  for (const name of ['a', 'b', 'c']) await assert.rejects(store.find(name), { code: 'accounts.unavailable' })
  await store.close()
  await assert.rejects(store.find('a'), { code: 'accounts.unavailable' })
})

test('kill -9 in the middle of writes loses nothing that was acknowledged', async () => {
  const path = freshPath()
  const script = `
    import { openSqliteAccounts } from ${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)}
    const store = openSqliteAccounts({ name: 'staff', path: ${JSON.stringify(path)} })
    for (let n = 0; ; n++) {
      await store.add({ name: 'user' + n, roles: ['r' + n], scram: undefined, locked: false })
      process.stdout.write(n + '\\n')
    }`
  for (let round = 0; round < 2; round++) {
    rmSync(join(path, '..'), { recursive: true, force: true })
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      acknowledged += text
      if (acknowledged.length > 20 + 300 * round) child.kill('SIGKILL')
    })
    await once(child, 'close')
    const last = Number(acknowledged.slice(0, acknowledged.lastIndexOf('\n')).split('\n').at(-1))
    const store = open(path)
    const found = await store.list()
    assert.ok(found.length > last)
    for (let n = 0; n <= last; n++) assert.deepEqual((await store.find(`user${n}`))?.roles, [`r${n}`])
    await store.close()
  }
})

test('a file of version 1 keeps its accounts, and gets what version 2 has', async () => {
  const path = freshPath()
  await open(path).close()
  rmSync(path)
  const old = new DatabaseSync(path)
  old.exec(`
    CREATE TABLE account (name TEXT PRIMARY KEY, scram TEXT, roles TEXT NOT NULL, locked INTEGER NOT NULL CHECK (locked IN (0, 1))) STRICT, WITHOUT ROWID;
    CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO secret VALUES ('decoy', x'${'07'.repeat(32)}');
    INSERT INTO account VALUES ('alice', '${formatScramVerifier(verifier)}', '["support"]', 1);
    PRAGMA user_version = 1;
  `)
  old.close()
  for (let round = 0; round < 2; round += 1) {
    const store = open(path)
    assert.deepEqual(Buffer.from(store.decoySecret), Buffer.alloc(32, 7))
    const alice = await store.find('alice')
    assert.equal(alice?.locked, true)
    assert.deepEqual(alice?.roles, ['support'])
    assert.equal(alice?.password, undefined)
    assert.equal(alice?.createdAt, undefined)
    assert.equal(await isPasswordOf(alice?.scram ?? verifier, 'pencil'), true)
    await store.close()
  }
})

test('both verifiers and the times are kept; a password in clear never is', async () => {
  let at = 1_000
  const store = openSqliteAccounts({ name: 'staff', path: freshPath(), clock: () => at })
  const password = parseVerifier('$2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS')
  await store.add({ ...alice, password })
  at = 2_000
  const found = await store.find('alice')
  assert.deepEqual([found?.createdAt, found?.passwordChangedAt], [1_000, 1_000])
  assert.equal(found?.password?.kind, 'bcrypt')
  assert.ok(found !== undefined)
  assert.equal(await store.upgrade(found, { scram: undefined, password }), true)
  const after = await store.find('alice')
  assert.deepEqual(
    [after?.createdAt, after?.passwordChangedAt, after?.scram],
    [1_000, 1_000, undefined],
    'the same password',
  )
  assert.equal(await store.upgrade(found, { scram: undefined, password }), false)
  const clear = { scram: undefined, password: { kind: 'plain', password: 'pencil' } } as const
  await assert.rejects(store.setVerifier('alice', clear), { code: 'accounts.invalid' })
  await assert.rejects(store.add({ ...alice, name: 'bob', ...clear }), { code: 'accounts.invalid' })
  await store.close()
})

test('the decoy of a name is the account after it, and it is the first of all after the last', async () => {
  const store = open()
  assert.equal(await store.decoy('x'), undefined)
  for (const name of ['bob', 'dave']) await store.add({ ...alice, name })
  const decoys = await Promise.all(['', 'bob', 'carol', 'zoe'].map(async name => (await store.decoy(name))?.name))
  assert.deepEqual(decoys, ['bob', 'dave', 'dave', 'bob'])
  await store.close()
})
