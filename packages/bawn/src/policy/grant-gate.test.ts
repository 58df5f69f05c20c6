import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Administration, Grant, Need } from '../accounts/grant.ts'
import { parseNeed } from '../accounts/grant-target.ts'
import { openSqliteAccounts } from '../accounts/sqlite.ts'
import { AccountError } from '../accounts/store.ts'
import { createIdentity, type Identity } from '../authn/identity.ts'
import { createGrantGate, type GrantGateOptions } from './grant-gate.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-grant-gate-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const freshPath = () => join(folder, `${++files}`, 'accounts.db')

function identity(
  id: string,
  mechanism: Identity['mechanism'],
  source: string | undefined,
  roles: string[] = [],
): Identity {
  return createIdentity({ id, roles, claims: {}, clientId: undefined, mechanism, source, expiresAt: undefined })
}
const need = (text: string): Need => {
  const found = parseNeed(text)
  assert(found !== undefined, text)
  return found
}
const people = need('DQL on table shop.public.people')
const entry = (grantee: string, more: Partial<Grant> = {}): Grant => ({
  grantee,
  ...people,
  state: 'grant',
  grantor: 'operator',
  ...more,
})

const alice = identity('alice', 'scram', 'staff')

async function world(options: Partial<GrantGateOptions> = {}, path = freshPath()) {
  const store = openSqliteAccounts({ name: 'staff', path })
  for (const name of ['alice', 'bob', 'boss']) {
    if ((await store.find(name)) === undefined) await store.administration.create({ name, kind: 'user' })
  }
  if (!(await store.administration.snapshot()).roleNames.has('support')) {
    await store.administration.create({ name: 'support', kind: 'role' })
  }
  const open = await createGrantGate({
    administration: store.administration,
    superusers: ['boss'],
    now: () => performance.now(),
    // Nobody looks unasked: tests say when.
    everyMs: 1_000_000,
    ...options,
  })
  return {
    ...open,
    store,
    path,
    close: async () => {
      open.close()
      await store.close()
    },
  }
}

const sources: readonly (readonly [name: string, who: Identity, isOwn: boolean])[] = [
  ['by SCRAM', identity('alice', 'scram', 'staff'), true],
  ['by password', identity('alice', 'password', 'staff'), true],
  ['by Basic', identity('alice', 'basic', 'staff'), true],
  ['by a certificate', identity('alice', 'certificate', 'staff'), true],
  ['by trust', identity('alice', 'trust', 'staff'), true],
  ['by a token of ours', identity('alice', 'token', 'staff'), true],
  ['of another store', identity('alice', 'scram', 'other'), false],
  ['of no store', identity('alice', 'trust', undefined), false],
  ['a service', identity('alice', 'certificate', 'certificate'), false],
  ['of an issuer', identity('alice', 'jwt', 'corp'), false],
  ['of an issuer that is called like the store', identity('alice', 'jwt', 'staff'), false],
  ['by OAUTHBEARER of such an issuer', identity('alice', 'oauthbearer', 'staff'), false],
  ['by introspection', identity('alice', 'introspection', 'introspection'), false],
  ['an API key', identity('alice', 'api-key', 'api-key'), false],
  ['by digest', identity('alice', 'digest', 'digest'), false],
  ['a token of ours for somebody of an issuer', identity('alice', 'token', 'corp'), false],
  ['the identity of tests', identity('alice', 'identity', undefined), false],
]

test('what a user was granted is for the account of that store alone, and so is being a superuser', async () => {
  const { gate, administration, close } = await world()
  await administration.grant([entry('alice')])
  for (const [name, who, isOwn] of sources) {
    assert.equal(gate.decide(who, [people]).kind, isOwn ? 'permit' : 'deny', name)
    const boss = createIdentity({ ...who, id: 'boss' })
    assert.equal(gate.isSuperuser(boss), isOwn, `superuser ${name}`)
    assert.equal(gate.isSuperuser(who), false, name)
    assert.equal(
      gate.decide(boss, [people, need('AL on cluster')]).kind,
      isOwn ? 'permit' : 'deny',
      `superuser ${name}`,
    )
  }
  await close()
})

