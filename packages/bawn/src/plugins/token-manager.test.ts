import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CredentialVersion } from '../accounts/credential-version.ts'
import type { TokenManagerKind } from '../plugin.ts'
import { createMemoryTokenStore } from '../tokens/memory.ts'
import { createRandomTokens, randomTokenDefaults } from '../tokens/random.ts'
import type { TokenStore } from '../tokens/store.ts'
import { anyOptions, border, never, now, surroundings } from './border.fixture.ts'
import { guardTokenManager } from './token-manager.ts'

const given = {
  ...surroundings,
  ttlMs: 60_000,
  memory: createMemoryTokenStore(),
  randomTokens: (store: TokenStore) =>
    createRandomTokens({ name: 'x', ttlMs: 60_000, ...randomTokenDefaults }, store, surroundings.clock),
}
const open = async (kind: TokenManagerKind['open']) =>
  guardTokenManager({ kind: 'file', options: anyOptions, open: kind }, border).open({}, given)

const subject = { id: 'bea', roles: ['staff'], source: 'badge', clientId: undefined, notAfter: now + 5_000 }
const token = `t-${'a'.repeat(40)}`
const good = {
  recognizes: (text: string) => text.startsWith('t-'),
  issue: async () => ({ token, validUntil: now + 1_000, isNew: true }),
  verify: async (): Promise<unknown> => ({ subject, validUntil: now + 1_000, renewed: false }),
  revoke: async (): Promise<unknown> => 1,
  revokeAll: async (): Promise<unknown> => 2,
  list: async (): Promise<unknown> => undefined,
  close: async () => {},
}
const manager = (more: object) => open(() => ({ ...good, ...more }) as never)

test('a manager of a plug-in issues, recognizes, verifies and revokes', async () => {
  const tokens = await manager({})
  assert.equal(tokens.name, 'file')
  assert.deepEqual([tokens.recognizes(token), tokens.recognizes('x')], [true, false])
  assert.deepEqual(await tokens.issue(subject), { token, validUntil: now + 1_000, isNew: true })
  const { isIssuedFor, ...verified } = (await tokens.verify(token, undefined)) ?? assert.fail()
  assert.deepEqual(verified, { subject, validUntil: now + 1_000, renewed: false })
  assert.equal(isIssuedFor(undefined), true)
  assert.deepEqual([await tokens.revoke('bea'), await tokens.revokeAll(), await tokens.list()], [1, 2, undefined])
})

test('a token is of the password that it was issued for, as the manager says; of none where it says nothing', async () => {
  const [one, other] = [new CredentialVersion('1'), new CredentialVersion('2')]
  let issuedFor: CredentialVersion | undefined
  const own = await manager({
    issue: async (_subject: unknown, credential: CredentialVersion | undefined) => {
      issuedFor = credential
      return { token, validUntil: now + 1_000 }
    },
    verify: async () => ({
      subject,
      validUntil: now + 1_000,
      isIssuedFor: (credential?: CredentialVersion) => credential !== undefined && issuedFor?.isSame(credential),
    }),
  })
  await own.issue(subject, one)
  const verified = await own.verify(token, undefined)
  assert.deepEqual([verified?.isIssuedFor(one), verified?.isIssuedFor(other)], [true, false])

  const silent = await (await manager({})).verify(token, undefined)
  assert.deepEqual([silent?.isIssuedFor(one), silent?.isIssuedFor(undefined)], [false, true])
  for (const isIssuedFor of [() => 'yes', async () => true]) {
    const odd = await manager({ verify: async () => ({ subject, validUntil: now + 1, isIssuedFor }) })
    assert.equal((await odd.verify(token, undefined))?.isIssuedFor(one), false)
  }
  const thrower = await manager({
    verify: async () => ({ subject, validUntil: now + 1, isIssuedFor: () => assert.fail('secret') }),
  })
  const thrown = await thrower.verify(token, undefined)
  assert.throws(() => thrown?.isIssuedFor(one), { code: 'plugins.failed' })
})

