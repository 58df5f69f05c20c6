import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deriveArgon2idVerifier } from './argon2id.ts'
import { deriveBcryptTag } from './bcrypt.ts'
import { deriveDigestVerifiers, describeDigestVerifiers } from './digest-verifier.ts'
import { createHashQueue } from './hash-queue.ts'
import { createHashThread } from './hash-thread.ts'
import { createPasswordCheck, type PasswordCheckOptions, type PasswordOutcome } from './password.ts'
import { deriveScramVerifier } from './scram-verifier.ts'
import { openSqliteAccounts } from './sqlite.ts'
import type { Account, AccountStore, ScramVerifier, WritableAccountStore } from './store.ts'
import { createLoginThrottle } from './throttle.ts'
import { isVerifiedBy, type PasswordVerifier, parseVerifier } from './verifier.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-password-'))
const thread = createHashThread()
after(async () => {
  await thread.close()
  rmSync(folder, { recursive: true, force: true })
})
let files = 0
const openStore = (): WritableAccountStore => {
  files += 1
  return openSqliteAccounts({ name: 'staff', path: join(folder, `accounts${files}.db`) })
}

const cheap = { memoryKib: 64, passes: 1, parallelism: 1 }
const password = await deriveArgon2idVerifier('pencil', cheap)
const scram = await deriveScramVerifier('pencil', randomBytes(16), 64)
const account = (name: string, more: Partial<Account> = {}): Account => ({
  name,
  roles: ['support'],
  scram: undefined,
  password,
  locked: false,
  ...more,
})
const home = '192.0.2.1'

interface Started {
  check(user: string, password: string, address?: string): Promise<PasswordOutcome>
  /** Costs of the verifiers that were hashed for, in order. */
  readonly hashed: string[]
  wait(ms: number): void
  close(): Promise<void>
}

const costOf = (verifier: PasswordVerifier | ScramVerifier): string =>
  'kind' in verifier
    ? `${verifier.kind}${verifier.kind === 'argon2id' ? ` ${verifier.memoryKib}` : ''}`
    : `scram ${verifier.iterations}`

function start(stores: readonly AccountStore[], queue = createHashQueue({ concurrency: 4 })): Started {
  let at = 0
  const now = () => at
  const hashed: string[] = []
  const checks = createPasswordCheck({
    stores,
    throttle: createLoginThrottle({ now }),
    now,
    queue,
    isVerified: (verifier, text) => {
      hashed.push(costOf(verifier))
      return isVerifiedBy(verifier, text, thread)
    },
  })
  return {
    check: (user, text, address = home) => checks.check(user, text, address),
    hashed,
    wait: ms => {
      at += ms
    },
    close: () => checks.close(),
  }
}

async function staff(...accounts: readonly Account[]): Promise<WritableAccountStore> {
  const store = openStore()
  for (const one of accounts) await store.add(one)
  return store
}

test('the right password, and every kind of wrong one', async () => {
  const store = await staff(
    account('alice'),
    account('lockey', { locked: true }),
    account('cert', { password: undefined }),
  )
  const { check, close } = start([store])
  const right = await check('alice', 'pencil')
  assert.ok(right.kind === 'correct')
  assert.equal(right.source, 'staff')
  assert.deepEqual(right.account.roles, ['support'])
  const rows: readonly [user: string, text: string, reason: string][] = [
    ['alice', 'pencils', 'wrong-password'],
    ['alice', '', 'wrong-password'],
    ['alice', 'p'.repeat(1_025), 'wrong-password'],
    ['lockey', 'pencil', 'locked'],
    ['lockey', 'pencils', 'wrong-password'],
    ['cert', 'pencil', 'wrong-password'],
    ['cert', '', 'wrong-password'],
    ['nobody', 'pencil', 'unknown-user'],
    ['nobody', '', 'unknown-user'],
    ['Alice', 'pencil', 'unknown-user'],
    ['', '', 'unknown-user'],
    ['alice\0', 'pencil', 'unknown-user'],
  ]
  for (const [user, text, reason] of rows) {
    assert.deepEqual(await check(user, text, `192.0.2.${rows.length}`), { kind: 'wrong', reason }, `${user} ${text}`)
  }
  await close()
})