test('what a role was granted is for whoever has it, wherever from; a user’s name as a role is nothing', async () => {
  const { gate, administration, close } = await world()
  await administration.grant([entry('support'), entry('bob', { target: { kind: 'cluster' } })])
  for (const [name, who, isOwn] of sources) {
    const holder = createIdentity({ ...who, id: 'someone', roles: ['support', 'other'] })
    // Of its own account the store knows the roles, and this one has none.
    assert.equal(gate.decide(holder, [people]).kind, isOwn ? 'deny' : 'permit', name)
    assert.equal(gate.decide(createIdentity({ ...who, id: 'someone', roles: ['bob'] }), [people]).kind, 'deny', name)
  }
  await administration.grantRoles(['support'], ['alice'])
  assert.deepEqual(gate.decide(alice, [people]), {
    kind: 'permit',
    rule: 'GRANT DQL ON TABLE shop.public.people TO support',
  })
  await close()
})

test('every need must be granted; the first that is not decides, and none at all need nothing', async () => {
  const { gate, administration, close } = await world()
  const orders = need('DML on table shop.public.orders')
  await administration.grant([entry('alice')])
  assert.deepEqual(gate.decide(alice, []), { kind: 'permit', rule: 'no privilege is needed' })
  assert.deepEqual(gate.decide(alice, [people]).rule, 'GRANT DQL ON TABLE shop.public.people TO alice')
  assert.deepEqual(gate.decide(alice, [people, orders]), {
    kind: 'deny',
    rule: 'nothing grants DML on table shop.public.orders',
  })
  assert.equal(gate.decide(alice, [orders, people]).rule, 'nothing grants DML on table shop.public.orders')
  await administration.grant([entry('alice', { ...orders, state: 'deny' })])
  assert.equal(gate.decide(alice, [people, orders]).rule, 'DENY DML ON TABLE shop.public.orders TO alice')
  assert.equal(gate.decide(identity('boss', 'scram', 'staff'), [people, orders]).rule, 'superuser boss')
  await close()
})

const catalogues: readonly (readonly [need: string, permitted: boolean])[] = [
  ['DQL on table shop.pg_catalog.pg_class', true],
  ['DQL on table shop.information_schema.tables', true],
  ['DQL on schema shop.pg_catalog', true],
  ['DQL on schema shop.information_schema', true],
  ['DML on table shop.pg_catalog.pg_class', false],
  ['DDL on schema shop.information_schema', false],
  ['AL on table shop.pg_catalog.pg_class', false],
  ['DQL on table shop.pg_catalog.pg_stats', false],
  ['DQL on table shop.pg_catalog.pg_statistic', false],
  ['DQL on table shop.pg_catalog.pg_authid', false],
  ['DQL on table shop.pg_catalog.pg_stat_activity', false],
  ['DQL on table shop.pg_catalog.pg_largeobject', false],
  ['DQL on table shop.information_schema.user_mapping_options', false],
  ['DQL on table shop.pg_toast.pg_toast_1', false],
  ['DQL on schema shop.pg_catalogue', false],
  ['DQL on table shop.public.pg_class', false],
  ['DQL on database shop', false],
]
test('catalogues are read by everybody, whatever is denied, but for what holds values of others; nothing else is', async () => {
  const { gate, administration, close } = await world()
  const denied = entry('alice', { state: 'deny', target: { kind: 'cluster' } })
  for (const entries of [
    [],
    [denied],
    [{ ...denied, target: { kind: 'schema', database: 'shop', schema: 'pg_catalog' } as const }],
  ]) {
    await administration.grant(entries)
    for (const [text, permitted] of catalogues) {
      assert.equal(gate.decide(alice, [need(text)]).kind, permitted ? 'permit' : 'deny', text)
    }
  }
  assert.equal(gate.sees(alice, need('DQL on table shop.pg_catalog.pg_stats').target), true)
  assert.equal(gate.sees(alice, people.target), false)
  assert.equal(gate.sees(identity('boss', 'scram', 'staff'), people.target), true)
  await close()
})

