import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accountStoreOptions } from './accounts/option.ts'
import { mechanismsOptions } from './authn/option.ts'
import { builtin, builtinKinds } from './builtin.ts'
import { tokensOptions } from './tokens/option.ts'

const kindsOf = (union: {
  readonly options: readonly { readonly shape: { readonly kind: { readonly value: string } } }[]
}) => union.options.map(({ shape }) => shape.kind.value)

test('every kind that the configuration file knows is in the box, and no other', () => {
  assert.deepEqual([...builtinKinds.accountStores.keys()], kindsOf(accountStoreOptions))
  assert.deepEqual([...builtinKinds.tokenManagers.keys()], kindsOf(tokensOptions))
  // oidc comes with pages of its own: compose-login.ts.
  const { oidc: _, ...mechanisms } = mechanismsOptions.shape
  assert.deepEqual([...builtinKinds.mechanisms.keys()].sort(), Object.keys(mechanisms).sort())
})

test('options of the box are checked without the key that names the kind', async () => {
  const sqlite = builtin.accountStores?.find(({ kind }) => kind === 'sqlite')
  assert.deepEqual(await sqlite?.options['~standard'].validate({ path: 'a.db' }), { value: { path: 'a.db' } })
  const reading = await sqlite?.options['~standard'].validate({ kind: 'sqlite', path: '' })
  assert.equal(reading?.issues?.length, 2)
  const memory = builtin.tokenManagers?.find(({ kind }) => kind === 'memory')
  assert.deepEqual(await memory?.options['~standard'].validate({}), {
    value: { renew: false, lifetime: 43_200_000, max_per_subject: 16, max_tokens: 100_000 },
  })
})
