import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Administration, Grant, GrantSnapshot, GrantTarget } from './grant.ts'
import { formatGrant } from './grant-target.ts'
import type { WritableAccountStore } from './store.ts'

// What every store that keeps roles and grants does alike: run with each of them by its own test file.

type Opener = () => Promise<WritableAccountStore & { readonly administration: Administration }>

export interface GrantStoreUnderTest {
  readonly kind: string
  /** An empty store; each call of what it returns opens it once more, as another node does, and closes it after the test. */
  empty(t: TestContext): Promise<Opener>
}

const cluster: GrantTarget = { kind: 'cluster' }
const schema: GrantTarget = { kind: 'schema', database: 'shop', schema: 'public' }
const table = (name: string, of = 'public', database = 'shop'): GrantTarget => ({
  kind: 'table',
  database,
  schema: of,
  table: name,
})
const entry = (
  grantee: string,
  privilege: Grant['privilege'],
  target: GrantTarget,
  state: Grant['state'] = 'grant',
): Grant => ({ grantee, privilege, target, state, grantor: 'operator' })

/** Everything that a snapshot holds, as sorted lines. */
function linesOf({ grants, roles, roleNames }: GrantSnapshot): readonly string[] {
  return [
    ...[...grants.values()].flat().map(formatGrant),
    ...[...roles].flatMap(([grantee, held]) => held.map(role => `${grantee} has ${role}`)),
    ...[...roleNames].map(role => `role ${role}`),
  ].sort()
}
const stateOf = async (administration: Administration) => linesOf(await administration.snapshot())

async function world(open: Opener) {
  const store = await open()
  const { administration } = store
  for (const name of ['alice', 'bob']) await administration.create({ name, kind: 'user' })
  for (const name of ['support', 'staff', 'auditors']) await administration.create({ name, kind: 'role' })
  return { store, administration }
}