test('unknown, wrong, locked and without a password: the same hashes are computed', async () => {
  const store = await staff(
    account('alice'),
    account('lockey', { locked: true }),
    account('cert', { password: undefined, scram: undefined }),
    account('cert2', { password: undefined, scram: undefined }),
  )
  const { check, hashed, close } = start([store])
  for (const user of ['alice', 'lockey', 'aaron', 'zoe', '', 'lockez']) {
    hashed.length = 0
    await check(user, 'wrong', '')
    assert.deepEqual(hashed, ['argon2id 64'], user)
  }
  for (const user of ['cert', 'bob']) {
    hashed.length = 0
    await check(user, 'wrong', '198.51.100.1')
    assert.deepEqual(hashed, ['argon2id 64'], user)
  }
  await close()
})

test('where nobody has a password, a check costs what a new one costs', async () => {
  const { check, hashed, close } = start([await staff(account('cert', { password: undefined }))])
  await check('cert', 'wrong')
  await check('nobody', 'wrong')
  assert.deepEqual(hashed, ['argon2id 19456', 'argon2id 19456'])
  await close()
})

test('what is cheap to check costs as much as a new password on top', async () => {
  const sha = parseVerifier('{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=')
  const store = await staff(account('sha', { password: sha }), account('scram', { password: undefined, scram }))
  const { check, hashed, close } = start([store])
  await check('sha', 'wrong')
  await check('aaa', 'wrong')
  await check('scram', 'wrong')
  await check('sb', 'wrong')
  assert.deepEqual(
    [hashed.slice(0, 2), hashed.slice(2, 4), hashed.slice(4, 6), hashed.slice(6)],
    [
      ['sha1', 'argon2id 19456'],
      ['scram 64', 'argon2id 19456'],
      ['scram 64', 'argon2id 19456'],
      ['scram 64', 'argon2id 19456'],
    ],
  )
  await close()
})

test('limits come before any hash, for unknown names as for known ones', async () => {
  const { check, hashed, wait, close } = start([await staff(account('alice'))])
  for (const user of ['alice', 'nobody']) {
    hashed.length = 0
    const outcomes: PasswordOutcome[] = []
    for (let n = 0; n < 8; n += 1) outcomes.push(await check(user, `guess ${n}`))
    assert.equal(hashed.length, 5)
    assert.deepEqual(outcomes.slice(5), Array(3).fill({ kind: 'throttled', retryAfterMs: 10_000 }))
    // The right one is not looked at either.
    assert.equal((await check(user, 'pencil')).kind, 'throttled')
    assert.equal(hashed.length, 5)
  }
  wait(10_000)
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  await close()
})

test('while its owner uses it, a password is guessed no faster', async () => {
  const store = await staff(account('alice'))
  const { check, wait, close } = start([store])
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  for (const [network, tries] of [
    ['203.0.113.7', 5],
    [home, 5],
  ] as const) {
    let judged = 0
    for (let n = 0; n < 40; n += 1) if ((await check('alice', `guess ${n}`, network)).kind !== 'throttled') judged += 1
    assert.equal(judged, tries)
    // What is remembered answers at once: were it asked, forty thousand guesses a second would be.
    assert.equal((await check('alice', 'pencil', network)).kind, 'throttled', network)
  }
  wait(10_000)
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  await close()
})

test('a program that goes on with an old password costs one hash, and shuts nobody out', async () => {
  const { check, hashed, close } = start([await staff(account('alice'))])
  for (const user of ['alice', 'nobody']) {
    hashed.length = 0
    const reason = user === 'alice' ? 'wrong-password' : 'unknown-user'
    for (let n = 0; n < 100; n += 1) assert.deepEqual(await check(user, 'the old one'), { kind: 'wrong', reason })
    assert.equal(hashed.length, 1, user)
  }
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  // From elsewhere it is a guess.
  hashed.length = 0
  await check('alice', 'the old one', '198.51.100.9')
  assert.equal(hashed.length, 1)
  await close()
})

test('a password that failed holds at once when it becomes the right one, and when its account is let in again', async () => {
  const store = await staff(account('alice', { locked: true }))
  const { check, close } = start([store])
  assert.deepEqual(await check('alice', 'pencil'), { kind: 'wrong', reason: 'locked' })
  assert.deepEqual(await check('alice', 'pencil'), { kind: 'wrong', reason: 'locked' })
  await store.setLocked('alice', false)
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  assert.equal((await check('alice', 'crayon')).kind, 'wrong')
  await store.setVerifier('alice', { scram: undefined, password: await deriveArgon2idVerifier('crayon', cheap) })
  assert.equal((await check('alice', 'crayon')).kind, 'correct')
  await close()
})

