import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deriveArgon2idVerifier } from './argon2id.ts'
import { openFileAccounts } from './file.ts'
import { createPasswordCheck, type PasswordCheck } from './password.ts'
import { openSqliteAccounts } from './sqlite.ts'
import type { AccountStore, WritableAccountStore } from './store.ts'
import { createLoginThrottle } from './throttle.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-recall-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const home = '192.0.2.1'
const wanted = await deriveArgon2idVerifier('pencil')
const other = await deriveArgon2idVerifier('crayon')
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

interface Started {
  readonly passwords: PasswordCheck
  recalls(password?: string, address?: string, user?: string): boolean
  wait(ms: number): void
}

function start(stores: readonly AccountStore[]): Started {
  let at = 0
  const now = () => at
  const passwords = createPasswordCheck({ stores, throttle: createLoginThrottle({ now }), now })
  return {
    passwords,
    recalls: (password = 'pencil', address = home, user = 'alice') =>
      passwords.recall(user, password, address) !== undefined,
    wait: ms => {
      at += ms
    },
  }
}

/** @returns the store, and the same once more as another process has it open */
async function twice(name: string): Promise<readonly [WritableAccountStore, WritableAccountStore]> {
  const open = () => openSqliteAccounts({ name: 'staff', path: join(folder, `${name}.db`) })
  const store = open()
  for (const each of ['alice', 'bob'])
    await store.add({ name: each, roles: ['support'], scram: undefined, password: wanted, locked: false })
  return [store, open()]
}

test('what was verified a moment ago is recalled without a row being read, for a minute', async () => {
  const [store] = await twice('minute')
  let reads = 0
  const counted: AccountStore = {
    ...store,
    find: async user => {
      reads += 1
      return store.find(user)
    },
  }
  const { passwords, recalls, wait } = start([counted])
  assert.ok(!recalls())
  const first = await passwords.check('alice', 'pencil', home)
  assert.equal(first.kind, 'correct')
  await turn()
  // The login made its verifiers anew, and so changed the store.
  if (!recalls()) await passwords.check('alice', 'pencil', home)
  reads = 0
  for (let n = 0; n < 20; n += 1) {
    const found = passwords.recall('alice', 'pencil', home)
    assert.deepEqual(found?.account.roles, ['support'])
    assert.equal(found.source, 'staff')
  }
  for (const [user, password] of [
    ['alice', 'pencils'],
    ['alic', 'epencil'],
    ['bob', 'pencil'],
    ['carol', 'pencil'],
  ] as const)
    assert.ok(!recalls(password, home, user), user)
  assert.equal(reads, 0)
  wait(60_000)
  assert.ok(!recalls())
  await passwords.close()
})

test('whatever changes in the store, here or elsewhere, ends what is recalled', async () => {
  const [here, elsewhere] = await twice('changes')
  const { passwords, recalls, wait } = start([here])
  const known = async (): Promise<void> => {
    wait(60_000)
    for (let n = 0; n < 2; n += 1) {
      await passwords.check('alice', 'pencil', home)
      await turn()
    }
    assert.ok(recalls())
  }
  for (const store of [here, elsewhere]) {
    const isElsewhere = store === elsewhere
    await known()
    await store.setLocked('alice', true)
    if (isElsewhere) await turn()
    assert.ok(!recalls())
    assert.deepEqual(await passwords.check('alice', 'pencil', home), { kind: 'wrong', reason: 'locked' })
    await store.setLocked('alice', false)

    await known()
    await store.setRoles('alice', ['billing'])
    if (isElsewhere) await turn()
    assert.ok(!recalls())
    const anew = await passwords.check('alice', 'pencil', home)
    assert.deepEqual(anew.kind === 'correct' && anew.account.roles, ['billing'])

    await known()
    await store.setVerifier('alice', { scram: undefined, password: other })
    if (isElsewhere) await turn()
    assert.ok(!recalls())
    assert.equal((await passwords.check('alice', 'pencil', home)).kind, 'wrong')
    await store.setVerifier('alice', { scram: undefined, password: wanted })

    await known()
    await store.remove('alice')
    if (isElsewhere) await turn()
    assert.ok(!recalls())
    assert.deepEqual(await passwords.check('alice', 'pencil', home), { kind: 'wrong', reason: 'unknown-user' })
    await store.add({ name: 'alice', roles: [], scram: undefined, password: wanted, locked: false })
  }
  await passwords.close()
})

test('while the limits are reached nothing is recalled, and recalling what is wrong takes no try', async () => {
  const [store] = await twice('limits')
  const { passwords, recalls } = start([store])
  await passwords.check('alice', 'pencil', home)
  await turn()
  await passwords.check('alice', 'pencil', home)
  for (let n = 0; n < 100; n += 1) assert.ok(!recalls(`guess ${n}`))
  assert.ok(recalls())
  for (let n = 0; n < 5; n += 1) await passwords.check('alice', `guess ${n}`, home)
  assert.ok(!recalls())
  assert.equal((await passwords.check('alice', 'pencil', home)).kind, 'throttled')
  await passwords.close()
})

test('nothing is recalled where limits or stores belong to others', async () => {
  const [store] = await twice('others')
  const { version: _, ...mute } = store
  const { attemptHere: __, ...shared } = createLoginThrottle({ now: () => 0 })
  const now = () => 0
  for (const passwords of [
    createPasswordCheck({ stores: [mute], throttle: createLoginThrottle({ now }), now }),
    createPasswordCheck({ stores: [store, mute], throttle: createLoginThrottle({ now }), now }),
    createPasswordCheck({ stores: [store], throttle: shared, now }),
  ]) {
    for (let n = 0; n < 2; n += 1) {
      assert.equal((await passwords.check('alice', 'pencil', home)).kind, 'correct')
      await turn()
    }
    assert.equal(passwords.recall('alice', 'pencil', home), undefined)
    await passwords.close()
  }
})

test('a file of users that was changed is read again within a second, and what is recalled ends with it', async () => {
  const path = join(folder, 'htpasswd')
  // `pencil` and `crayon`, as htpasswd -s has them.
  const line = (hash: string): string => `alice:{SHA}${hash}\n`
  const { createHash } = await import('node:crypto')
  const sha = (text: string): string => createHash('sha1').update(text).digest('base64')
  writeFileSync(path, line(sha('pencil')))
  let at = 0
  const now = () => at
  const store = openFileAccounts({ name: 'file', path, format: 'htpasswd', roles: ['staff'], now })
  const passwords = createPasswordCheck({ stores: [store], throttle: createLoginThrottle({ now }), now })
  assert.equal((await passwords.check('alice', 'pencil', home)).kind, 'correct')
  assert.ok(passwords.recall('alice', 'pencil', home))
  writeFileSync(path, line(sha('crayon')))
  utimesSync(path, 1, 1)
  at += 1_000
  assert.equal(passwords.recall('alice', 'pencil', home), undefined)
  assert.equal((await passwords.check('alice', 'pencil', home)).kind, 'wrong')
  await passwords.close()
})