test('what is changed here holds for the next decision; the epoch moves with it, and with nothing else', async () => {
  const { gate, administration, store, close } = await world()
  let last = gate.epoch
  const steps: readonly (readonly [
    name: string,
    work: () => Promise<unknown>,
    kind: 'permit' | 'deny',
    moves: boolean,
  ])[] = [
    ['grant', () => administration.grant([entry('alice')]), 'permit', true],
    ['the same again', () => administration.grant([entry('alice')]), 'permit', false],
    ['a password', () => administration.setPassword('bob', undefined), 'permit', false],
    ['deny', () => administration.grant([entry('alice', { state: 'deny' })]), 'deny', true],
    ['revoke', () => administration.revoke([entry('alice')]), 'deny', true],
    ['a grant to a role', () => administration.grant([entry('support')]), 'deny', true],
    ['the role', () => administration.grantRoles(['support'], ['alice']), 'permit', true],
    [
      'the table is renamed',
      () => administration.rename(people.target, { ...tablePeople, table: 'persons' }),
      'deny',
      true,
    ],
    ['and back', () => administration.rename({ ...tablePeople, table: 'persons' }, people.target), 'permit', true],
    ['the role is taken', () => administration.revokeRoles(['support'], ['alice']), 'deny', true],
    ['the role once more', () => administration.grantRoles(['support'], ['alice']), 'permit', true],
    ['the table is dropped', () => administration.forget(people.target), 'deny', true],
  ]
  for (const [name, work, kind, moves] of steps) {
    await work()
    assert.equal(gate.decide(alice, [people]).kind, kind, name)
    assert.equal(gate.epoch !== last, moves, name)
    last = gate.epoch
  }
  await administration.grantRoles(['support'], ['bob'])
  await administration.grant([entry('support'), entry('bob')])
  await administration.drop('bob')
  assert.equal(gate.decide(identity('bob', 'scram', 'staff', ['support']), [people]).kind, 'deny')
  assert.equal(await store.find('bob'), undefined)
  await close()
})
const tablePeople = { kind: 'table', database: 'shop', schema: 'public', table: 'people' } as const

test('a change of another process holds after refresh, and by itself at the next look', async () => {
  const { gate, path, close } = await world()
  const other = openSqliteAccounts({ name: 'staff', path })
  await other.administration.grant([entry('alice')])
  assert.equal(gate.decide(alice, [people]).kind, 'deny')
  await gate.refresh()
  assert.equal(gate.decide(alice, [people]).kind, 'permit')
  await close()

  // The real interval, and no word from us.
  const looking = await world({ everyMs: undefined }, path)
  assert.equal(looking.gate.decide(alice, [people]).kind, 'permit')
  await other.administration.revoke([entry('alice')])
  const { epoch } = looking.gate
  // The gate's own timer keeps no process alive.
  while (looking.gate.epoch === epoch) await new Promise(resolve => setTimeout(resolve, 10))
  assert.equal(looking.gate.decide(alice, [people]).kind, 'deny')
  await looking.close()
  await other.close()
})

test('a look that began before does not answer who asks for one now', async () => {
  const { store, close } = await world()
  const { administration } = store
  let release: (() => void) | undefined
  let snapshots = 0
  /** Reads, and hands out late what it has read. */
  const slow: Administration = {
    ...administration,
    async snapshot() {
      const snapshot = await administration.snapshot()
      if (snapshots++ > 0)
        await new Promise<void>(resolve => {
          release = resolve
        })
      return snapshot
    },
  }
  const open = await createGrantGate({ administration: slow, superusers: [], now: () => 0, everyMs: 1_000_000 })
  await administration.grant([entry('alice')])
  const first = open.gate.refresh()
  while (release === undefined) await new Promise(resolve => setImmediate(resolve))
  await administration.revoke([entry('alice')])
  const second = open.gate.refresh()
  const third = open.gate.refresh()
  assert.notEqual(first, second)
  assert.equal(second, third)
  release()
  release = undefined
  await first
  assert.equal(open.gate.decide(alice, [people]).kind, 'permit')
  while (release === undefined) await new Promise(resolve => setImmediate(resolve))
  ;(release as () => void)()
  await second
  assert.equal(open.gate.decide(alice, [people]).kind, 'deny')
  open.close()
  await close()
})

