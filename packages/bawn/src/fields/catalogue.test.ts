import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { looksLikeContainer, openStored, sealAcraBlock, sealAcraStruct, serialize } from '@bawn/envelope'
import { createIdentity, type Identity } from '../authn/identity.ts'
import { openDirectoryKeystore } from '../keys/directory.ts'
import { generateKeys } from '../keys/generate.ts'
import type { Keystore } from '../keys/keystore.ts'
import { createCatalogue } from './catalogue.ts'
import type { Catalogue, FieldView } from './field.ts'
import { fieldOptions } from './option.ts'

const path = mkdtempSync(join(tmpdir(), 'bawn-fields-'))
after(() => rmSync(path, { recursive: true }))
const masterKey = randomBytes(32)
for (const clientId of ['shop1', 'other']) generateKeys({ path, masterKey, clientId })
generateKeys({ path, masterKey, clientId: 'blockonly', kinds: ['symmetric'] })
generateKeys({ path, masterKey, clientId: 'paironly', kinds: ['storage'] })
const keystore = openDirectoryKeystore({ path, masterKey })
const shop = keystore.client('shop1')
const [shopKey] = shop.symmetric
const [otherKey] = keystore.client('other').symmetric
const shopPublic = shop.storagePublic
const otherPublic = keystore.client('other').storagePublic

function catalogue(...fields: readonly object[]): Catalogue {
  const options = fields.map(field => fieldOptions.parse({ name: 'email', ...field }))
  return createCatalogue(options, { keystore, defaultClientId: 'shop1', databases: ['shop'] })
}

function identity(roles: readonly string[], clientId?: string): Identity {
  return createIdentity({
    id: 'alice',
    roles,
    claims: {},
    clientId,
    mechanism: 'jwt',
    source: 'corp',
    expiresAt: undefined,
  })
}

const column = { columns: ['public.users.email'], protect: { encrypt: 'acrablock', searchable: true } }
const reveal = {
  billing: 'plain',
  support: { mask: 'keep_first', characters: 1 },
  sales: { mask: 'email' },
  intern: 'nothing',
  default: 'nothing',
}

function viewOf(field: object, roles: readonly string[], clientId?: string): FieldView {
  const built = catalogue(field)
  return built.view(built.find('email') ?? assert.fail('no field'), identity(roles, clientId))
}

const bytes = (text: string) => Buffer.from(text)
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString())

const disclosures = [
  { name: 'a listed role', roles: ['billing'], kind: 'plain', rule: 'billing', shows: 'alice@x.com' },
  { name: 'a masked role', roles: ['support'], kind: 'masked', rule: 'support', shows: 'a****' },
  { name: 'plain over masked', roles: ['support', 'billing'], kind: 'plain', rule: 'billing', shows: 'alice@x.com' },
  { name: 'masked over withheld', roles: ['intern', 'sales'], kind: 'masked', rule: 'sales', shows: 'a****@x.com' },
  {
    name: 'of two masks the first in the configuration',
    roles: ['sales', 'support'],
    kind: 'masked',
    rule: 'support',
    shows: 'a****',
  },
  { name: 'a role that sees nothing', roles: ['intern'], kind: 'withheld', rule: 'intern', shows: undefined },
  { name: 'a role that is not listed', roles: ['guest'], kind: 'withheld', rule: 'default', shows: undefined },
  { name: 'no role', roles: [], kind: 'withheld', rule: 'default', shows: undefined },
  {
    name: 'a role of Object.prototype',
    roles: ['constructor', '__proto__'],
    kind: 'withheld',
    rule: 'default',
    shows: undefined,
  },
] as const

for (const row of disclosures) {
  test(`${row.name} sees ${row.shows ?? 'nothing'}`, () => {
    const view = viewOf({ ...column, reveal }, row.roles)
    assert.equal(view.disclosure.kind, row.kind)
    assert.equal(view.disclosure.rule, `fields.email.reveal.${row.rule}`)
    assert.equal(text(view.reveal(view.protect(bytes('alice@x.com')), 'sealed')), row.shows)
    assert.equal(text(view.reveal(bytes('alice@x.com'), 'plain')), row.shows)
  })
}

