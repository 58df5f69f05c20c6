import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { administrationBehaviours } from './administration-behaviour.fixture.ts'
import { openSqliteAccounts } from './sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-grants-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const freshPath = () => join(folder, `${++files}`, 'accounts.db')
const open = (path = freshPath()) => openSqliteAccounts({ name: 'staff', path })

administrationBehaviours({
  kind: 'sqlite',
  async empty(t) {
    const path = freshPath()
    return async () => {
      const store = open(path)
      t.after(() => store.close())
      return store
    }
  },
})

test('a file of version 2 keeps its accounts and their roles, and gets roles and grants; older programs leave it alone', async () => {
  const path = freshPath()
  await open(path).close()
  rmSync(path)
  const old = new DatabaseSync(path)
  old.exec(`
    CREATE TABLE account (name TEXT PRIMARY KEY, scram TEXT, roles TEXT NOT NULL, locked INTEGER NOT NULL CHECK (locked IN (0, 1)),
      password TEXT, created INTEGER, password_changed INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO secret VALUES ('decoy', x'${'07'.repeat(32)}');
    INSERT INTO account VALUES ('alice', NULL, '["staff","support"]', 0, NULL, 1, 2);
    PRAGMA user_version = 2;
  `)
  old.close()
  for (let round = 0; round < 2; round += 1) {
    const store = open(path)
    const alice = await store.find('alice')
    assert.deepEqual([alice?.roles, alice?.granted, alice?.createdAt], [['staff', 'support'], ['staff', 'support'], 1])
    assert.deepEqual(Buffer.from((await store.decoySecret?.()) ?? []), Buffer.alloc(32, 7))
    const before = (await store.administration.snapshot()).roleNames.size
    await store.administration.create({ name: `role${round}`, kind: 'role' })
    assert.equal((await store.administration.snapshot()).roleNames.size, before + 1)
    await store.close()
  }
  const now = new DatabaseSync(path)
  assert.equal(now.prepare('PRAGMA user_version').get()?.['user_version'], 4)
  now.close()
})

test('a damaged row is a store that failed', async () => {
  const path = freshPath()
  const store = open(path)
  const { administration } = store
  await administration.create({ name: 'alice', kind: 'user' })
  const file = new DatabaseSync(path)
  file.exec("INSERT INTO role VALUES ('broken', '{', 0)")
  file.close()
  await assert.rejects(administration.snapshot(), { code: 'accounts.unavailable' })
  // Who has which roles is not known.
  await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  await store.close()
  await assert.rejects(administration.version(), { code: 'accounts.unavailable' })
})

test('kill -9 in the middle of grants loses nothing that was acknowledged, and leaves no half of a change', async () => {
  const path = freshPath()
  const script = `
    import { openSqliteAccounts } from ${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)}
    const { administration } = openSqliteAccounts({ name: 'staff', path: ${JSON.stringify(path)} })
    const entry = (n, privilege) => ({ grantee: 'role' + n, privilege, target: { kind: 'cluster' }, state: 'grant', grantor: 'test' })
    for (let n = 0; ; n++) {
      await administration.create({ name: 'role' + n, kind: 'role' })
      await administration.grant(['DQL', 'DML', 'DDL', 'AL'].map(privilege => entry(n, privilege)))
      if (n > 0) await administration.grantRoles(['role' + (n - 1)], ['role' + n])
      process.stdout.write(n + '\\n')
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let acknowledged = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    acknowledged += text
    if (acknowledged.length > 200) child.kill('SIGKILL')
  })
  await once(child, 'close')
  const last = Number(acknowledged.slice(0, acknowledged.lastIndexOf('\n')).split('\n').at(-1))
  assert(last > 10)
  const store = open(path)
  const { grants, roles, roleNames } = await store.administration.snapshot()
  for (let n = 0; n <= last; n += 1) {
    assert(roleNames.has(`role${n}`))
    assert.deepEqual(roles.get(`role${n}`), n === 0 ? [] : [`role${n - 1}`])
  }
  for (const [grantee, entries] of grants) assert.equal(entries.length, 4, grantee)
  await store.close()
})