test('behind one address, who logged in before is let in while others guess; who did not, waits', async () => {
  const { check, wait, close } = start([await staff(account('alice'), account('bob'))])
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  wait(120_000)
  for (let n = 0; n < 60; n += 1) await check(`user${n}`, 'guess')
  assert.equal((await check('alice', 'pencil')).kind, 'correct')
  assert.equal((await check('bob', 'pencil')).kind, 'throttled')
  assert.equal((await check('bob', 'pencil', '198.51.100.9')).kind, 'correct')
  await close()
})

test('what comes behind the 72 bytes that bcrypt reads does not become the password', async () => {
  const long = 'p'.repeat(72)
  const bcrypt = parseVerifier('$2b$04$KHmERZyACxF5H6fbuZqx3OP3G4JkGTOZ1jPz9K4Ts1tYlM5ee51mO')
  assert.ok(bcrypt?.kind === 'bcrypt')
  const { salt, cost } = bcrypt
  const tag = deriveBcryptTag(Buffer.from(long), salt, cost)
  const store = await staff(account('alice', { password: { ...bcrypt, tag } }))
  const first = start([store])
  assert.equal((await first.check('alice', `${long} and a slip`)).kind, 'correct')
  await first.close()
  assert.equal((await store.find('alice'))?.password?.kind, 'bcrypt')
  const again = start([store])
  assert.equal((await again.check('alice', long)).kind, 'correct')
  await again.close()
})

test('a verified credential is remembered for a minute; a new password, a lock and a removal hold at once', async () => {
  const store = await staff(account('alice', { scram }))
  const { check, hashed, wait, close } = start([store])
  for (let n = 0; n < 10; n += 1) assert.equal((await check('alice', 'pencil')).kind, 'correct')
  // Two: what came second found the verifiers made anew.
  const before = hashed.length
  assert.ok(before <= 2)
  await store.setRoles('alice', ['billing'])
  const seen = await check('alice', 'pencil')
  assert.deepEqual(seen.kind === 'correct' && seen.account.roles, ['billing'])
  assert.equal(hashed.length, before)
  await store.setLocked('alice', true)
  assert.deepEqual(await check('alice', 'pencil'), { kind: 'wrong', reason: 'locked' })
  await store.setLocked('alice', false)
  await store.setVerifier('alice', { scram: undefined, password: await deriveArgon2idVerifier('crayon', cheap) })
  assert.deepEqual(await check('alice', 'pencil'), { kind: 'wrong', reason: 'wrong-password' })
  assert.equal((await check('alice', 'crayon')).kind, 'correct')
  await new Promise(setImmediate)
  hashed.length = 0
  wait(60_000)
  assert.equal((await check('alice', 'crayon')).kind, 'correct')
  assert.equal(hashed.length, 1)
  await store.remove('alice')
  assert.deepEqual(await check('alice', 'crayon'), { kind: 'wrong', reason: 'unknown-user' })
  await close()
})

test('the same credential forty times at once is one hash and one try', async () => {
  const { check, hashed, close } = start([await staff(account('alice'))])
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => check('alice', 'pencil')))
  assert.ok(outcomes.every(({ kind }) => kind === 'correct'))
  assert.equal(hashed.length, 1)
  hashed.length = 0
  const wrong = await Promise.all(Array.from({ length: 40 }, () => check('alice', 'pencils')))
  assert.ok(wrong.every(({ kind }) => kind === 'wrong'))
  assert.equal(hashed.length, 1)
  await close()
})

test('when too many checks wait the next is told so, and it is no failed login', async () => {
  const { check, close } = start([await staff(account('alice'))], createHashQueue({ concurrency: 1, maxWaiting: 1 }))
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, (_, n) => check(`user${n}`, 'pencil', `198.51.100.${n}`)),
  )
  const busy = outcomes.filter(outcome => outcome.status === 'rejected')
  assert.equal(busy.length, 8)
  for (const { reason } of busy) assert.equal(reason.code, 'accounts.busy')
  await close()
})

