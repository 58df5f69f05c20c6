import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { parseColumnPath } from './column-name.ts'

const good: readonly [text: string, schema: string, table: string, column: string][] = [
  ['public.users.email', 'public', 'users', 'email'],
  ['"Shop"."User Table"."e.mail"', 'Shop', 'User Table', 'e.mail'],
  ['public."say ""hi"""._x$1', 'public', 'say "hi"', '_x$1'],
  ['public.größe.ü', 'public', 'größe', 'ü'],
]
for (const [text, schema, table, column] of good) {
  test(`${text} names a column`, () => assert.deepEqual(parseColumnPath(text), { schema, table, column }))
}

for (const text of [
  '',
  'users.email',
  'a.b.c.d',
  'public.Users.email',
  'public.users.',
  '.users.email',
  'public.users.e mail',
  'public.users.email ',
  'public."users.email',
  'public."".email',
  'public.1a.x',
  `public.users.${'x'.repeat(64)}`,
  'public.users."a\0"',
]) {
  test(`${JSON.stringify(text).slice(0, 40)} does not`, () => assert.equal(parseColumnPath(text), undefined))
}

test('any name comes back from its quoted form', () => {
  for (let round = 0; round < 500; round++) {
    const name = Array.from({ length: 1 + randomInt(20) }, () => String.fromCharCode(1 + randomInt(0x2ff))).join('')
    const quoted = `"${name.replaceAll('"', '""')}"`
    assert.deepEqual(parseColumnPath(`${quoted}.b.${quoted}`), { schema: name, table: 'b', column: name })
  }
})
