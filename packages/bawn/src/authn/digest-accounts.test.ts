import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type DigestAlgorithm,
  deriveDigestVerifiers,
  digestAlgorithms,
  digestHash,
} from '../accounts/digest-verifier.ts'
import { openFileAccounts } from '../accounts/file.ts'
import { openSqliteAccounts } from '../accounts/sqlite.ts'
import type { AccountStore } from '../accounts/store.ts'
import { createLoginThrottle } from '../accounts/throttle.ts'
import { parseAuthParams } from './auth-params.ts'
import { createDigestMechanism, type DigestSettings, digestResponse } from './digest.ts'
import { calm, credentials } from './http-credentials.fixture.ts'
import type { HttpOutcome } from './http-mechanism.ts'
import { isAccountOf } from './identity.ts'
import { createNoncePlace, openNonceMemory } from './nonce-memory.ts'

// Digest against the accounts that other mechanisms know too.

const folder = mkdtempSync(join(tmpdir(), 'bawn-digest-'))
const staff = openSqliteAccounts({ name: 'staff', path: join(folder, 'accounts.db') })
writeFileSync(
  join(folder, 'users.yml'),
  `users:
  - { userid: zoë, password: changeit, roles: [users] }
  - { userid: hashed, password: "$2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS", roles: [] }
  - { userid: alice, password: of the second store, roles: [] }
`,
)
const legacy = openFileAccounts({
  name: 'legacy',
  path: join(folder, 'users.yml'),
  format: 'users_yml',
  roles: [],
  now: () => 0,
})
after(async () => {
  await staff.close()
  rmSync(folder, { recursive: true })
})

const realm = 'the shop'
const every = { realm, algorithms: digestAlgorithms }
const none = { scram: undefined, password: undefined }
const digestOf = (name: string, password: string) => deriveDigestVerifiers(name, password, every)
await staff.add({ name: 'alice', roles: ['support'], ...none, digest: digestOf('alice', 'pencil'), locked: false })
await staff.add({ name: 'lockey', roles: [], ...none, digest: digestOf('lockey', 'pencil'), locked: true })
await staff.add({ name: 'without', roles: [], ...none, locked: false })
const elsewhere = deriveDigestVerifiers('moved', 'pencil', { realm: 'another', algorithms: ['SHA-256'] })
await staff.add({ name: 'moved', roles: [], ...none, digest: elsewhere, locked: false })

const create = (more: Partial<DigestSettings> = {}) =>
  createDigestMechanism(
    [{ name: 'dora', roles: ['robots'], ha1: { 'SHA-256': digestHash('SHA-256', `dora:${realm}:pencil`) } }],
    {
      realm,
      algorithms: digestAlgorithms,
      userhash: true,
      nonceLifetimeMs: 60_000,
      nonces: openNonceMemory(createNoncePlace(0), 1),
      throttle: calm,
      stores: [staff, legacy],
      ...more,
    },
  )
type Mechanism = ReturnType<typeof create>

/** What a client sends that knows a password, or an HA1. */
function answer(
  mechanism: Mechanism,
  name: string,
  password: string,
  { algorithm = 'SHA-256', hidden = false, ha1 }: { algorithm?: DigestAlgorithm; hidden?: boolean; ha1?: string } = {},
): string {
  const challenge = [mechanism.challenge(credentials(), 'absent') ?? []].flat()[0] ?? ''
  const nonce = parseAuthParams(challenge.replace(/^Digest /, ''))?.get('nonce') ?? ''
  const of = { method: 'GET', uri: '/', nonce, nc: '00000001', cnonce: 'x' }
  const response = digestResponse(algorithm, ha1 ?? digestHash(algorithm, `${name}:${realm}:${password}`), of)
  const user = hidden
    ? `username="${digestHash(algorithm, `${name}:${realm}`)}", userhash=true`
    : `username="${Buffer.from(name).toString('latin1')}"`
  return `Digest ${user}, realm="${realm}", uri="/", algorithm=${algorithm}, nonce="${nonce}", nc=00000001, cnonce="x", qop=auth, response="${response}"`
}

const ask = async (mechanism: Mechanism, header: string, address = '10.0.0.7'): Promise<HttpOutcome> =>
  mechanism.authenticate(credentials({ headers: { authorization: header }, address }))
const summary = (outcome: HttpOutcome): string =>
  outcome.kind === 'identified'
    ? `${outcome.identity.id} of ${outcome.identity.source} (${outcome.identity.roles.join()})`
    : outcome.kind === 'rejected'
      ? outcome.reason
      : outcome.kind

