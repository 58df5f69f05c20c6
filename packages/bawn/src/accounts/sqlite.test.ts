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
import { storeBehaviours } from './store-behaviour.fixture.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-accounts-'))
after(() => rmSync(folder, { recursive: true }))

storeBehaviours({
  kind: 'sqlite',
  keepsTimes: true,
  updatesAtOnce: true,
  keepsDigest: true,
  async empty(t) {
    const path = freshPath()
    return async (clock = Date.now) => {
      const store = openSqliteAccounts({ name: 'staff', path, clock })
      t.after(() => store.close())
      return store
    }
  },
})

let files = 0
const freshPath = () => join(folder, `${++files}`, 'accounts.db')
const open = (path = freshPath()) => openSqliteAccounts({ name: 'staff', path })

const verifier = await deriveScramVerifier('pencil', randomBytes(16), 64)
const alice: Account = { name: 'alice', roles: ['support'], scram: verifier, locked: false }

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
  database.exec('PRAGMA user_version = 99')
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
    assert.deepEqual(Buffer.from((await store.decoySecret?.()) ?? []), Buffer.alloc(32, 7))
    const alice = await store.find('alice')
    assert.equal(alice?.locked, true)
    assert.deepEqual(alice?.roles, ['support'])
    assert.equal(alice?.password, undefined)
    assert.equal(alice?.createdAt, undefined)
    assert.equal(await isPasswordOf(alice?.scram ?? verifier, 'pencil'), true)
    await store.close()
  }
})

test('a file of version 2 gets versions of its passwords, each another', async () => {
  const path = freshPath()
  await open(path).close()
  rmSync(path)
  const old = new DatabaseSync(path)
  old.exec(`
    CREATE TABLE account (name TEXT PRIMARY KEY, scram TEXT, roles TEXT NOT NULL, locked INTEGER NOT NULL CHECK (locked IN (0, 1)), password TEXT, created INTEGER, password_changed INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO secret VALUES ('decoy', x'${'07'.repeat(32)}');
    INSERT INTO account VALUES ('alice', '${formatScramVerifier(verifier)}', '["support"]', 0, NULL, 1, 2), ('bob', NULL, '[]', 0, NULL, 1, 2);
    PRAGMA user_version = 2;
  `)
  old.close()
  const store = open(path)
  const [one, two] = [await store.find('alice'), await store.find('bob')]
  assert(one?.credential !== undefined && !one.credential.isSame(two?.credential))
  assert.deepEqual([one.passwordChangedAt, one.digest], [2, undefined])
  await store.close()
  const again = open(path)
  assert.equal(one.credential.isSame((await again.find('alice'))?.credential), true)
  await again.close()
})