test('a store that cannot be read for more than a second decides nothing; read again, it does', async () => {
  let at = 0
  let isBroken = false
  const failures: unknown[] = []
  const { store, close, ...rest } = await world()
  rest.gate.decide(alice, [])
  const { administration } = store
  const failing: Administration = {
    ...administration,
    version: () =>
      isBroken ? Promise.reject(new AccountError('accounts.unavailable', 'disk')) : administration.version(),
  }
  const open = await createGrantGate({
    administration: failing,
    superusers: ['boss'],
    now: () => at,
    everyMs: 1_000_000,
    onFailure: cause => failures.push(cause),
  })
  await open.administration.grant([entry('alice')])
  isBroken = true
  await assert.rejects(open.gate.refresh(), { code: 'accounts.unavailable' })
  await assert.rejects(open.gate.refresh(), { code: 'accounts.unavailable' })
  assert.equal(failures.length, 1)
  at = 1_000
  assert.equal(open.gate.decide(alice, [people]).kind, 'permit')
  at = 1_001
  const unavailable = { code: 'accounts.unavailable' }
  assert.throws(() => open.gate.decide(alice, [people]), unavailable)
  assert.throws(() => open.gate.decide(identity('boss', 'scram', 'staff'), [people]), unavailable)
  assert.throws(() => open.gate.sees(alice, people.target), unavailable)
  isBroken = false
  await open.gate.refresh()
  assert.equal(open.gate.decide(alice, [people]).kind, 'permit')

  // What was changed and cannot be read is not decided by what was before, not even for a second.
  isBroken = true
  assert.equal(await open.administration.revoke([entry('alice')]), 1)
  assert.throws(() => open.gate.decide(alice, [people]), unavailable)
  isBroken = false
  await open.gate.refresh()
  assert.equal(open.gate.decide(alice, [people]).kind, 'deny')
  open.close()
  assert.throws(() => open.gate.decide(alice, [people]), unavailable)
  await close()
})

test('a store that does not answer for more than a second decides nothing until it does', async () => {
  let at = 0
  const { store, close } = await world()
  const { administration } = store
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const hanging: Administration = {
    ...administration,
    async version() {
      asked.resolve()
      await answer.promise
      return administration.version()
    },
  }
  const open = await createGrantGate({ administration: hanging, superusers: [], now: () => at, everyMs: 1_000_000 })
  await store.administration.grant([entry('alice')])
  const looked = open.gate.refresh()
  await asked.promise
  at = 1_000
  assert.equal(open.gate.decide(alice, [people]).kind, 'deny')
  at = 1_001
  for (const ask of [() => open.gate.decide(alice, [people]), () => open.gate.isSuperuser(alice)]) {
    assert.throws(ask, { code: 'accounts.unavailable' })
  }
  answer.resolve()
  await looked
  assert.equal(open.gate.decide(alice, [people]).kind, 'permit')
  open.close()
  await close()
})

test('a store that may be away at the start decides nothing until it can be read', async () => {
  const { store, close } = await world()
  const { administration } = store
  await administration.grant([entry('alice')])
  let isAway = true
  const failures: unknown[] = []
  const unless = <Result>(work: () => Promise<Result>) =>
    isAway ? Promise.reject(new AccountError('accounts.unavailable', 'away')) : work()
  const away: Administration = {
    ...administration,
    version: () => unless(() => administration.version()),
    snapshot: () => unless(() => administration.snapshot()),
  }
  const open = await createGrantGate({
    ...{ administration: away, superusers: ['boss'], now: () => 0, everyMs: 1_000_000, mayBeAway: true },
    onFailure: cause => failures.push(cause),
  })
  assert.equal(failures.length, 1)
  const unavailable = { code: 'accounts.unavailable' }
  assert.throws(() => open.gate.decide(alice, [people]), unavailable)
  assert.throws(() => open.gate.decide(identity('boss', 'scram', 'staff'), [people]), unavailable)
  await assert.rejects(open.gate.refresh(), unavailable)
  isAway = false
  await open.gate.refresh()
  assert.equal(open.gate.decide(alice, [people]).kind, 'permit')
  open.close()
  await close()
})