test('a store that fails is no answer, whichever it is', async () => {
  const broken: AccountStore = {
    name: 'broken',
    find: () => Promise.reject(new Error('gone')),
    list: async () => [],
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  }
  const { check, hashed, close } = start([await staff(account('alice')), broken])
  await assert.rejects(check('alice', 'pencil'))
  await assert.rejects(check('nobody', 'pencil'))
  assert.equal(hashed.length, 0)
  await close()
})

test('of several stores the first that knows the name decides', async () => {
  const other = await deriveArgon2idVerifier('crayon', cheap)
  const first = await staff(account('alice'))
  const second = await staff(account('alice', { password: other }), account('bob', { password: other }))
  const { check, close } = start([first, { ...second, name: 'guests' }])
  assert.equal((await check('alice', 'crayon')).kind, 'wrong')
  const bob = await check('bob', 'crayon')
  assert.equal(bob.kind === 'correct' && bob.source, 'guests')
  await close()
})

test('of several stores the unknown names cost what the names of each cost, and a name always the same', async () => {
  const dear = await deriveArgon2idVerifier('pencil', { ...cheap, memoryKib: 128 })
  const first = await staff(account('alice', { password: dear }))
  const second = { ...(await staff(account('bob'))), name: 'guests' }
  const costs = new Map<string, string>()
  for (let round = 0; round < 2; round += 1) {
    const { check, hashed, close } = start([first, second])
    for (let n = 0; n < 40; n += 1) {
      hashed.length = 0
      await check(`nobody${n}`, 'wrong', `198.51.100.${n}`)
      const [cost = '', ...more] = hashed
      assert.deepEqual(more, [])
      assert.equal(costs.get(`nobody${n}`) ?? cost, cost, 'after a restart too')
      costs.set(`nobody${n}`, cost)
    }
    await close()
  }
  assert.deepEqual(new Set(costs.values()), new Set(['argon2id 64', 'argon2id 128']))
})

test('weak and old verifiers are made anew at the next login, and only then', async () => {
  const rows: readonly Partial<Account>[] = [
    { password: parseVerifier('{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=') },
    { password: undefined, scram },
    { password, scram: undefined },
  ]
  for (const row of rows) {
    const store = await staff(account('alice', row))
    const started = start([store])
    await started.check('alice', 'pencils')
    await started.close()
    assert.equal((await store.find('alice'))?.password?.kind, row.password?.kind)
    const again = start([store])
    assert.equal((await again.check('alice', 'pencil')).kind, 'correct')
    await again.close()
    const found = await store.find('alice')
    assert.ok(found?.password?.kind === 'argon2id' && found.password.memoryKib === 19_456)
    assert.equal(found.scram?.iterations, 16_384)
    const last = start([store])
    assert.equal((await last.check('alice', 'pencil')).kind, 'correct')
    assert.deepEqual(last.hashed, ['argon2id 19456'])
    await last.close()
    await store.close()
  }
})

test('a password that was changed while an older one was being made anew stays', async () => {
  const store = await staff(account('alice'))
  const before = await store.find('alice')
  assert.ok(before !== undefined)
  const changed = await deriveArgon2idVerifier('crayon', cheap)
  await store.setVerifier('alice', { scram: undefined, password: changed })
  assert.equal(await store.upgrade?.(before, { scram, password }), false)
  assert.deepEqual((await store.find('alice'))?.password, { ...changed, tag: changed.tag, salt: changed.salt })
})

test('what digest needs is made at a login in clear where accounts are to keep it, and kept up to date', async () => {
  const store = await staff(account('alice'), account('a:b'))
  const digest = { realm: 'bawn', algorithms: ['SHA-256'] } as const
  const login = async (user: string, more: Pick<PasswordCheckOptions, 'digest'>): Promise<string | undefined> => {
    const now = () => 0
    const checks = createPasswordCheck({ stores: [store], throttle: createLoginThrottle({ now }), now, ...more })
    assert.equal((await checks.check(user, 'pencil', home)).kind, 'correct')
    await checks.close()
    return (await store.find(user))?.digest
  }
  assert.equal(await login('alice', {}), undefined)
  assert.equal(await login('alice', { digest }), deriveDigestVerifiers('alice', 'pencil', digest))
  const second = { realm: 'desk', algorithms: ['MD5'] } as const
  assert.deepEqual(
    describeDigestVerifiers((await login('alice', { digest: second })) ?? '').map(({ realm }) => realm),
    ['bawn', 'desk'],
  )
  assert.equal(await login('a:b', { digest }), undefined, 'nobody could say where the name ends')
})
