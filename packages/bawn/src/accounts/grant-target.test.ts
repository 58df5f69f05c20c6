import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { GrantTarget } from './grant.ts'
import {
  formatGrant,
  formatNeed,
  formatTarget,
  isTarget,
  parseNeed,
  parseTarget,
  pathOf,
  targetAt,
} from './grant-target.ts'

const shop = { database: 'shop', schema: 'public', table: 'people' } as const

const texts: readonly (readonly [text: string, target: GrantTarget])[] = [
  ['cluster', { kind: 'cluster' }],
  ['database shop', { kind: 'database', database: 'shop' }],
  ['database Shop-2', { kind: 'database', database: 'Shop-2' }],
  ['database "shop.eu"', { kind: 'database', database: 'shop.eu' }],
  ['schema shop.public', { kind: 'schema', database: 'shop', schema: 'public' }],
  ['table shop.public.people', { kind: 'table', ...shop }],
  ['table shop.public."People"', { kind: 'table', ...shop, table: 'People' }],
  ['table shop.public."a.b"', { kind: 'table', ...shop, table: 'a.b' }],
  ['table shop.public."a""b"', { kind: 'table', ...shop, table: 'a"b' }],
  ['table shop."my schema".straße', { kind: 'table', database: 'shop', schema: 'my schema', table: 'straße' }],
  ['table shop.public."1st"', { kind: 'table', ...shop, table: '1st' }],
  ['table shop.public.a$1', { kind: 'table', ...shop, table: 'a$1' }],
]
for (const [text, target] of texts) {
  test(`${text} is read, and written again as it was`, () => {
    assert.deepEqual(parseTarget(text), target)
    assert.equal(formatTarget(target), text)
    assert.deepEqual(parseNeed(`DQL on ${text}`), { privilege: 'DQL', target })
    assert.equal(formatNeed({ privilege: 'DQL', target }), `DQL on ${text}`)
    assert.deepEqual(targetAt(pathOf(target)), target)
  })
}

test('quotes that need not be are read too', () => {
  assert.deepEqual(parseTarget('table "shop"."public"."people"'), { kind: 'table', ...shop })
})

const refused = [
  '',
  'cluster shop',
  'cluster ',
  'database',
  'database ',
  'database shop.public',
  'schema shop',
  'table shop.public',
  'table shop.public.people.email',
  'table shop.public.People',
  'table shop.public.',
  'table shop..people',
  'table .shop.public',
  'table shop.public.""',
  'table shop.public."people',
  'table shop.public.people ',
  'table  shop.public.people',
  'view shop.public.people',
  'TABLE shop.public.people',
  'database shop.eu',
  `table shop.public.${'x'.repeat(64)}`,
  `table shop.public.${'ä'.repeat(32)}`,
  `database ${'x'.repeat(129)}`,
  'table shop.public."a\0b"',
  'table shop.public.a\ud800',
]
for (const text of refused) {
  test(`${JSON.stringify(text)} is no target`, () => assert.equal(parseTarget(text), undefined))
}

for (const text of [
  '',
  'DQL',
  'DQL on',
  'DQL on ',
  'dql on cluster',
  'SELECT on cluster',
  'DQL  on cluster',
  'DQL on table x',
]) {
  test(`${JSON.stringify(text)} is no need`, () => assert.equal(parseNeed(text), undefined))
}

test('an entry reads like the statement that makes it', () => {
  const by = { grantee: 'support', grantor: 'operator' }
  assert.equal(
    formatGrant({ ...by, privilege: 'DQL', state: 'grant', target: { kind: 'table', ...shop } }),
    'GRANT DQL ON TABLE shop.public.people TO support',
  )
  assert.equal(
    formatGrant({ ...by, privilege: 'AL', state: 'deny', target: { kind: 'cluster' } }),
    'DENY AL TO support',
  )
})

test('random names are written so that they are read back, and random text is read as nothing or as itself', () => {
  const alphabet = [...'ab.A"$ 1-_ä\0€\n']
  const word = (): string =>
    [...randomBytes(1 + ((randomBytes(1)[0] ?? 0) % 5))].map(byte => alphabet[byte % alphabet.length]).join('')
  for (let round = 0; round < 4_000; round += 1) {
    const target = targetAt([word(), word(), word()].slice(0, round % 4))
    assert(target !== undefined)
    const text = formatTarget(target)
    assert.deepEqual(parseTarget(text), isTarget(target) ? target : undefined, text)
    const noise = `${['table', 'schema', 'database', 'cluster'][round % 4]} ${word()}.${word()}${word()}`
    const read = parseTarget(noise)
    if (read !== undefined) assert.deepEqual(parseTarget(formatTarget(read)), read)
  }
})
