import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { builtin } from '../builtin.ts'
import { parsePlugin } from './parse.ts'

const options = z.strictObject({})
const mechanism = { kind: 'badge', doors: ['http'], options, create: () => ({}) }
const plugin = { name: 'a', api: 1, mechanisms: [mechanism] }

test('a plug-in is read for what it is, and what is in the box is one', () => {
  assert.deepEqual(parsePlugin(plugin), { kind: 'ok', plugin })
  assert.equal(parsePlugin(builtin).kind, 'ok')
  // Schemas of arktype are functions.
  const callable = Object.assign(() => {}, { '~standard': options['~standard'] })
  const check = { kind: 'c', options: callable, create: () => {} }
  assert.equal(parsePlugin({ name: 'a', api: 1, tokenChecks: [check] }).kind, 'ok')
})

const rows: readonly (readonly [name: string, value: unknown, what: RegExp])[] = [
  ['nothing', undefined, /no default export/],
  ['a function', () => plugin, /no default export/],
  ['no name', { ...plugin, name: '' }, /no name/],
  ['a misspelt list', { name: 'a', api: 1, mechanism: [] }, /"mechanism".*did you mean "mechanisms"/],
  ['an unknown member', { ...plugin, zzz: 1 }, /"zzz" that no plug-in has$/],
  ['a list that is none', { ...plugin, mechanisms: mechanism }, /mechanisms that are no list/],
  ['nothing to offer', { name: 'a', api: 1 }, /nothing to offer/],
  ['an empty list', { ...plugin, mechanisms: [] }, /nothing to offer/],
  ['a kind that is nothing', { ...plugin, mechanisms: [null] }, /mechanisms\[0\], which is no object/],
  ['no kind', { ...plugin, mechanisms: [{ ...mechanism, kind: undefined }] }, /has no kind/],
  ['a kind that is no word', { ...plugin, mechanisms: [{ ...mechanism, kind: 'A b' }] }, /has no kind/],
  ['a kind of JavaScript', { ...plugin, mechanisms: [{ ...mechanism, kind: '__proto__' }] }, /has no kind/],
  ['a long kind', { ...plugin, mechanisms: [{ ...mechanism, kind: 'a'.repeat(65) }] }, /has no kind/],
  ['no options', { ...plugin, mechanisms: [{ ...mechanism, options: {} }] }, /no Standard Schema/],
  [
    'options of another version',
    { ...plugin, mechanisms: [{ ...mechanism, options: { '~standard': { version: 2, validate: () => ({}) } } }] },
    /no Standard Schema of version 1/,
  ],
  ['no factory', { ...plugin, mechanisms: [{ ...mechanism, create: 1 }] }, /no function create/],
  ['the factory of another list', { name: 'a', api: 1, accountStores: [mechanism] }, /no function open/],
  ['no doors', { ...plugin, mechanisms: [{ ...mechanism, doors: [] }] }, /has no doors/],
  ['a door that is none', { ...plugin, mechanisms: [{ ...mechanism, doors: ['http', 'admin'] }] }, /has no doors/],
]

for (const [name, value, what] of rows) {
  test(`what is no plug-in: ${name}`, () => {
    const reading = parsePlugin(value)
    assert(reading.kind === 'malformed')
    assert.match(reading.what, what)
  })
}

test('another number of the api is told as that, whatever else is different', () => {
  for (const api of [0, 2, '1', undefined, null]) {
    const reading = parsePlugin({ name: 'a', api, somethingNew: [] })
    assert.equal(reading.kind, 'wrong-api', String(api))
  }
})