/** Small and repeatable (mulberry32): a failing seed can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export function administrationBehaviours({ kind, empty }: GrantStoreUnderTest): void {
  const behaviour = (what: string, work: (open: Opener) => Promise<void>): void => {
    test(`${kind}: ${what}`, async t => work(await empty(t)))
  }

  behaviour('GRANT and DENY replace each other, REVOKE erases either, and what changes nothing is 0', async open => {
    const { administration } = await world(open)
    const own = entry('alice', 'DQL', table('people'))
    const steps: readonly (readonly [work: () => Promise<number>, count: number, after: readonly string[]])[] = [
      [() => administration.grant([own]), 1, ['GRANT DQL ON TABLE shop.public.people TO alice']],
      [() => administration.grant([own]), 0, ['GRANT DQL ON TABLE shop.public.people TO alice']],
      [() => administration.grant([{ ...own, grantor: 'bob' }]), 0, ['GRANT DQL ON TABLE shop.public.people TO alice']],
      [() => administration.grant([{ ...own, state: 'deny' }]), 1, ['DENY DQL ON TABLE shop.public.people TO alice']],
      [() => administration.grant([{ ...own, state: 'deny' }]), 0, ['DENY DQL ON TABLE shop.public.people TO alice']],
      [() => administration.grant([own]), 1, ['GRANT DQL ON TABLE shop.public.people TO alice']],
      [() => administration.revoke([own]), 1, []],
      [() => administration.revoke([own]), 0, []],
      [() => administration.grant([entry('alice', 'DML', cluster, 'deny')]), 1, ['DENY DML TO alice']],
      [() => administration.revoke([{ grantee: 'alice', privilege: 'DML', target: cluster }]), 1, []],
      [() => administration.grant([]), 0, []],
      [
        () => administration.grant([own, own, { ...own, state: 'deny' }]),
        2,
        ['DENY DQL ON TABLE shop.public.people TO alice'],
      ],
    ]
    for (const [index, [work, count, after]] of steps.entries()) {
      assert.equal(await work(), count, `step ${index}`)
      assert.deepEqual([...((await administration.snapshot()).grants.get('alice') ?? [])].map(formatGrant), after)
    }
    const [kept] = (await administration.snapshot()).grants.get('alice') ?? []
    assert.equal(kept?.grantor, 'operator')
  })

  behaviour(
    'the same object on another level, in another schema or database, and another privilege are entries of their own',
    async open => {
      const { administration } = await world(open)
      const entries = [
        entry('alice', 'DQL', cluster),
        entry('alice', 'DQL', { kind: 'database', database: 'shop' }, 'deny'),
        entry('alice', 'DQL', schema),
        entry('alice', 'DQL', table('people'), 'deny'),
        entry('alice', 'DML', table('people')),
        entry('alice', 'DQL', table('people', 'other')),
        entry('alice', 'DQL', table('people', 'public', 'archive')),
        entry('support', 'DQL', table('people')),
      ]
      assert.equal(await administration.grant(entries), entries.length)
      assert.equal(await administration.revoke([entry('alice', 'DQL', schema)]), 1)
      const lines = (await stateOf(administration)).filter(line => / TO /.test(line))
      assert.deepEqual(
        lines,
        entries
          .filter(({ target }) => target.kind !== 'schema')
          .map(formatGrant)
          .sort(),
      )
    },
  )

  behaviour(
    'who does not exist is granted nothing, and of a batch with one unknown name nothing is done',
    async open => {
      const { administration } = await world(open)
      const before = await stateOf(administration)
      const missing = { code: 'accounts.not_found' }
      await assert.rejects(administration.grant([entry('alice', 'DQL', cluster), entry('carol', 'DQL', cluster)]), {
        ...missing,
        message: /"carol"$/,
      })
      await assert.rejects(administration.revoke([entry('carol', 'DQL', cluster)]), missing)
      await assert.rejects(administration.grantRoles(['support', 'sales'], ['alice']), missing)
      await assert.rejects(administration.grantRoles(['support'], ['alice', 'carol']), missing)
      await assert.rejects(administration.revokeRoles(['sales'], ['alice']), missing)
      await assert.rejects(administration.drop('carol'), missing)
      await assert.rejects(administration.setPassword('carol', 'correct horse'), missing)
      assert.deepEqual(await stateOf(administration), before)
    },
  )

  behaviour('names that no object can have are refused', async open => {
    const { administration } = await world(open)
    const invalid = { code: 'accounts.invalid' }
    for (const target of [
      table(''),
      table('x'.repeat(64)),
      table('a\0'),
      { kind: 'database', database: '' } as const,
    ]) {
      await assert.rejects(administration.grant([entry('alice', 'DQL', target)]), invalid)
      await assert.rejects(administration.revoke([entry('alice', 'DQL', target)]), invalid)
      await assert.rejects(administration.forget(target), invalid)
    }
    await assert.rejects(administration.forget(cluster), invalid)
    await assert.rejects(administration.rename(schema, table('people')), invalid)
  })

  behaviour('users and roles share their names; a role has no password and never logs in', async open => {
    const { store, administration } = await world(open)
    const taken = { code: 'accounts.exists' }
    await assert.rejects(administration.create({ name: 'alice', kind: 'role' }), taken)
    await assert.rejects(administration.create({ name: 'support', kind: 'role' }), taken)
    await assert.rejects(administration.create({ name: 'support', kind: 'user' }), taken)
    await assert.rejects(store.add({ name: 'support', roles: [], scram: undefined, locked: false }), taken)
    const invalid = { code: 'accounts.invalid' }
    await assert.rejects(administration.create({ name: 'sales', kind: 'role', password: 'correct horse' }), invalid)
    await assert.rejects(administration.create({ name: 'not a role', kind: 'role' }), invalid)
    await assert.rejects(administration.create({ name: 'a\nb', kind: 'user' }), invalid)
    await assert.rejects(administration.setPassword('support', 'correct horse'), invalid)
    for (const password of ['', 'short', 'x'.repeat(1_025), 'correct\0horse']) {
      await assert.rejects(administration.create({ name: 'dave', kind: 'user', password }), invalid)
      await assert.rejects(administration.setPassword('alice', password), invalid)
    }
    assert.equal(await store.find('support'), undefined)
    await administration.setPassword('alice', 'correct horse')
    assert.equal((await store.decoy('rrr'))?.name, 'alice')
    assert.deepEqual(
      (await store.list()).map(({ name }) => name),
      ['alice', 'bob'],
    )
  })

  behaviour('a password can be set, and taken away', async open => {
    const { store, administration } = await world(open)
    await administration.create({ name: 'dave', kind: 'user', password: 'correct horse' })
    assert.equal((await store.find('dave'))?.password?.kind, 'argon2id')
    assert.notEqual((await store.find('dave'))?.scram, undefined)
    await administration.setPassword('dave', undefined)
    assert.deepEqual(
      (await administration.principals()).map(({ name, kind, hasPassword }) => [name, kind, hasPassword]),
      [
        ['alice', 'user', false],
        ['auditors', 'role', false],
        ['bob', 'user', false],
        ['dave', 'user', false],
        ['staff', 'role', false],
        ['support', 'role', false],
      ],
    )
    await administration.setPassword('alice', 'correct horse')
    assert.equal((await administration.principals())[0]?.hasPassword, true)
  })

  behaviour(
    'roles are granted to users and to roles, and an account has those of its roles, now and after changes',
    async open => {
      const { store, administration } = await world(open)
      const rolesOf = async (user: string) => (await store.find(user))?.roles
      await store.setRoles('bob', ['free'])
      assert.equal(await administration.grantRoles(['support'], ['alice', 'bob']), 2)
      assert.equal(await administration.grantRoles(['support'], ['alice', 'bob']), 0)
      assert.equal(await administration.grantRoles(['staff', 'auditors'], ['support']), 2)
      assert.deepEqual(await rolesOf('alice'), ['auditors', 'staff', 'support'])
      assert.deepEqual(await rolesOf('bob'), ['auditors', 'free', 'staff', 'support'])
      assert.deepEqual((await store.find('bob'))?.granted, ['free', 'support'])
      assert.deepEqual(
        (await store.list()).map(({ roles }) => roles),
        [
          ['auditors', 'staff', 'support'],
          ['auditors', 'free', 'staff', 'support'],
        ],
      )
      assert.equal(await administration.revokeRoles(['staff'], ['support', 'alice']), 1)
      assert.deepEqual(await rolesOf('alice'), ['auditors', 'support'])
      // A name that only the configuration knows can be taken away, too.
      assert.equal(await administration.revokeRoles(['free'], ['bob']), 1)
      assert.deepEqual(await rolesOf('bob'), ['auditors', 'support'])
      await assert.rejects(administration.grantRoles(['alice'], ['support']), { code: 'accounts.invalid' })
      await assert.rejects(administration.grantRoles(['alice'], ['bob']), { code: 'accounts.invalid' })
    },
  )

  behaviour('roles of roles that another process changes show at once', async open => {
    const [here, there] = [await open(), await open()]
    await here.administration.create({ name: 'alice', kind: 'user' })
    for (const name of ['a', 'b']) await here.administration.create({ name, kind: 'role' })
    await here.administration.grantRoles(['a'], ['alice'])
    assert.deepEqual((await there.find('alice'))?.roles, ['a'])
    const before = await there.administration.version()
    await here.administration.grantRoles(['b'], ['a'])
    assert.deepEqual((await there.find('alice'))?.roles, ['a', 'b'])
    assert.notEqual(await there.administration.version(), before)
    await here.administration.revokeRoles(['b'], ['a'])
    assert.deepEqual((await there.find('alice'))?.roles, ['a'])
  })

  behaviour('no role can have itself, be it over others', async open => {
    const { administration } = await world(open)
    const cycle = { code: 'accounts.role_cycle' }
    await assert.rejects(administration.grantRoles(['support'], ['support']), cycle)
    await administration.grantRoles(['staff'], ['support'])
    await administration.grantRoles(['auditors'], ['staff'])
    const before = await stateOf(administration)
    await assert.rejects(administration.grantRoles(['support'], ['auditors']), cycle)
    await assert.rejects(administration.grantRoles(['support'], ['staff']), cycle)
    // The first half of it would have been fine.
    await assert.rejects(administration.grantRoles(['support'], ['alice', 'auditors']), cycle)
    assert.deepEqual(await stateOf(administration), before)
  })

  behaviour(
    'a role that somebody has cannot be dropped; dropped, it takes its entries and nothing else along',
    async open => {
      const { administration } = await world(open)
      await administration.grant([
        entry('support', 'DQL', schema),
        entry('staff', 'DQL', schema),
        entry('alice', 'DQL', schema),
      ])
      await administration.grantRoles(['support'], ['alice', 'auditors'])
      await administration.grantRoles(['staff'], ['support', 'bob'])
      await assert.rejects(administration.drop('support'), {
        code: 'accounts.role_in_use',
        message: 'role support cannot be dropped: it is granted to alice, auditors',
      })
      await administration.revokeRoles(['support'], ['alice', 'auditors'])
      const before = await stateOf(administration)
      await administration.drop('support')
      const gone = ['GRANT DQL ON SCHEMA shop.public TO support', 'role support', 'support has staff']
      assert.deepEqual(
        await stateOf(administration),
        before.filter(line => !gone.includes(line)),
      )
      // Made again it has nothing of before.
      await administration.create({ name: 'support', kind: 'role' })
      assert.equal((await administration.snapshot()).grants.get('support'), undefined)
    },
  )

  for (const way of ['drop', 'remove'] as const) {
    behaviour(
      `a user that is ${way === 'drop' ? 'dropped' : 'removed'} takes its entries and roles along, and nothing of others`,
      async open => {
        const { store, administration } = await world(open)
        await administration.grant(['alice', 'bob', 'support'].map(grantee => entry(grantee, 'DQL', schema)))
        await administration.grantRoles(['support'], ['alice', 'bob'])
        const before = await stateOf(administration)
        await (way === 'drop' ? administration.drop('alice') : store.remove('alice'))
        assert.deepEqual(
          await stateOf(administration),
          before.filter(line => !/alice/.test(line)),
        )
        await store.add({ name: 'alice', roles: [], scram: undefined, locked: false })
        assert.equal((await administration.snapshot()).grants.get('alice'), undefined)
        await assert.rejects(store.remove('support'), { code: 'accounts.not_found' })
        assert.equal((await administration.snapshot()).grants.get('support')?.length, 1)
      },
    )
  }

  behaviour('dropping an object takes the entries on it and in it, and no others', async open => {
    const { administration } = await world(open)
    const entries = [
      entry('alice', 'DQL', cluster),
      entry('alice', 'DQL', { kind: 'database', database: 'shop' }),
      entry('alice', 'DQL', schema),
      entry('alice', 'DQL', table('people')),
      entry('bob', 'DML', table('people'), 'deny'),
      entry('alice', 'DQL', table('orders')),
      entry('alice', 'DQL', table('people', 'other')),
      entry('alice', 'DQL', table('people', 'public', 'archive')),
    ]
    await administration.grant(entries)
    const left = async () => (await stateOf(administration)).filter(line => / TO /.test(line))
    assert.equal(await administration.forget(table('people')), 2)
    assert.equal(await administration.forget(table('people')), 0)
    assert.deepEqual(
      await left(),
      entries
        .filter((_, at) => at !== 3 && at !== 4)
        .map(formatGrant)
        .sort(),
    )
    assert.equal(await administration.forget(schema), 2)
    assert.deepEqual(await left(), [0, 1, 6, 7].map(at => formatGrant(entries[at] ?? entry('', 'AL', cluster))).sort())
    assert.equal(await administration.forget({ kind: 'database', database: 'shop' }), 2)
    assert.equal((await left()).length, 2)
  })

  behaviour(
    'renaming an object moves its entries; of the name’s earlier entries, denials stay and grants do not',
    async open => {
      const { administration } = await world(open)
      await administration.grant([
        entry('alice', 'DQL', table('people')),
        entry('bob', 'DQL', table('people')),
        entry('bob', 'DML', table('people')),
        entry('alice', 'DML', table('persons')),
        entry('bob', 'DQL', table('persons'), 'deny'),
        entry('support', 'DQL', table('persons'), 'deny'),
        entry('alice', 'DQL', table('orders')),
      ])
      const left = async () => (await stateOf(administration)).filter(line => / TO /.test(line))
      assert.equal(await administration.rename(table('people'), table('people')), 0)
      assert.equal(await administration.rename(table('people'), table('persons')), 3)
      assert.deepEqual(await left(), [
        'DENY DQL ON TABLE shop.public.persons TO bob',
        'DENY DQL ON TABLE shop.public.persons TO support',
        'GRANT DML ON TABLE shop.public.persons TO bob',
        'GRANT DQL ON TABLE shop.public.orders TO alice',
        'GRANT DQL ON TABLE shop.public.persons TO alice',
      ])
      assert.equal(await administration.rename(schema, { kind: 'schema', database: 'shop', schema: 'main' }), 5)
      assert.equal((await left()).filter(line => line.includes('shop.main.')).length, 5)
      assert.equal(await administration.rename(table('orders', 'main'), table('orders', 'archive')), 1)
      assert.deepEqual(
        (await left()).filter(line => line.includes('orders')),
        ['GRANT DQL ON TABLE shop.archive.orders TO alice'],
      )
    },
  )

  behaviour('the version moves with what grants are decided by, and with nothing else', async open => {
    const { store, administration } = await world(open)
    await store.add({ name: 'dave', roles: ['free'], scram: undefined, locked: false })
    let last = await administration.version()
    const moves = async (name: string, work: () => Promise<unknown>, moved: boolean) => {
      await work()
      const now = await administration.version()
      assert.equal(now !== last, moved, name)
      assert.equal((await administration.snapshot()).version, now)
      last = now
    }
    const own = entry('alice', 'DQL', schema)
    await moves('grant', () => administration.grant([own]), true)
    await moves('grant again', () => administration.grant([own]), false)
    await moves('deny', () => administration.grant([{ ...own, state: 'deny' }]), true)
    await moves('revoke', () => administration.revoke([own]), true)
    await moves('roles of a user', () => store.setRoles('alice', ['a']), true)
    await moves('the same roles', () => store.setRoles('alice', ['a']), false)
    await moves('a role for a role', () => administration.grantRoles(['staff'], ['support']), true)
    await moves('a role made', () => administration.create({ name: 'new', kind: 'role' }), true)
    await moves('a role dropped', () => administration.drop('new'), true)
    await moves('a user locked', () => store.setLocked('alice', true), false)
    await moves('a password', () => administration.setPassword('alice', 'correct horse'), false)
    await moves('a user without roles', () => administration.create({ name: 'erin', kind: 'user' }), false)
    await moves('a user removed', () => store.remove('dave'), true)
  })

  for (const seed of [1, 2, 3]) {
    behaviour(
      `whatever is done, in any order: exactly that has changed, and nothing of others (seed ${seed})`,
      async open => {
        const { administration } = await world(open)
        const below = random(seed)
        const one = <T>(list: readonly T[]): T => {
          const found = list[below(list.length)]
          assert(found !== undefined)
          return found
        }
        const everybody = ['alice', 'bob', 'support', 'staff', 'auditors']
        const targets: readonly GrantTarget[] = [cluster, schema, table('a'), table('b'), table('a', 'other')]
        /** What it should be: lines, as `linesOf` writes them. */
        const model = new Set(await stateOf(administration))
        const reaches = (from: string, to: string): boolean =>
          from === to || everybody.some(next => model.has(`${from} has ${next}`) && reaches(next, to))
        for (let round = 0; round < 150; round += 1) {
          const target = one(targets)
          const [grantee, role] = [one(everybody), one(['support', 'staff', 'auditors'])]
          const privilege = one(['DQL', 'DML', 'DDL', 'AL'] as const)
          const [granted, denied] = [entry(grantee, privilege, target), entry(grantee, privilege, target, 'deny')].map(
            formatGrant,
          )
          assert(granted !== undefined && denied !== undefined)
          switch (below(5)) {
            case 0:
              assert.equal(await administration.grant([entry(grantee, privilege, target)]), model.has(granted) ? 0 : 1)
              model.delete(denied)
              model.add(granted)
              break
            case 1:
              assert.equal(
                await administration.grant([entry(grantee, privilege, target, 'deny')]),
                model.has(denied) ? 0 : 1,
              )
              model.delete(granted)
              model.add(denied)
              break
            case 2: {
              const had = model.delete(granted) || model.delete(denied)
              assert.equal(await administration.revoke([{ grantee, privilege, target }]), had ? 1 : 0)
              break
            }
            case 3:
              if (reaches(role, grantee)) {
                await assert.rejects(administration.grantRoles([role], [grantee]), { code: 'accounts.role_cycle' })
              } else {
                const had = model.has(`${grantee} has ${role}`)
                assert.equal(await administration.grantRoles([role], [grantee]), had ? 0 : 1)
                model.add(`${grantee} has ${role}`)
              }
              break
            case 4:
              assert.equal(
                await administration.revokeRoles([role], [grantee]),
                model.delete(`${grantee} has ${role}`) ? 1 : 0,
              )
              break
          }
          assert.deepEqual(await stateOf(administration), [...model].sort(), `seed ${seed}, round ${round}`)
        }
      },
    )
  }
}