test('what a role was shown in place of a value cannot be written over the value', () => {
  for (const roles of [['support'], ['sales']]) {
    const view = viewOf({ ...column, reveal }, roles)
    const shown = view.reveal(view.protect(bytes('alice@x.com')), 'sealed') ?? bytes('')
    assert.throws(() => view.protect(shown), { code: 'fields.masked_value' })
  }
  const plain = viewOf({ ...column, reveal }, ['billing'])
  assert.equal(text(plain.reveal(plain.protect(bytes('a****@x.com')), 'sealed')), 'a****@x.com')
})

test('a default of plain does not lift a role that sees nothing, and a role named default is not listed', () => {
  const open = { ...column, reveal: { intern: 'nothing', default: 'plain' } }
  assert.equal(viewOf(open, ['intern']).disclosure.kind, 'withheld')
  assert.equal(viewOf(open, ['intern', 'default']).disclosure.kind, 'withheld')
  assert.equal(viewOf({ ...column, reveal: { intern: 'plain' } }, ['default']).disclosure.kind, 'withheld')
})

for (const encrypt of ['acrablock', 'acrastruct'] as const) {
  for (const searchable of [true, false]) {
    test(`${encrypt}${searchable ? ', searchable' : ''}: what is protected opens, and stands in the serialized form`, () => {
      const view = viewOf(
        { ...column, protect: { encrypt, searchable }, type: 'bytes', reveal: { default: 'plain' } },
        [],
      )
      for (const length of [1, 2, 100, 5000]) {
        const plaintext = randomBytes(length)
        const stored = view.protect(plaintext)
        const container = searchable ? stored.subarray(33) : stored
        assert.equal(Buffer.from(container.subarray(0, 3)).toString(), '%%%')
        assert.equal(container[11], encrypt === 'acrablock' ? 0xf0 : 0xf1)
        assert.notDeepEqual(view.protect(plaintext), stored)
        if (searchable) assert.deepEqual(Buffer.from(stored.subarray(0, 33)), Buffer.from(view.searchHash(plaintext)))
        assert.deepEqual(Buffer.from(view.reveal(stored, 'sealed') ?? []), plaintext)
      }
    })
  }
}

test('an empty value stays empty, and shows nothing to whom it is withheld', () => {
  for (const role of ['billing', 'support']) {
    const view = viewOf({ ...column, reveal }, [role])
    assert.equal(view.protect(new Uint8Array(0)).length, 0)
    assert.equal(view.reveal(new Uint8Array(0), 'sealed')?.length, 0)
    assert.equal(view.reveal(new Uint8Array(0), 'plain')?.length, 0)
  }
  assert.equal(viewOf({ ...column, reveal }, []).reveal(new Uint8Array(0), 'sealed'), undefined)
})

test('what is revealed shares no memory with what was stored', () => {
  const view = viewOf({ ...column, reveal }, ['billing'])
  for (const carries of ['sealed', 'plain'] as const) {
    const stored = carries === 'sealed' ? view.protect(bytes('alice')) : bytes('alice')
    const before = Buffer.from(stored)
    const shown = view.reveal(stored, carries)
    assert.notEqual(shown?.buffer, stored.buffer)
    shown?.fill(0)
    assert.deepEqual(Buffer.from(stored), before)
  }
})

test('withheld never asks for a key', () => {
  const field = { ...column, client_id: { from: 'identity' }, reveal }
  assert.equal(viewOf(field, []).reveal(bytes('x'), 'sealed'), undefined)
  assert.throws(() => viewOf(field, ['billing']).reveal(bytes('x'), 'sealed'), { code: 'fields.unreadable' })
})

test('the client id of the identity selects the keys', () => {
  const field = { ...column, client_id: { from: 'identity' }, reveal }
  const stored = viewOf(field, ['billing'], 'other').protect(bytes('alice'))
  assert.equal(text(viewOf(field, ['billing'], 'other').reveal(stored, 'sealed')), 'alice')
  assert.throws(() => viewOf(field, ['billing'], 'shop1').reveal(stored, 'sealed'), { code: 'fields.unreadable' })
  for (const clientId of [undefined, 'nobody-there', '../shop1', 'paironly']) {
    assert.throws(() => viewOf(field, ['billing'], clientId).protect(bytes('alice')), { code: 'fields.no_key' })
  }
})

