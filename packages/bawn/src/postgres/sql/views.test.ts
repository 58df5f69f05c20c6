import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createParser } from './parser.ts'
import type { RelationColumn } from './plan.ts'
import { email, phone, shopSnapshot } from './shop.fixture.ts'
import { type Defined, followViews } from './views.ts'

const parser = await createParser()
after(() => parser.close())

function columns(names: string): readonly RelationColumn[] {
  return names.split(' ').map((name, index) => ({
    name,
    attnum: index + 1,
    typeOid: 17,
    hasDefault: false,
    generated: false,
    field: undefined,
  }))
}

let oid = 100
function view(name: string, names: string, query: string, rules: readonly string[] = []): Defined {
  return { oid: oid++, schema: 'public', name, columns: columns(names), query, rules }
}

const known = { ...shopSnapshot, relations: shopSnapshot.relations.filter(relation => relation.derived !== 'view') }

async function follow(...defined: readonly Defined[]) {
  const { relations, dependents } = await followViews({ ...known, dependents: [] }, defined, parser)
  const found = relations.filter(relation => !known.relations.includes(relation))
  return {
    views: found.map(({ name, columns, unwritable }) => ({
      name,
      fields: columns.map(column => column.field?.name),
      unwritable,
    })),
    dependents: dependents.map(({ name, reason, readable }) => ({ name, reason, readable })),
  }
}

const list = view('list', 'a b c', 'SELECT users.id AS a, users.email AS b, users.phone AS c FROM public.users')

test('a column that is nothing but a protected one is protected, by place, through views in any order', async () => {
  const above = view('above', 'x y', 'SELECT c AS x, b AS y FROM public.list WHERE b IS NOT NULL')
  const { views, dependents } = await follow(above, list)
  assert.deepEqual(dependents, [])
  assert.deepEqual(views, [
    { name: 'list', fields: [undefined, email.name, phone.name], unwritable: undefined },
    { name: 'above', fields: [phone.name, email.name], unwritable: undefined },
  ])
})

test('a view without protected columns is an ordinary table', async () => {
  const plain = view('plain', 'a n', 'SELECT a, count(b) AS n FROM public.list GROUP BY a')
  const { views, dependents } = await follow(list, plain)
  assert.deepEqual([views.map(one => one.name), dependents], [['list'], []])
})

test('what computes with a protected column, or mixes fields, is refused with the reason, and so is what stands on it', async () => {
  const rows: readonly (readonly [string, string, RegExp])[] = [
    ['a', 'SELECT lower(email) AS a FROM public.users', /as argument of lower/],
    ['a', 'SELECT id AS a FROM public.users ORDER BY email', /in ORDER BY/],
    ['a', "SELECT id AS a FROM public.users WHERE email = '\\x00'::bytea", /in WHERE/],
    ['a', 'SELECT email AS a FROM public.users UNION SELECT buyer FROM public.orders', /joined by UNION/],
    ['a', 'SELECT email AS a FROM public.users UNION ALL SELECT phone FROM public.users', /not of the same field/],
    ['a', 'SELECT email AS a FROM public.users UNION ALL SELECT NULL::bytea', /not of the same field/],
    ['a', 'SELECT users.*::public.users AS a FROM public.users', /whole row/],
    ['a b', 'SELECT email AS a FROM public.users', /cannot be told/],
    ['a', 'SELECT FROM', /cannot be read/],
    ['a', '', /cannot be read/],
    ['a', `SELECT ${'('.repeat(300)}1${')'.repeat(300)} AS a FROM public.users`, /cannot be read/],
  ]
  for (const [names, query, reason] of rows) {
    const { views, dependents } = await follow(view('v', names, query), view('w', 'a', 'SELECT a FROM public.v'))
    assert.deepEqual([views, dependents.map(one => one.name)], [[], ['v', 'w']], query)
    assert.match(dependents[0]?.reason ?? '', reason)
  }
})

test('a default of a protected column is one of every view that INSERT goes through, and nothing is written where it has no name', async () => {
  const shown = view('shown', 'a b', 'SELECT f.secret AS a, f.id AS b FROM public.flags f')
  const hidden = view('hidden', 'a', 'SELECT id AS a FROM public.flags')
  const rows: readonly (readonly [names: string, query: string, writable: boolean, defaults: readonly boolean[]])[] = [
    ['x y', 'SELECT b AS x, a AS y FROM public.shown', true, [false, true]],
    ['x y', 'SELECT b AS x, b AS y FROM public.shown', false, []],
    ['x', 'SELECT a AS x FROM public.hidden', false, []],
    // What PostgreSQL does not write through, or not into that table.
    ['x', 'SELECT h.a AS x FROM public.hidden h, public.users', true, []],
    ['x', 'SELECT id AS x FROM public.users WHERE id IN (SELECT a FROM public.hidden)', true, []],
  ]
  for (const [names, query, writable, defaults] of rows) {
    const defined = [view('above', names, query), shown, hidden]
    const { relations, dependents } = await followViews({ ...known, dependents: [] }, defined, parser)
    assert.equal(dependents.find(({ name }) => name === 'above') === undefined, writable, query)
    assert.deepEqual(dependents.find(({ name }) => name === 'hidden')?.readable, true)
    const above = relations.find(({ name }) => name === 'above')
    assert.deepEqual(above?.columns.map(({ hasDefault }) => hasDefault) ?? [], defaults, query)
  }
})

test('UNION ALL keeps a field that all its sides have', async () => {
  const all = view(
    'v',
    'n a',
    'SELECT 1 AS n, email AS a FROM public.users UNION ALL SELECT id, buyer FROM public.orders',
  )
  assert.deepEqual((await follow(all)).views[0]?.fields, [undefined, email.name])
})

test('a rule that would store what is not sealed makes its table read-only; one that hands sealed values on does not', async () => {
  const rule = (action: string) => `CREATE RULE r AS ON INSERT TO public.list DO INSTEAD ${action}`
  const rows: readonly (readonly [string, RegExp | undefined])[] = [
    ['INSERT INTO public.users (id, email) VALUES (new.a, new.b)', undefined],
    ['UPDATE public.users SET email = new.b WHERE users.id = old.a', undefined],
    ['INSERT INTO public.log (what) VALUES (new.b)', undefined],
    ['NOTHING', undefined],
    ["INSERT INTO public.users (email) VALUES ('x')", /would not be sealed/],
    ['INSERT INTO public.users (email) VALUES (new.c)', /another column/],
    ['INSERT INTO public.users (email) VALUES (new.a)', /another column/],
    [
      '(INSERT INTO public.log (what) VALUES (1); UPDATE public.users SET email = lower(new.b))',
      /result of a function/,
    ],
  ]
  for (const [action, reason] of rows) {
    const { views } = await follow({ ...list, rules: [rule(action)] })
    assert.equal(views[0]?.unwritable !== undefined, reason !== undefined, action)
    if (reason !== undefined) assert.match(views[0]?.unwritable ?? '', reason)
  }
  const plain: Defined = {
    ...view('entry', 'a', '', [
      'CREATE RULE r AS ON INSERT TO public.entry DO ALSO INSERT INTO public.users (email) VALUES (new.a)',
    ]),
    query: undefined,
  }
  const { dependents } = await follow(plain)
  assert.deepEqual(
    dependents.map(({ name, readable }) => ({ name, readable })),
    [{ name: 'entry', readable: true }],
  )
})