test('random tokens of ours in a store of theirs are tokens of ours, with our errors', async () => {
  const store = createMemoryTokenStore()
  const tokens = await open((_options, { randomTokens }) => randomTokens(store))
  const password = new CredentialVersion('1')
  const { token: issued } = await tokens.issue(subject, password)
  assert.match(issued, /^bawn_token_/)
  const verified = await tokens.verify(issued, 'bea')
  assert.equal(verified?.subject.id, 'bea')
  assert.deepEqual([verified?.isIssuedFor(password), verified?.isIssuedFor(undefined)], [true, false])
  assert.equal((await tokens.list())?.length, 1)
  const full = await open((_options, { randomTokens }) => randomTokens({ ...store, add: async () => 'full' }))
  await assert.rejects(full.issue(subject), { code: 'tokens.full' })
  const down = await open((_options, { randomTokens }) => randomTokens({ ...store, find: () => assert.fail('secret') }))
  await assert.rejects(down.verify(issued, undefined), { code: 'plugins.failed' })
})

test('whatever a manager says, a token ends with its proof, and speaks for nobody else', async () => {
  const verified = async (answer: object, stated?: string) => {
    const tokens = await manager({
      verify: async () => ({ subject, validUntil: now + 1_000, renewed: true, ...answer }),
    })
    return tokens.verify(token, stated)
  }
  assert.notEqual(await verified({}), undefined)
  assert.equal(await verified({ validUntil: now }), undefined)
  assert.equal(await verified({ subject: { ...subject, notAfter: now } }), undefined)
  assert.equal(await verified({}, 'bob'), undefined)
  assert.notEqual(await verified({}, 'bea'), undefined)
})

const issuing: readonly (readonly [name: string, issued: unknown])[] = [
  ['nothing', undefined],
  ['a short one', { token: 't-short', validUntil: now + 1 }],
  ['one with a space', { token: `t- ${'a'.repeat(40)}`, validUntil: now + 1 }],
  ['one with a line feed', { token: `t-${'a'.repeat(40)}\n`, validUntil: now + 1 }],
  ['one without an end', { token }],
  ['one that outlives its proof', { token, validUntil: now + 5_001 }],
  ['one that it does not know', { token: 'x'.repeat(40), validUntil: now + 1 }],
]
for (const [name, issued] of issuing) {
  test(`no token is given out: ${name}`, async () => {
    const tokens = await manager({ issue: async () => issued })
    await assert.rejects(tokens.issue(subject), { code: 'plugins.failed' })
  })
}

const verifying: readonly (readonly [name: string, answer: unknown])[] = [
  ['null', null],
  ['true', true],
  ['nobody', { validUntil: now + 1 }],
  ['roles in one text', { subject: { ...subject, roles: 'staff' }, validUntil: now + 1 }],
  ['an id with a line feed', { subject: { ...subject, id: 'a\n' }, validUntil: now + 1 }],
  ['a source that is no text', { subject: { ...subject, source: 7 }, validUntil: now + 1 }],
  ['a client id that is no text', { subject: { ...subject, clientId: {} }, validUntil: now + 1 }],
  ['no end', { subject, validUntil: 'later' }],
  ['an end of the proof that is none', { subject: { ...subject, notAfter: Number.NaN }, validUntil: now + 1 }],
]
for (const [name, answer] of verifying) {
  test(`a token cannot be judged: ${name}`, async () => {
    const tokens = await manager({ verify: async () => answer })
    await assert.rejects(tokens.verify(token, undefined), { code: 'plugins.failed' })
  })
}

test('what is no number, no list or no answer is none', async () => {
  await assert.rejects((await manager({ revoke: async () => -1 })).revoke('bea'), { code: 'plugins.failed' })
  await assert.rejects((await manager({ revokeAll: async () => 'all' })).revokeAll(), { code: 'plugins.failed' })
  for (const list of [{}, [7], [{ subject, issuedAt: now }]]) {
    await assert.rejects((await manager({ list: async () => list })).list(), { code: 'plugins.failed' })
  }
  await assert.rejects((await manager({ verify: () => never })).verify(token, undefined), { code: 'plugins.failed' })
  const odd = await manager({ recognizes: () => 'yes' })
  assert.equal(odd.recognizes(token), false)
})

test('a manager that lacks something is not opened, and is told what', async () => {
  await assert.rejects(manager({ revoke: undefined, close: 1 }), { message: /lacks revoke, close$/ })
  await assert.rejects(
    open(() => undefined as never),
    { code: 'plugins.failed' },
  )
})
