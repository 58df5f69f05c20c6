import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Account, AccountStore } from '../accounts/store.ts'
import { createTrustMechanism } from './trust.ts'

const storeOf = (name: string, ...accounts: readonly Account[]): AccountStore => ({
  name,
  find: async user => accounts.find(account => account.name === user),
  list: async () => accounts,
  add: async () => {},
  setVerifier: async () => {},
  close: async () => {},
})
const account = (name: string, roles: readonly string[], locked = false): Account => ({
  name,
  roles,
  scram: undefined,
  locked,
})

test('whoever has an account is believed, with the roles of the first store that knows the name', async () => {
  const trust = createTrustMechanism([
    storeOf('staff', account('alice', ['b', 'a']), account('mallory', [], true)),
    storeOf('guests', account('alice', ['other']), account('mallory', ['guest']), account('bob', ['guest'])),
  ])
  const alice = await trust.authenticate('alice')
  assert.ok(alice.kind === 'identified')
  assert.deepEqual(
    [alice.identity.id, alice.identity.roles, alice.identity.source, alice.identity.mechanism],
    ['alice', ['a', 'b'], 'staff', 'trust'],
  )
  const bob = await trust.authenticate('bob')
  assert.equal(bob.kind === 'identified' && bob.identity.source, 'guests')
  assert.deepEqual(await trust.authenticate('mallory'), { kind: 'rejected', reason: 'locked' })
  for (const name of ['', 'Alice', 'nobody']) {
    assert.deepEqual(await trust.authenticate(name), { kind: 'rejected', reason: 'unknown-user' })
  }
})

test('a store that fails is no answer', async () => {
  const broken = { ...storeOf('broken'), find: () => Promise.reject(new Error('gone')) }
  await assert.rejects(createTrustMechanism([broken]).authenticate('alice'))
})
