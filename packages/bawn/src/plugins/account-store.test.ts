import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CredentialVersion } from '../accounts/credential-version.ts'
import { deriveScramVerifier, formatScramVerifier } from '../accounts/scram-verifier.ts'
import { deriveVerifiers, formatVerifier } from '../accounts/verifier.ts'
import type { AccountSource } from '../plugin.ts'
import { guardAccountStore } from './account-store.ts'
import { anyOptions, border, never, surroundings } from './border.fixture.ts'

const open = async (source: unknown) =>
  guardAccountStore({ kind: 'csv', options: anyOptions, open: () => source as AccountSource }, border).open(
    {},
    { ...surroundings, name: 'staff', create: true },
  )
const finding = (account: unknown) => open({ find: async () => account })

const { password } = await deriveVerifiers('correct horse')
assert(password !== undefined && password.kind !== 'plain')
const scram = await deriveScramVerifier('correct horse', Buffer.alloc(16, 1))
const texts = [formatVerifier(password), formatScramVerifier(scram)]
const olga = { name: 'olga', roles: ['support'] }

test('an account is read with what its password is checked by', async () => {
  const store = await finding({ ...olga, verifiers: texts, locked: true, email: 'olga@example.com' })
  assert.equal(store.name, 'staff')
  assert.deepEqual(await store.find('olga'), {
    ...olga,
    locked: true,
    password,
    scram: { ...scram, salt: Buffer.alloc(16, 1) },
    credential: new CredentialVersion(''),
  })
  assert.deepEqual(await (await finding(olga)).find('olga'), {
    ...olga,
    locked: false,
    scram: undefined,
    password: undefined,
    credential: new CredentialVersion(''),
  })
  assert.equal(await (await finding(undefined)).find('olga'), undefined)
})

test('an account has another version when it has other verifiers', async () => {
  const version = async (verifiers: readonly string[]) =>
    (await (await finding({ ...olga, verifiers })).find('olga'))?.credential
  const before = await version(texts)
  assert.equal(before?.isSame(await version(texts)), true)
  for (const other of [[], texts.slice(1), [`${texts[0]}`]]) assert.equal(before?.isSame(await version(other)), false)
})

const rows: readonly (readonly [name: string, account: unknown])[] = [
  ['null', null],
  ['a text', 'olga'],
  ['no name', { roles: [] }],
  ['another name', { ...olga, name: 'Olga' }],
  ['a name with a line feed', { ...olga, name: 'olga\n' }],
  ['no roles', { name: 'olga' }],
  ['roles in one text', { ...olga, roles: 'support' }],
  ['locked, perhaps', { ...olga, locked: 'no' }],
  ['verifiers that are no list', { ...olga, verifiers: texts[0] }],
  ['a verifier that nobody can read', { ...olga, verifiers: ['secret'] }],
  ['a password in clear', { ...olga, verifiers: [{ kind: 'plain', password: 'secret' }] }],
  ['two of one form', { ...olga, verifiers: [texts[0], texts[0]] }],
]
for (const [name, account] of rows) {
  test(`cannot decide: an account that is ${name}`, async () => {
    const store = await finding(account)
    await assert.rejects(store.find('olga'), (error: Error) => {
      assert('code' in error && error.code === 'plugins.failed')
      assert.match(error.message, /^plug-in strange: account store staff found an account /)
      assert.doesNotMatch(error.message, /secret|argon/)
      return true
    })
  })
}

test('a store that throws, or never answers, cannot decide', async () => {
  for (const find of [() => assert.fail(), () => Promise.reject(new Error('down')), () => never]) {
    const store = await open({ find })
    await assert.rejects(store.find('olga'), { code: 'plugins.failed' })
  }
})

test('what is no store is not opened', async () => {
  const secret = { find: async () => undefined, decoySecret: new Uint8Array(31) }
  for (const source of [undefined, {}, { find: 1 }, secret, never]) {
    await assert.rejects(open(source), { code: 'plugins.failed' })
  }
  const short = await open({ find: async () => undefined, decoySecret: async () => new Uint8Array(31) })
  await assert.rejects(async () => short.decoySecret?.(), { code: 'plugins.failed' })
})

test('nobody writes to it, and it lists only what can be accounts', async () => {
  const store = await open({ find: async () => undefined, list: async () => [olga, { name: 'otto', roles: [] }] })
  assert.deepEqual(
    (await store.list()).map(({ name }) => name),
    ['olga', 'otto'],
  )
  const account = { ...olga, scram: undefined, locked: false }
  await assert.rejects(store.add(account), { code: 'accounts.read_only' })
  await assert.rejects(store.setVerifier('olga', { scram, password }), { code: 'accounts.read_only' })
  await assert.rejects((await finding(undefined)).list(), { code: 'accounts.unavailable' })
  const bad = await open({ find: async () => undefined, list: async () => [olga, 7] })
  await assert.rejects(bad.list(), { code: 'plugins.failed' })
})

test('a decoy that cannot be read keeps nobody out; one that can has the cost of the store', async () => {
  const decoyOf = async (found: unknown) =>
    (await open({ find: async () => undefined, decoy: async () => found })).decoy?.('x')
  assert.deepEqual((await decoyOf({ ...olga, verifiers: [texts[0]] }))?.password, password)
  for (const found of [undefined, { ...olga, verifiers: ['?'] }, 7]) assert.equal(await decoyOf(found), undefined)
  assert.equal((await finding(undefined)).decoy, undefined)
  const decoySecret = new Uint8Array(32).fill(3)
  const keeper = await open({ find: async () => undefined, decoySecret: async () => decoySecret })
  assert.deepEqual(await keeper.decoySecret?.(), decoySecret)
})