test('a store that cannot be read at the start is said then', async () => {
  const { store, close } = await world()
  await close()
  await assert.rejects(createGrantGate({ administration: store.administration, superusers: [], now: () => 0 }), {
    code: 'accounts.unavailable',
  })
})

test('superusers are out of reach of doors, in every way that would change them', async () => {
  const { administration, store, close } = await world()
  const refused = { code: 'accounts.superuser' }
  await assert.rejects(administration.setPassword('boss', 'correct horse'), refused)
  await assert.rejects(administration.drop('boss'), refused)
  await assert.rejects(administration.create({ name: 'boss', kind: 'user' }), refused)
  await assert.rejects(administration.grant([entry('alice'), entry('boss', { state: 'deny' })]), refused)
  await assert.rejects(administration.revoke([entry('boss')]), refused)
  await assert.rejects(administration.grantRoles(['support'], ['alice', 'boss']), refused)
  await assert.rejects(administration.revokeRoles(['support'], ['boss']), refused)
  assert.equal((await administration.snapshot()).grants.size, 0)
  // At the command line they are accounts like others.
  await store.administration.setPassword('boss', undefined)
  assert.deepEqual(
    (await administration.principals()).map(({ name }) => name),
    ['alice', 'bob', 'boss', 'support'],
  )
  await close()
})

test('whoever still asks under a replaced configuration is answered by the one that serves', async () => {
  const path = freshPath()
  const before = await world({}, path)
  const after = await world({ superusers: ['alice'] }, path)
  const epochs = new Set([before.gate.epoch, after.gate.epoch])
  assert.equal(epochs.size, 2)
  before.follow(after)
  await before.close()
  assert.equal(before.gate.isSuperuser(alice), true)
  assert.equal(before.gate.epoch, after.gate.epoch)
  const bob = identity('bob', 'scram', 'staff')
  await before.administration.grant([entry('bob')])
  for (const { gate } of [before, after]) assert.equal(gate.decide(bob, [people]).kind, 'permit')
  assert.equal(before.gate.sees(bob, people.target), true)
  assert.equal(await before.administration.version(), await after.administration.version())
  await assert.rejects(before.administration.drop('alice'), { code: 'accounts.superuser' })
  await before.gate.refresh()
  await after.close()
})

test('for explaining, what was looked at is told', async () => {
  const { administration, explain, close } = await world()
  await administration.grant([entry('support')])
  await administration.grantRoles(['support'], ['alice'])
  assert.deepEqual(explain(alice, people), [
    'own entries: none',
    'role support: GRANT DQL ON TABLE shop.public.people TO support',
  ])
  assert.deepEqual(explain(identity('boss', 'scram', 'staff'), people), ['superuser boss: no grant is asked for'])
  assert.deepEqual(explain(alice, need('DQL on table shop.pg_catalog.pg_class')), [
    'table shop.pg_catalog.pg_class: catalogues are read by everybody',
  ])
  await close()
})

test('more kinds of askers than are kept are decided all the same', async () => {
  const { gate, administration, close } = await world()
  await administration.grant([entry('support')])
  for (let n = 0; n < 10_050; n += 1) {
    assert.equal(gate.decide(identity('x', 'jwt', 'corp', [`r${n}`]), [people]).kind, 'deny')
  }
  assert.equal(gate.decide(identity('x', 'jwt', 'corp', ['r1', 'support']), [people]).kind, 'permit')
  await close()
})