test('keys that are not there are looked for once a turn and not for each value, and found once they are', async () => {
  let asked = 0
  const counting: Keystore = {
    client(clientId) {
      asked++
      return keystore.client(clientId)
    },
    audit: () => keystore.audit(),
  }
  const own = { ...column, client_id: { from: 'identity' }, reveal, unreadable: 'nothing' }
  const built = createCatalogue([fieldOptions.parse({ name: 'email', ...own })], {
    keystore: counting,
    defaultClientId: 'shop1',
    databases: ['shop'],
  })
  const view = built.view(built.find('email') ?? assert.fail('no field'), identity(['billing'], 'late-one'))
  for (let row = 0; row < 100; row++) assert.equal(view.reveal(bytes('x'), 'sealed'), undefined)
  assert.equal(asked, 1)
  generateKeys({ path, masterKey, clientId: 'late-one' })
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(text(view.reveal(view.protect(bytes('alice')), 'sealed')), 'alice')
})

function unreadables(): readonly { name: string; stored: Buffer }[] {
  assert.ok(shopKey && otherKey && shopPublic)
  const whole = serialize('acrablock', sealAcraBlock(shopKey, bytes('alice')))
  const flipped = Buffer.from(whole)
  flipped[whole.length - 1] = (whole.at(-1) ?? 0) ^ 1
  return [
    { name: 'plaintext', stored: bytes('alice@x.com') },
    { name: 'a container of another client', stored: serialize('acrablock', sealAcraBlock(otherKey, bytes('alice'))) },
    { name: 'a flipped bit', stored: flipped },
    { name: 'a cut container', stored: whole.subarray(0, -1) },
    { name: 'text behind the container', stored: Buffer.concat([whole, bytes('x')]) },
    { name: 'text before the container', stored: Buffer.concat([bytes('x'), whole]) },
    { name: 'a wrong search hash', stored: Buffer.concat([bytes('\x7f'), randomBytes(32), whole]) },
    {
      name: 'bytes that are no text',
      stored: serialize('acrablock', sealAcraBlock(shopKey, Buffer.from([0xff, 0xfe]))),
    },
    { name: 'random bytes', stored: randomBytes(300) },
  ]
}

for (const { name, stored } of unreadables()) {
  test(`${name}: an error or nothing, never the stored bytes`, () => {
    for (const role of ['billing', 'support']) {
      assert.throws(
        () => viewOf({ ...column, reveal }, [role]).reveal(stored, 'sealed'),
        error => {
          assert.ok(error instanceof Error && 'code' in error && error.code === 'fields.unreadable')
          assert.doesNotMatch(error.message, /alice/)
          return true
        },
      )
      assert.equal(viewOf({ ...column, reveal, unreadable: 'nothing' }, [role]).reveal(stored, 'sealed'), undefined)
    }
    assert.equal(viewOf({ ...column, reveal }, []).reveal(stored, 'sealed'), undefined)
  })
}

test('text that a JSON body carries in plain is checked the same way', () => {
  assert.throws(() => viewOf({ ...column, reveal }, ['support']).reveal(Buffer.from([0xc3]), 'plain'), {
    code: 'fields.unreadable',
  })
})

test('what an application sealed with the public key is sealed as the field says', () => {
  assert.ok(shopPublic && shopKey)
  const view = viewOf({ ...column, reveal }, ['billing'])
  for (const sealed of [
    sealAcraStruct(shopPublic, bytes('alice')),
    serialize('acrastruct', sealAcraStruct(shopPublic, bytes('alice'))),
    serialize('acrablock', sealAcraBlock(shopKey, bytes('alice'))),
  ]) {
    assert.equal(text(view.reveal(sealed, 'sealed')), 'alice')
    const stored = view.protect(sealed)
    assert.deepEqual(Buffer.from(stored.subarray(0, 33)), Buffer.from(view.searchHash(bytes('alice'))))
    assert.equal(stored[33 + 11], 0xf0)
    assert.equal(text(view.reveal(stored, 'sealed')), 'alice')
  }
})

