import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import type { ClaimsCheck, TokenCheckKind, TokenCheckSurroundings } from '../plugin.ts'
import { anyOptions, border, never, surroundings } from './border.fixture.ts'
import { guardTokenCheck } from './token-check.ts'

const proof = { clientId: undefined, mechanism: 'jwt', source: 'corp', expiresAt: undefined } as const
const identity = createIdentity({ ...proof, id: 'alice', roles: [], claims: Object.freeze({ a: 1 }) })

const create = async (kind: TokenCheckKind['create']) =>
  guardTokenCheck({ kind: 'strict', options: anyOptions, create: kind }, border).create(
    { claims: ['a'] },
    { ...surroundings, issuer: 'corp' },
  )
const answering = async (answer: () => unknown) => {
  const { check } = await create(() => ({ check: answer }) as ClaimsCheck)
  return check(identity.claims, identity)
}

test('a check says yes, or why not, on one line', async () => {
  assert.equal(await answering(() => 'accept'), 'accept')
  assert.deepEqual(await answering(() => ({ reject: 'it has no b' })), { reject: 'it has no b' })
  assert.deepEqual(await answering(() => ({ reject: 'a\nb\u001b' })), { reject: 'a?b?' })
})

test('what is neither cannot decide', async () => {
  for (const answer of [undefined, true, false, 'reject', {}, { reject: 7 }]) {
    await assert.rejects(
      answering(() => answer),
      { code: 'plugins.failed' },
    )
  }
  for (const later of [async () => 'accept', () => Promise.reject(new Error('x'))]) {
    await assert.rejects(answering(later), { code: 'plugins.failed' })
  }
  await assert.rejects(
    answering(() => assert.fail('secret')),
    { code: 'plugins.failed', message: /check strict threw$/ },
  )
})

test('a check is made of its options, for its issuer', async () => {
  let given: readonly [unknown, TokenCheckSurroundings] | undefined
  await create((options, around) => {
    given = [options, around]
    return { check: () => 'accept' }
  })
  assert.deepEqual([given?.[0], given?.[1].issuer], [{ claims: ['a'] }, 'corp'])
  await assert.rejects(
    create(() => ({}) as never),
    { code: 'plugins.failed' },
  )
  await assert.rejects(
    create(() => never),
    { code: 'plugins.failed' },
  )
})
