import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantTarget } from '../../accounts/grant.ts'
import type { DatabaseObjects, KnownRelation } from '../sql/objects.ts'
import { type EntryChange, entryChanges } from './follow.ts'
import type { ObjectChange } from './reading.ts'

/** `1 public.a, 2 public.b` with OIDs, and schemas with theirs. */
function objects(relations: string, schemas = '8 public, 9 crm'): DatabaseObjects {
  const split = (text: string): readonly (readonly [string, string])[] =>
    text.split(', ').flatMap(item => {
      const [oid = '', name = ''] = item.split(' ')
      return name === '' ? [] : [[oid, name] as const]
    })
  const known = split(relations).map(([oid, path]): KnownRelation => {
    const [schema = '', name = ''] = path.split('.')
    return { oid, schema, name, kind: 'r', table: undefined }
  })
  return {
    relations: Map.groupBy(known, relation => relation.name),
    schemas: new Map(split(schemas).map(([oid, name]) => [name, oid])),
    functions: new Map(),
    pure: new Set(),
  }
}

const path = (target: GrantTarget): string =>
  target.kind === 'table' ? `${target.schema}.${target.table}` : target.kind === 'schema' ? `${target.schema}.*` : '?'

function told(changes: readonly EntryChange[]): string {
  return changes
    .map(change => (change.kind === 'forget' ? `-${path(change.target)}` : `${path(change.from)}>${path(change.to)}`))
    .join(' ')
}

const drop = (name: string, cascade = false): ObjectChange => ({ kind: 'drop', schema: 'public', name, cascade })
const move = (name: string): ObjectChange => ({ kind: 'move', schema: 'public', name })

const rows: readonly (readonly [
  name: string,
  ObjectChange[],
  before: DatabaseObjects,
  after: DatabaseObjects,
  string,
])[] = [
  ['dropped', [drop('a')], objects('1 public.a'), objects(''), '-public.a'],
  ['rolled back', [drop('a')], objects('1 public.a'), objects('1 public.a'), ''],
  ['dropped and made anew', [drop('a')], objects('1 public.a'), objects('2 public.a'), '-public.a'],
  ['not there', [drop('a')], objects(''), objects(''), ''],
  ['somebody else dropped another', [drop('a')], objects('1 public.a, 2 public.b'), objects(''), '-public.a'],
  ['with what is built on it', [drop('a', true)], objects('1 public.a, 2 crm.v'), objects(''), '-public.a -crm.v'],
  ['renamed', [move('a')], objects('1 public.a'), objects('1 public.b'), 'public.a>public.b'],
  ['moved', [move('a')], objects('1 public.a'), objects('1 crm.a'), 'public.a>crm.a'],
  ['renamed twice', [move('a'), move('b')], objects('1 public.a'), objects('1 public.c'), 'public.a>public.c'],
  ['renamed and rolled back', [move('a')], objects('1 public.a'), objects('1 public.a'), ''],
  [
    'renamed without a schema',
    [{ kind: 'move', schema: undefined, name: 'a' }],
    objects('1 crm.a, 2 public.a'),
    objects('1 crm.b, 2 public.a'),
    'crm.a>crm.b',
  ],
  [
    'one in place of the other',
    [drop('a'), move('b')],
    objects('1 public.a, 2 public.b'),
    objects('2 public.a'),
    '-public.a public.b>public.a',
  ],
  [
    'changed places',
    [move('a'), move('b')],
    objects('1 public.a, 2 public.b'),
    objects('2 public.a, 1 public.b'),
    'public.a>public.bawn, on its way 0 public.b>public.bawn, on its way 1 public.bawn, on its way 0>public.b public.bawn, on its way 1>public.a',
  ],
  [
    'a schema dropped',
    [{ kind: 'drop-schema', schema: 'crm', cascade: true }],
    objects('1 crm.a, 2 public.v'),
    objects('', '8 public'),
    '-crm.* -crm.a -public.v',
  ],
  [
    'a schema renamed',
    [{ kind: 'move-schema', schema: 'crm' }],
    objects('1 crm.a'),
    objects('1 lab.a', '8 public, 9 lab'),
    'crm.*>lab.*',
  ],
]

for (const [name, changes, before, after, expected] of rows) {
  test(`entries of what was ${name}`, () => {
    assert.equal(told(entryChanges('shop', changes, before, after)), expected)
  })
}