test('what only looks like a container is sealed as ordinary data', () => {
  assert.ok(otherPublic && otherKey && shopKey)
  const foreign = serialize('acrablock', sealAcraBlock(otherKey, bytes('alice')))
  const forged = serialize('acrablock', sealAcraBlock(shopKey, bytes('alice')))
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
  const view = viewOf({ ...column, type: 'bytes', reveal: { default: 'plain' } }, [])
  for (const value of [foreign, forged, sealAcraStruct(otherPublic, bytes('alice')), bytes('%%%'), bytes('""""""""')]) {
    const stored = view.protect(value)
    assert.deepEqual(Buffer.from(view.reveal(stored, 'sealed') ?? []), value)
  }
  assert.ok(looksLikeContainer(foreign))
})

test('text fields take text only', () => {
  const view = viewOf({ ...column, reveal }, ['billing'])
  assert.throws(() => view.protect(Buffer.from([0xff])), { code: 'fields.not_text' })
  assert.ok(shopPublic)
  const sealed = sealAcraStruct(shopPublic, Buffer.from([0xff]))
  assert.throws(() => view.protect(sealed), { code: 'fields.not_text' })
})

test('only who sees a searchable field in plain may search it', () => {
  assert.equal(viewOf({ ...column, reveal }, ['billing']).searchHash(bytes('x')).length, 33)
  for (const role of ['support', 'intern']) {
    assert.throws(() => viewOf({ ...column, reveal }, [role]).searchHash(bytes('x')), { code: 'fields.not_searchable' })
  }
  const plainOnly = { ...column, protect: { encrypt: 'acrablock' }, reveal }
  assert.throws(() => viewOf(plainOnly, ['billing']).searchHash(bytes('x')), { code: 'fields.not_searchable' })
})

test('a stored value opens with the envelope alone: the format is theirs', () => {
  const stored = viewOf({ ...column, reveal }, []).protect(bytes('alice'))
  const opened = openStored(stored, { blockKeys: shop.symmetric, privateKeys: [], search: shop.search })
  assert.equal(opened.toString(), 'alice')
})

test('views are cached by class of identity, and their number is bounded', () => {
  const built = catalogue({ ...column, reveal })
  const field = built.find('email') ?? assert.fail('no field')
  const first = built.view(field, identity(['billing']))
  assert.equal(built.view(field, identity(['billing', 'billing'])), first)
  assert.notEqual(built.view(field, identity(['billing'], 'other')), first)
  for (let i = 0; i < 1200; i++) built.view(field, identity([`role${i}`]))
  assert.notEqual(built.view(field, identity(['billing'])), first)
  assert.throws(() => catalogue({ ...column, reveal }).view(field, identity([])), { code: 'gateway.bug' })
})

test('a field that a JSON body carries in plain needs no key', () => {
  const field = { json: [{ route: '/orders/*', path: '$.items[*].email', carries: 'plain' }], reveal }
  const view = viewOf(field, ['support'])
  assert.deepEqual(view.field.json[0]?.path, ['items', '*', 'email'])
  assert.equal(text(view.reveal(bytes('alice'), 'plain')), 'a****')
  assert.throws(() => view.protect(bytes('alice')), { code: 'fields.no_key' })
})