const rows: readonly (readonly [name: string, password: string, expected: string])[] = [
  ['alice', 'pencil', 'alice of staff (support)'],
  ['alice', 'pencils', 'wrong-password'],
  ['alice', 'of the second store', 'wrong-password'],
  ['zoë', 'changeit', 'zoë of legacy (users)'],
  ['zoë', 'pencil', 'wrong-password'],
  ['dora', 'pencil', 'dora of digest (robots)'],
  ['lockey', 'pencil', 'locked'],
  ['lockey', 'pencils', 'wrong-password'],
  ['without', 'pencil', 'wrong-password'],
  ['moved', 'pencil', 'wrong-password'],
  ['hashed', 'changeit', 'wrong-password'],
  ['nobody', 'pencil', 'unknown-user'],
  ['', '', 'unknown-user'],
]

for (const hidden of [false, true]) {
  test(`accounts of every store, by ${hidden ? 'the hash of a name' : 'name'}: the first that knows it decides`, async () => {
    const mechanism = create()
    for (const [name, password, expected] of rows) {
      const outcome = await ask(mechanism, answer(mechanism, name, password, { hidden }))
      // An account that keeps nothing for this realm is not known by the hash of its name either.
      const isUnknown = hidden && ['without', 'moved'].includes(name)
      assert.equal(summary(outcome), isUnknown ? 'unknown-user' : expected, `${name} ${password}`)
    }
  })
}

test('who is of a store by digest has what that account has, denials too, and ends with it', async () => {
  const mechanism = create()
  const alice = await ask(mechanism, answer(mechanism, 'alice', 'pencil'))
  assert(alice.kind === 'identified')
  assert.equal(isAccountOf(alice.identity, 'staff'), true)
  const { credential } = (await staff.find('alice')) ?? {}
  assert.equal(alice.identity.credential?.isSame(credential), true)
  const dora = await ask(mechanism, answer(mechanism, 'dora', 'pencil'))
  assert(dora.kind === 'identified')
  assert.equal(isAccountOf(dora.identity, 'staff'), false)
})

test('every algorithm that the account keeps something for, and no other', async () => {
  const mechanism = create()
  for (const algorithm of digestAlgorithms) {
    for (const hidden of [false, true]) {
      const outcome = await ask(mechanism, answer(mechanism, 'alice', 'pencil', { algorithm, hidden }))
      assert.equal(summary(outcome), 'alice of staff (support)', algorithm)
    }
  }
  assert.equal(summary(await ask(mechanism, answer(mechanism, 'dora', 'pencil', { algorithm: 'MD5' }))), 'unknown-user')
})

test('what is computed with for nobody opens nothing, for nobody', async () => {
  const mechanism = create()
  for (const name of ['without', 'moved', 'hashed', 'nobody']) {
    const outcome = await ask(mechanism, answer(mechanism, name, '', { ha1: '0'.repeat(64) }))
    assert.equal(outcome.kind, 'rejected', name)
  }
})

test('a new password holds at once, and takes what digest needs of the old one along', async () => {
  const mechanism = create()
  const login = async (password: string) => summary(await ask(mechanism, answer(mechanism, 'carol', password)))
  await staff.add({ name: 'carol', roles: [], ...none, digest: digestOf('carol', 'old'), locked: false })
  assert.equal(await login('old'), 'carol of staff ()')
  await staff.setVerifier('carol', { ...none, digest: digestOf('carol', 'new') })
  assert.deepEqual([await login('old'), await login('new')], ['wrong-password', 'carol of staff ()'])
  await staff.setVerifier('carol', none)
  assert.equal(await login('new'), 'wrong-password')
})

test('guessing is limited together with the other mechanisms, for unknown names as for known ones', async () => {
  for (const name of ['alice', 'nobody']) {
    const throttle = createLoginThrottle({ now: () => 0 })
    const mechanism = create({ throttle, userhash: false })
    for (let n = 0; n < 3; n += 1) throttle.attempt(name, '10.0.0.7')
    const found: string[] = []
    for (let n = 0; n < 4; n += 1) found.push((await ask(mechanism, answer(mechanism, name, `guess ${n}`))).kind)
    assert.deepEqual(found, ['rejected', 'rejected', 'throttled', 'throttled'], name)
  }
})

test('a store that cannot be asked, or holds damage, decides nothing', async () => {
  const broken: AccountStore = { ...staff, find: () => Promise.reject(new Error('gone')) }
  const one = create({ stores: [staff, broken] })
  await assert.rejects(ask(one, answer(one, 'alice', 'pencil')))
  await assert.rejects(ask(one, answer(one, 'dora', 'pencil')), 'also for users of the configuration')
  const damaged: AccountStore = {
    ...staff,
    find: async name => ({ name, roles: [], ...none, digest: 'SHA-256 x', locked: false }),
  }
  const other = create({ stores: [damaged] })
  await assert.rejects(ask(other, answer(other, 'alice', 'pencil')), { code: 'accounts.unavailable' })
})

test('a store that keeps nothing for digest has nobody for it', async () => {
  const { findHashed: _none, ...plain } = staff
  const mechanism = create({ stores: [plain] })
  assert.equal(summary(await ask(mechanism, answer(mechanism, 'alice', 'pencil', { hidden: true }))), 'unknown-user')
})
