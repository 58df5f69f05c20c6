import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CredentialVersion } from './accounts/credential-version.ts'
import type { Account, AccountStore } from './accounts/store.ts'
import { createIdentity, type Identity } from './authn/identity.ts'
import { pluggedMechanism } from './authn/option.ts'
import { isRevoked, watchIdentities, watchStreams } from './revocation.ts'

const version = new CredentialVersion('one')
const account = (
  name: string,
  roles: readonly string[],
  locked = false,
  credential: CredentialVersion | undefined = version,
): Account => ({ name, roles, scram: undefined, credential, locked })

function storeOf(...accounts: readonly Account[]): AccountStore {
  return {
    name: 'staff',
    find: async user => accounts.find(({ name }) => name === user),
    list: async () => accounts,
    add: () => Promise.reject(new Error('read only')),
    setVerifier: () => Promise.reject(new Error('read only')),
    close: async () => {},
  }
}

const identity = (more: Partial<Identity> = {}): Identity =>
  createIdentity({
    id: 'sue',
    roles: ['support', 'sales'],
    claims: {},
    clientId: undefined,
    mechanism: 'scram',
    source: 'staff',
    credential: version,
    expiresAt: undefined,
    ...more,
  })

const rows = [
  { name: 'an account as it was', accounts: [account('sue', ['sales', 'support', 'sales'])], revoked: false },
  { name: 'an account that was removed', accounts: [], revoked: true },
  { name: 'an account that was locked', accounts: [account('sue', ['sales', 'support'], true)], revoked: true },
  {
    name: 'an account with another password',
    accounts: [account('sue', ['sales', 'support'], false, new CredentialVersion('two'))],
    revoked: true,
  },
  {
    name: 'an account with the same password, read again',
    accounts: [account('sue', ['sales', 'support'], false, new CredentialVersion('one'))],
    revoked: false,
  },
  { name: 'a role taken away', accounts: [account('sue', ['support'])], revoked: true },
  { name: 'a role given', accounts: [account('sue', ['sales', 'support', 'billing'])], revoked: true },
  { name: 'a token of an issuer with the name of a store', accounts: [], who: { mechanism: 'jwt' }, revoked: false },
  {
    name: 'a service that is no account',
    accounts: [],
    who: { mechanism: 'certificate', source: 'certificate' },
    revoked: false,
  },
  { name: 'a proof that has expired', accounts: [], who: { mechanism: 'jwt', expiresAt: 1_000 }, revoked: true },
  { name: 'a proof that has not', accounts: [], who: { mechanism: 'jwt', expiresAt: 1_001 }, revoked: false },
] as const

for (const row of rows) {
  test(`${row.name}: ${row.revoked ? 'over' : 'goes on'}`, async () => {
    const who = identity('who' in row ? row.who : {})
    assert.equal(await isRevoked(who, [storeOf(...row.accounts)], 1_000), row.revoked)
  })
}

test('a store that cannot tell is heard as that', async () => {
  const broken = { ...storeOf(), find: () => Promise.reject(new Error('down')) }
  await assert.rejects(isRevoked(identity(), [broken], 0))
})

test('whom a mechanism of a plug-in identifies has an account where a store knows it, and nowhere else', async () => {
  const badge = pluggedMechanism('badge')
  assert(badge !== undefined)
  const ofStore = identity({ mechanism: badge })
  assert.equal(await isRevoked(ofStore, [storeOf(account('sue', ['sales', 'support']))], 0), false)
  assert.equal(await isRevoked(ofStore, [storeOf(account('sue', ['sales', 'support'], true))], 0), true)
  const ofItself = identity({ mechanism: badge, source: 'badge', expiresAt: 10 })
  assert.equal(await isRevoked(ofItself, [storeOf()], 9), false)
  assert.equal(await isRevoked(ofItself, [storeOf()], 10), true)
})

test('everybody is looked at in each round, a few at once, and one who cannot be judged holds up nobody', async () => {
  const open = Array.from({ length: 50 }, (_, n) => identity({ id: `user${n}` }))
  const ended: string[] = []
  let [running, most] = [0, 0]
  const over = Promise.withResolvers<void>()
  const watch = watchIdentities({
    open: () => open,
    async isOver({ id }) {
      running += 1
      most = Math.max(most, running)
      await new Promise(resolve => setImmediate(resolve))
      running -= 1
      if (id === 'user7') throw new Error('down')
      return id !== 'user8'
    },
    end({ id }) {
      ended.push(id)
      if (ended.length === 48) over.resolve()
    },
  })
  await over.promise
  watch.close()
  assert.equal(most, 4)
  assert.equal(new Set(ended).size, 48)
  assert(!ended.includes('user7') && !ended.includes('user8'))
})

test('an answer is cut for what became of the account, and not because the proof has run out meanwhile', async () => {
  const [expired, gone] = [identity({ expiresAt: 1 }), identity({ id: 'tom' })]
  const ended = Promise.withResolvers<Identity>()
  const doors = new Map([['web', { streams: () => [expired, gone], endStreams: ended.resolve }]])
  const stores = [storeOf(account('sue', ['sales', 'support']))]
  const watch = watchStreams(doors, who => isRevoked(who, stores, 1_000))
  assert.equal(await ended.promise, gone)
  watch.close()
})