const json = { route: '/orders/*', path: '$.email', carries: 'plain' }
const refused: readonly {
  name: string
  fields: readonly object[]
  code?: string
  message: RegExp
  databases?: readonly string[]
}[] = [
  {
    name: 'two fields of one name',
    fields: [
      { ...column, reveal },
      { json: [json], reveal },
    ],
    message: /the name email, which/,
  },
  {
    name: 'one column in two fields',
    fields: [
      { ...column, reveal },
      { ...column, name: 'mail', reveal },
    ],
    message: /field mail names column public\.users\.email of shop, which field email names already/,
  },
  {
    name: 'one column twice',
    fields: [{ ...column, columns: ['public.users.email', 'public."users".email'], reveal }],
    message: /names already/,
  },
  {
    name: 'one JSON place in two fields',
    fields: [
      { json: [json], reveal },
      { name: 'mail', json: [{ ...json, path: "$['email']" }], reveal },
    ],
    message: /email of \/orders\/\*, which field email names already/,
  },
  {
    name: 'a masked column that is not encrypted',
    fields: [{ columns: ['public.users.email'], reveal }],
    message: /leaks through views and functions/,
  },
  {
    name: 'a sealed JSON place that is not encrypted',
    fields: [{ json: [{ ...json, carries: 'sealed' }], reveal }],
    message: /carries: plain/,
  },
  {
    name: 'searchable without encrypt',
    fields: [{ json: [json], protect: { searchable: true }, reveal }],
    message: /searchable and has no protect\.encrypt/,
  },
  { name: 'no place', fields: [{ protect: { encrypt: 'acrablock' }, reveal }], message: /protects nothing/ },
  { name: 'a mask on bytes', fields: [{ ...column, type: 'bytes', reveal }], message: /masks it for support/ },
  { name: 'an unknown database', fields: [{ ...column, database: 'shpo', reveal }], message: /did you mean shop\?/ },
  {
    name: 'no database among several',
    fields: [{ ...column, reveal }],
    databases: ['shop', 'crm'],
    message: /needs database, one of: shop, crm/,
  },
  { name: 'no database at all', fields: [{ ...column, reveal }], databases: [], message: /no database is configured/ },
  {
    name: 'a client id without keys',
    fields: [{ ...column, client_id: 'nobody-there', reveal }],
    code: 'fields.no_key',
    message: /nobody-there has no keys/,
  },
  {
    name: 'no search key',
    fields: [{ ...column, client_id: 'blockonly', reveal }],
    code: 'fields.no_key',
    message: /a search key/,
  },
  {
    name: 'no symmetric key',
    fields: [{ ...column, client_id: 'paironly', reveal }],
    code: 'fields.no_key',
    message: /a symmetric key/,
  },
  {
    name: 'no storage key',
    fields: [{ ...column, protect: { encrypt: 'acrastruct' }, client_id: 'blockonly', reveal }],
    code: 'fields.no_key',
    message: /a storage key pair/,
  },
]
for (const row of refused) {
  test(`${row.name} stops the start`, () => {
    const options = row.fields.map(field => fieldOptions.parse({ name: 'email', ...field }))
    const surroundings = { keystore, defaultClientId: 'shop1', databases: row.databases ?? ['shop'] }
    assert.throws(() => createCatalogue(options, surroundings), {
      code: row.code ?? 'fields.invalid',
      message: row.message,
    })
  })
}

test('the schema says where a path is wrong, and refuses what it does not know', () => {
  const base = { name: 'email', reveal: {} }
  const parsed = fieldOptions.safeParse({ ...base, json: [{ route: '/x', path: '$..email' }] })
  assert.match(parsed.error?.message ?? '', /character 2: \.\. searches/)
  assert.equal(fieldOptions.safeParse({ ...base, columns: ['public.Users.email'] }).success, false)
  assert.equal(fieldOptions.safeParse({ ...base, colums: [] }).success, false)
  assert.equal(fieldOptions.safeParse({ name: 'email', reveal: { support: 'plian' } }).success, false)
})

test('random and cut values never come out as they went in', () => {
  const view = viewOf({ ...column, type: 'bytes', unreadable: 'nothing', reveal: { default: 'plain' } }, [])
  const stored = Buffer.from(view.protect(bytes('alice')))
  for (let cut = 1; cut < stored.length; cut++) {
    const shown = view.reveal(stored.subarray(0, cut), 'sealed')
    assert.equal(shown, undefined)
    // Without its hash (33 bytes), and without the serialized header (12) too, a container is whole.
    assert.equal(text(view.reveal(stored.subarray(cut), 'sealed')), cut === 33 || cut === 45 ? 'alice' : undefined)
    const flipped = Buffer.from(stored)
    flipped[cut] = (flipped[cut] ?? 0) ^ 0x10
    assert.equal(view.reveal(flipped, 'sealed'), undefined)
    assert.equal(view.reveal(randomBytes(cut), 'sealed'), undefined)
  }
})
