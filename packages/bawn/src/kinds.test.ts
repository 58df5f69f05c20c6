import assert from 'node:assert/strict'
import { test } from 'node:test'
import { usableMechanisms } from './authn/option.ts'
import { builtinKinds } from './builtin.ts'
import { kindsWith, plainKinds } from './kinds.ts'
import type { Plugin } from './plugin.ts'
import { anyOptions } from './plugins/border.fixture.ts'
import type { LoadedPlugin } from './plugins/load.ts'

const loaded = (name: string, plugin: Omit<Plugin, 'name' | 'api'>): LoadedPlugin => ({
  name,
  plugin: { name, api: 1, ...plugin },
  path: `/etc/bawn/${name}.js`,
  integrity: 'sha256-',
  timeoutMs: 5_000,
  folder: '/etc/bawn',
  warnings: [],
})

const options = anyOptions
const mechanism = (kind: string) => ({ kind, doors: ['http'] as const, options, create: () => ({}) })
const store = (kind: string) => ({ kind, options, open: () => assert.fail() })
const check = (kind: string) => ({ kind, options, create: () => assert.fail() })

test('what plug-ins bring stands beside what is in the box', () => {
  const kinds = kindsWith([
    loaded('one', { mechanisms: [mechanism('badge')], accountStores: [store('csv')] }),
    // A name may be used once in each place.
    loaded('two', { tokenManagers: [store('csv')], tokenChecks: [check('badge')] }),
  ])
  assert(kinds.mechanisms.has('badge') && kinds.mechanisms.has('jwt'))
  assert.equal(kinds.mechanisms.get('jwt'), builtinKinds.mechanisms.get('jwt'))
  assert.deepEqual([...kinds.plugged.accounts.keys()], ['csv'])
  assert.deepEqual([...kinds.plugged.tokens.keys()], ['csv'])
  assert.deepEqual([...kinds.plugged.checks.keys()], ['badge'])
  assert.deepEqual([...kinds.plugged.mechanisms.keys()], ['badge'])
  assert.equal(kindsWith([]), plainKinds)
})

test('nothing in the box is replaced, by any name of it', () => {
  const taken: readonly Omit<Plugin, 'name' | 'api'>[] = [
    // Those too that are made of other sections, or spoken at another door.
    ...usableMechanisms.map(kind => ({ mechanisms: [mechanism(kind)] })),
    ...[...builtinKinds.accountStores.keys(), 'plugin'].map(kind => ({ accountStores: [store(kind)] })),
    ...[...builtinKinds.tokenManagers.keys(), 'plugin'].map(kind => ({ tokenManagers: [store(kind)] })),
    { mechanisms: [mechanism('a'), mechanism('a')] },
    { tokenChecks: [check('a'), check('a')] },
  ]
  for (const plugin of taken) {
    assert.throws(() => kindsWith([loaded('one', plugin)]), { code: 'plugins.duplicate_kind' }, JSON.stringify(plugin))
  }
})

test('of two plug-ins with one name the second is refused, and named', () => {
  const both = [
    loaded('one', { mechanisms: [mechanism('badge')] }),
    loaded('two', { mechanisms: [mechanism('badge')] }),
  ]
  assert.throws(() => kindsWith(both), { message: 'plug-in two has a mechanism "badge", and there is one already' })
})
