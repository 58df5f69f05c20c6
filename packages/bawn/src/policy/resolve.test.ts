import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Need, Privilege } from '../accounts/grant.ts'
import { parseNeed, parseTarget } from '../accounts/grant-target.ts'
import { snapshotOf } from './grants.fixture.ts'
import { compileGrants } from './resolve.ts'

/**
 * Who asks: a user of the store, or `@r1,r2`: somebody from elsewhere with these roles. The rule says what is answered: with an entry that
 * grants, yes; with anything else, no.
 */
type Row = readonly [name: string, entries: string, who: string, need: string, rule: string]

const table = 'DQL on table d.s.t'
const nothing = (need: string): string => `nothing grants ${need}`

const own: readonly Row[] = [
  ['nothing at all', '', 'u', table, nothing(table)],
  ['a table', 'GRANT DQL ON TABLE d.s.t TO u', 'u', table, 'GRANT DQL ON TABLE d.s.t TO u'],
  ['a schema', 'GRANT DQL ON SCHEMA d.s TO u', 'u', table, 'GRANT DQL ON SCHEMA d.s TO u'],
  ['a database', 'GRANT DQL ON DATABASE d TO u', 'u', table, 'GRANT DQL ON DATABASE d TO u'],
  ['the cluster', 'GRANT DQL TO u', 'u', table, 'GRANT DQL TO u'],
  ['a denied table', 'DENY DQL ON TABLE d.s.t TO u', 'u', table, 'DENY DQL ON TABLE d.s.t TO u'],
  ['a denied schema', 'DENY DQL ON SCHEMA d.s TO u', 'u', table, 'DENY DQL ON SCHEMA d.s TO u'],
  ['a denied database', 'DENY DQL ON DATABASE d TO u', 'u', table, 'DENY DQL ON DATABASE d TO u'],
  ['the denied cluster', 'DENY DQL TO u', 'u', table, 'DENY DQL TO u'],
  [
    'table over schema',
    'GRANT DQL ON TABLE d.s.t TO u; DENY DQL ON SCHEMA d.s TO u',
    'u',
    table,
    'GRANT DQL ON TABLE d.s.t TO u',
  ],
  [
    'table over database',
    'GRANT DQL ON TABLE d.s.t TO u; DENY DQL ON DATABASE d TO u',
    'u',
    table,
    'GRANT DQL ON TABLE d.s.t TO u',
  ],
  ['table over cluster', 'GRANT DQL ON TABLE d.s.t TO u; DENY DQL TO u', 'u', table, 'GRANT DQL ON TABLE d.s.t TO u'],
  [
    'schema over database',
    'GRANT DQL ON SCHEMA d.s TO u; DENY DQL ON DATABASE d TO u',
    'u',
    table,
    'GRANT DQL ON SCHEMA d.s TO u',
  ],
  ['schema over cluster', 'GRANT DQL ON SCHEMA d.s TO u; DENY DQL TO u', 'u', table, 'GRANT DQL ON SCHEMA d.s TO u'],
  ['database over cluster', 'GRANT DQL ON DATABASE d TO u; DENY DQL TO u', 'u', table, 'GRANT DQL ON DATABASE d TO u'],
  [
    'denied table over schema',
    'DENY DQL ON TABLE d.s.t TO u; GRANT DQL ON SCHEMA d.s TO u',
    'u',
    table,
    'DENY DQL ON TABLE d.s.t TO u',
  ],
  [
    'denied table over database',
    'DENY DQL ON TABLE d.s.t TO u; GRANT DQL ON DATABASE d TO u',
    'u',
    table,
    'DENY DQL ON TABLE d.s.t TO u',
  ],
  [
    'denied table over cluster',
    'DENY DQL ON TABLE d.s.t TO u; GRANT DQL TO u',
    'u',
    table,
    'DENY DQL ON TABLE d.s.t TO u',
  ],
  [
    'denied schema over database',
    'DENY DQL ON SCHEMA d.s TO u; GRANT DQL ON DATABASE d TO u',
    'u',
    table,
    'DENY DQL ON SCHEMA d.s TO u',
  ],
  [
    'denied schema over cluster',
    'DENY DQL ON SCHEMA d.s TO u; GRANT DQL TO u',
    'u',
    table,
    'DENY DQL ON SCHEMA d.s TO u',
  ],
  [
    'denied database over cluster',
    'DENY DQL ON DATABASE d TO u; GRANT DQL TO u',
    'u',
    table,
    'DENY DQL ON DATABASE d TO u',
  ],
  [
    'all four levels',
    'GRANT DQL TO u; DENY DQL ON DATABASE d TO u; GRANT DQL ON SCHEMA d.s TO u; DENY DQL ON TABLE d.s.t TO u',
    'u',
    table,
    'DENY DQL ON TABLE d.s.t TO u',
  ],
  [
    'all four levels the other way',
    'DENY DQL TO u; GRANT DQL ON DATABASE d TO u; DENY DQL ON SCHEMA d.s TO u; GRANT DQL ON TABLE d.s.t TO u',
    'u',
    table,
    'GRANT DQL ON TABLE d.s.t TO u',
  ],
  ['another table', 'GRANT DQL ON TABLE d.s.x TO u', 'u', table, nothing(table)],
  ['another schema', 'GRANT DQL ON SCHEMA d.x TO u', 'u', table, nothing(table)],
  ['another database', 'GRANT DQL ON DATABASE x TO u', 'u', table, nothing(table)],
  ['the same names in another schema', 'GRANT DQL ON TABLE d.x.t TO u', 'u', table, nothing(table)],
  ['the same names in another database', 'GRANT DQL ON TABLE x.s.t TO u', 'u', table, nothing(table)],
  [
    'another table denied',
    'GRANT DQL ON SCHEMA d.s TO u; DENY DQL ON TABLE d.s.x TO u',
    'u',
    table,
    'GRANT DQL ON SCHEMA d.s TO u',
  ],
  [
    'another schema denied',
    'GRANT DQL ON DATABASE d TO u; DENY DQL ON SCHEMA d.x TO u',
    'u',
    table,
    'GRANT DQL ON DATABASE d TO u',
  ],
  ['another database denied', 'GRANT DQL TO u; DENY DQL ON DATABASE x TO u', 'u', table, 'GRANT DQL TO u'],
  ['somebody else', 'GRANT DQL TO v', 'u', table, nothing(table)],
  ['somebody else denied', 'GRANT DQL TO u; DENY DQL ON TABLE d.s.t TO v', 'u', table, 'GRANT DQL TO u'],
  ['capitals are other names', 'GRANT DQL ON TABLE d.s."T" TO u', 'u', table, nothing(table)],
  ['a name with a dot is one name', 'GRANT DQL ON SCHEMA d."s.t" TO u', 'u', table, nothing(table)],
]

const wider: readonly Row[] = [
  [
    'a table does not grant its schema',
    'GRANT DQL ON TABLE d.s.t TO u',
    'u',
    'DQL on schema d.s',
    nothing('DQL on schema d.s'),
  ],
  [
    'a schema does not grant its database',
    'GRANT DQL ON SCHEMA d.s TO u',
    'u',
    'DQL on database d',
    nothing('DQL on database d'),
  ],
  [
    'a database does not grant the cluster',
    'GRANT DQL ON DATABASE d TO u',
    'u',
    'DQL on cluster',
    nothing('DQL on cluster'),
  ],
  [
    'a denied table leaves its schema',
    'GRANT DDL ON SCHEMA d.s TO u; DENY DDL ON TABLE d.s.t TO u',
    'u',
    'DDL on schema d.s',
    'GRANT DDL ON SCHEMA d.s TO u',
  ],
  [
    'a schema by its database',
    'GRANT DDL ON DATABASE d TO u',
    'u',
    'DDL on schema d.s',
    'GRANT DDL ON DATABASE d TO u',
  ],
  [
    'a schema that nobody has heard of, by its database',
    'GRANT DDL ON DATABASE d TO u',
    'u',
    'DDL on schema d.new',
    'GRANT DDL ON DATABASE d TO u',
  ],
  ['a database by the cluster', 'GRANT DDL TO u', 'u', 'DDL on database other', 'GRANT DDL TO u'],
  ['the cluster', 'GRANT AL TO u', 'u', 'AL on cluster', 'GRANT AL TO u'],
  ['the denied cluster', 'DENY AL TO u', 'u', 'AL on cluster', 'DENY AL TO u'],
  ['AL on a database is not AL', 'GRANT AL ON DATABASE d TO u', 'u', 'AL on cluster', nothing('AL on cluster')],
  [
    'a schema over the database',
    'DENY DDL ON SCHEMA d.s TO u; GRANT DDL ON DATABASE d TO u',
    'u',
    'DDL on schema d.s',
    'DENY DDL ON SCHEMA d.s TO u',
  ],
]

const others: readonly Row[] = (['DQL', 'DML', 'DDL', 'AL'] as const).flatMap((granted): readonly Row[] =>
  (['DQL', 'DML', 'DDL', 'AL'] as const)
    .filter(asked => asked !== granted)
    .map(asked => [
      `${granted} is not ${asked}`,
      `GRANT ${granted} TO u`,
      'u',
      `${asked} on table d.s.t`,
      nothing(`${asked} on table d.s.t`),
    ]),
)
const besides: readonly Row[] = [
  [
    'a denied privilege leaves the others',
    'DENY DML ON TABLE d.s.t TO u; GRANT DQL ON SCHEMA d.s TO u',
    'u',
    table,
    'GRANT DQL ON SCHEMA d.s TO u',
  ],
  [
    'an entry of another privilege on the table hides nothing',
    'GRANT DML ON TABLE d.s.t TO u; DENY DQL ON SCHEMA d.s TO u',
    'u',
    table,
    'DENY DQL ON SCHEMA d.s TO u',
  ],
  [
    'both on one table',
    'GRANT DML ON TABLE d.s.t TO u; DENY DQL ON TABLE d.s.t TO u',
    'u',
    'DML on table d.s.t',
    'GRANT DML ON TABLE d.s.t TO u',
  ],
]

const inherited: readonly Row[] = [
  ['a role', 'ROLE r1 TO u; GRANT DQL ON TABLE d.s.t TO r1', 'u', table, 'GRANT DQL ON TABLE d.s.t TO r1'],
  ['a role on the schema', 'ROLE r1 TO u; GRANT DQL ON SCHEMA d.s TO r1', 'u', table, 'GRANT DQL ON SCHEMA d.s TO r1'],
  ['a role on the cluster', 'ROLE r1 TO u; GRANT DQL TO r1', 'u', table, 'GRANT DQL TO r1'],
  ['a role that is denied', 'ROLE r1 TO u; DENY DQL ON TABLE d.s.t TO r1', 'u', table, 'DENY DQL ON TABLE d.s.t TO r1'],
  ['a role that one has not', 'GRANT DQL TO r1', 'u', table, nothing(table)],
  ['a role of a role', 'ROLE r1 TO u; ROLE r2 TO r1; GRANT DQL TO r2', 'u', table, 'GRANT DQL TO r2'],
  [
    'a role of a role of a role',
    'ROLE r1 TO u; ROLE r2 TO r1; ROLE r3 TO r2; DENY DQL TO r3',
    'u',
    table,
    'DENY DQL TO r3',
  ],
  ['who has my role gives me nothing', 'ROLE r1 TO u; ROLE r1 TO r2; GRANT DQL TO r2', 'u', table, nothing(table)],
  [
    'own denial over a role’s grant',
    'ROLE r1 TO u; DENY DQL TO u; GRANT DQL ON TABLE d.s.t TO r1',
    'u',
    table,
    'DENY DQL TO u',
  ],
  [
    'own grant over a role’s denial',
    'ROLE r1 TO u; GRANT DQL TO u; DENY DQL ON TABLE d.s.t TO r1',
    'u',
    table,
    'GRANT DQL TO u',
  ],
  [
    'own entry elsewhere does not count',
    'ROLE r1 TO u; DENY DQL ON TABLE d.s.x TO u; GRANT DQL TO r1',
    'u',
    table,
    'GRANT DQL TO r1',
  ],
  [
    'own entry of another privilege does not count',
    'ROLE r1 TO u; DENY DML TO u; GRANT DQL TO r1',
    'u',
    table,
    'GRANT DQL TO r1',
  ],
  ['of two roles, the one that grants', 'ROLE r1 TO u; ROLE r2 TO u; GRANT DQL TO r2', 'u', table, 'GRANT DQL TO r2'],
  [
    'of two roles, a denial wins',
    'ROLE r1 TO u; ROLE r2 TO u; GRANT DQL TO r1; DENY DQL TO r2',
    'u',
    table,
    'DENY DQL TO r2',
  ],
  [
    'of two roles, a denial wins in either order',
    'ROLE r1 TO u; ROLE r2 TO u; DENY DQL TO r1; GRANT DQL TO r2',
    'u',
    table,
    'DENY DQL TO r1',
  ],
  [
    'a denial on the cluster wins over a grant on the table',
    'ROLE r1 TO u; ROLE r2 TO u; GRANT DQL ON TABLE d.s.t TO r1; DENY DQL TO r2',
    'u',
    table,
    'DENY DQL TO r2',
  ],
  [
    'two grants: the first role’s',
    'ROLE r1 TO u; ROLE r2 TO u; GRANT DQL TO r1; GRANT DQL ON TABLE d.s.t TO r2',
    'u',
    table,
    'GRANT DQL TO r1',
  ],
  [
    'per role the most specific',
    'ROLE r1 TO u; GRANT DQL ON TABLE d.s.t TO r1; DENY DQL ON SCHEMA d.s TO r1',
    'u',
    table,
    'GRANT DQL ON TABLE d.s.t TO r1',
  ],
  [
    'per role the most specific, denied',
    'ROLE r1 TO u; DENY DQL ON TABLE d.s.t TO r1; GRANT DQL ON SCHEMA d.s TO r1',
    'u',
    table,
    'DENY DQL ON TABLE d.s.t TO r1',
  ],
  [
    'a role’s entry covers those of its roles',
    'ROLE r1 TO u; ROLE r2 TO r1; GRANT DQL TO r1; DENY DQL ON TABLE d.s.t TO r2',
    'u',
    table,
    'GRANT DQL TO r1',
  ],
  [
    'a role’s denial covers those of its roles',
    'ROLE r1 TO u; ROLE r2 TO r1; DENY DQL TO r1; GRANT DQL ON TABLE d.s.t TO r2',
    'u',
    table,
    'DENY DQL TO r1',
  ],
  [
    'what one role covers, another way shows',
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r2 TO r1; GRANT DQL TO r1; DENY DQL TO r2',
    'u',
    table,
    'DENY DQL TO r2',
  ],
  [
    'a denial deep down wins over a grant near',
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r3 TO r2; GRANT DQL TO r1; DENY DQL TO r3',
    'u',
    table,
    'DENY DQL TO r3',
  ],
  [
    'two ways to one role',
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r3 TO r1; ROLE r3 TO r2; GRANT DQL TO r3',
    'u',
    table,
    'GRANT DQL TO r3',
  ],
  [
    'two ways to one denial',
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r3 TO r1; ROLE r3 TO r2; DENY DQL TO r3',
    'u',
    table,
    'DENY DQL TO r3',
  ],
  [
    'a denial that one way covers and the other does not',
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r3 TO r1; ROLE r3 TO r2; DENY DQL TO r3; GRANT DQL TO r1',
    'u',
    table,
    'DENY DQL TO r3',
  ],
  [
    'a role’s entry on another table',
    'ROLE r1 TO u; ROLE r2 TO r1; DENY DQL ON TABLE d.s.x TO r1; GRANT DQL TO r2',
    'u',
    table,
    'GRANT DQL TO r2',
  ],
  [
    'a schema by a role',
    'ROLE r1 TO u; GRANT DDL ON SCHEMA d.s TO r1',
    'u',
    'DDL on schema d.s',
    'GRANT DDL ON SCHEMA d.s TO r1',
  ],
  ['the cluster by a role', 'ROLE r1 TO u; GRANT AL TO r1', 'u', 'AL on cluster', 'GRANT AL TO r1'],
  ['a role that nobody made', 'ROLE nowhere TO u', 'u', table, nothing(table)],
  ['a user granted like a role gives nothing', 'ROLE v TO u; GRANT DQL TO v', 'u', table, nothing(table)],
]

const fromElsewhere: readonly Row[] = [
  ['a role', 'GRANT DQL ON TABLE d.s.t TO r1', '@r1', table, 'GRANT DQL ON TABLE d.s.t TO r1'],
  ['no role', 'GRANT DQL ON TABLE d.s.t TO r1', '@', table, nothing(table)],
  ['another role', 'GRANT DQL ON TABLE d.s.t TO r1', '@r2', table, nothing(table)],
  ['a role’s role', 'ROLE r2 TO r1; GRANT DQL TO r2', '@r1', table, 'GRANT DQL TO r2'],
  [
    'two roles, one denied',
    'GRANT DQL TO r1; DENY DQL ON SCHEMA d.s TO r2',
    '@r1,r2',
    table,
    'DENY DQL ON SCHEMA d.s TO r2',
  ],
  [
    'two roles, one of which has the other',
    'ROLE r2 TO r1; GRANT DQL TO r1; DENY DQL TO r2',
    '@r1',
    table,
    'GRANT DQL TO r1',
  ],
  [
    'a role’s entry covers its roles only on that way',
    'ROLE r2 TO r1; GRANT DQL TO r1; DENY DQL TO r2',
    '@r1,r2',
    table,
    'DENY DQL TO r2',
  ],
  ['a user’s name as a role', 'GRANT DQL TO u', '@u', table, nothing(table)],
  ['a role that no store has', 'GRANT DQL TO r1', '@sales,r1', table, 'GRANT DQL TO r1'],
  ['strange roles', 'GRANT DQL TO r1', '@__proto__,constructor, ', table, nothing(table)],
]

const values: readonly Row[] = [
  [
    'samples of values, by the database',
    'GRANT DQL ON DATABASE d TO u',
    'u',
    'DQL on table d.pg_catalog.pg_stats',
    'GRANT DQL ON DATABASE d TO u does not reach as far as DQL on table d.pg_catalog.pg_stats',
  ],
  [
    'samples of values, by the cluster',
    'GRANT DQL TO u',
    'u',
    'DQL on table d.pg_catalog.pg_statistic',
    'GRANT DQL TO u does not reach as far as DQL on table d.pg_catalog.pg_statistic',
  ],
  [
    'samples of values, by the schema',
    'GRANT DQL ON SCHEMA d.pg_catalog TO u',
    'u',
    'DQL on table d.pg_catalog.pg_stats',
    'GRANT DQL ON SCHEMA d.pg_catalog TO u',
  ],
  [
    'samples of values, by the table',
    'GRANT DQL ON TABLE d.pg_catalog.pg_stats TO u',
    'u',
    'DQL on table d.pg_catalog.pg_stats',
    'GRANT DQL ON TABLE d.pg_catalog.pg_stats TO u',
  ],
  [
    'a table of that name elsewhere',
    'GRANT DQL ON DATABASE d TO u',
    'u',
    'DQL on table d.s.pg_stats',
    'GRANT DQL ON DATABASE d TO u',
  ],
  [
    'long rows, by the database',
    'GRANT DQL ON DATABASE d TO u',
    'u',
    'DQL on table d.pg_toast.pg_toast_1',
    'GRANT DQL ON DATABASE d TO u does not reach as far as DQL on table d.pg_toast.pg_toast_1',
  ],
  [
    'the schema of long rows',
    'GRANT DQL TO u',
    'u',
    'DQL on schema d.pg_toast',
    'GRANT DQL TO u does not reach as far as DQL on schema d.pg_toast',
  ],
  [
    'a role whose grant is wide',
    'ROLE r1 TO u; GRANT DQL TO r1',
    'u',
    'DQL on table d.pg_catalog.pg_authid',
    'GRANT DQL TO r1 does not reach as far as DQL on table d.pg_catalog.pg_authid',
  ],
]

function ask(entries: string, who: string, need: Need) {
  const compiled = compileGrants(snapshotOf(entries))
  const roles = who.slice(1).split(',').filter(Boolean)
  const subject = who.startsWith('@') ? compiled.holder(roles) : compiled.account(who)
  return { compiled, subject, decision: compiled.decide(subject, need) }
}

function needOf(text: string): Need {
  const need = parseNeed(text)
  assert(need !== undefined, text)
  return need
}

const groups = { own, wider, others, besides, inherited, fromElsewhere, values }
for (const [group, rows] of Object.entries(groups)) {
  for (const [name, entries, who, need, rule] of rows) {
    test(`${group}: ${name}`, () => {
      const kind = /^GRANT .* TO \S+$/.test(rule) ? 'permit' : 'deny'
      const { compiled, subject, decision } = ask(entries, who, needOf(need))
      assert.deepEqual(decision, { kind, rule })
      // From memory it is the same.
      assert.deepEqual(compiled.decide(subject, needOf(need)), decision)
    })
  }
}

test('there are a hundred rows and more', () => {
  assert(Object.values(groups).flat().length >= 110)
})

const sights: readonly (readonly [name: string, entries: string, target: string, seen: boolean])[] = [
  ['nothing', '', 'table d.s.t', false],
  ['a table that one may read', 'GRANT DQL ON TABLE d.s.t TO u', 'table d.s.t', true],
  ['a table that one may write only', 'GRANT DML ON TABLE d.s.t TO u', 'table d.s.t', true],
  ['another table', 'GRANT DQL ON TABLE d.s.t TO u', 'table d.s.x', false],
  ['its schema', 'GRANT DQL ON TABLE d.s.t TO u', 'schema d.s', true],
  ['another schema', 'GRANT DQL ON TABLE d.s.t TO u', 'schema d.x', false],
  ['its database', 'GRANT DQL ON TABLE d.s.t TO u', 'database d', true],
  ['another database', 'GRANT DQL ON TABLE d.s.t TO u', 'database x', false],
  ['the cluster', 'GRANT DQL ON TABLE d.s.t TO u', 'cluster', true],
  ['a table by its schema', 'GRANT DDL ON SCHEMA d.s TO u', 'table d.s.t', true],
  ['a denied table', 'GRANT DQL ON SCHEMA d.s TO u; DENY DQL ON TABLE d.s.t TO u', 'table d.s.t', false],
  [
    'a table of which one privilege is denied',
    'GRANT DQL ON SCHEMA d.s TO u; DENY DML ON TABLE d.s.t TO u',
    'table d.s.t',
    true,
  ],
  ['a schema of which all is denied', 'DENY DQL ON SCHEMA d.s TO u', 'schema d.s', false],
  [
    'a denied schema with a granted table',
    'DENY DQL ON SCHEMA d.s TO u; GRANT DQL ON TABLE d.s.t TO u',
    'schema d.s',
    true,
  ],
  ['a schema where others have something', 'GRANT DQL ON TABLE d.s.t TO v', 'schema d.s', false],
  ['by a role', 'ROLE r1 TO u; GRANT DQL ON TABLE d.s.t TO r1', 'schema d.s', true],
]
for (const [name, entries, target, seen] of sights) {
  test(`sight: ${name}: ${seen ? 'seen' : 'not seen'}`, () => {
    const compiled = compileGrants(snapshotOf(entries))
    const asked = parseTarget(target)
    assert(asked !== undefined)
    const subject = compiled.account('u')
    assert.equal(compiled.sees(subject, asked), seen)
    assert.equal(compiled.sees(subject, asked), seen)
  })
}

test('what was looked at is told in order, and not what an entry covers', () => {
  const entries =
    'ROLE r1 TO u; ROLE r2 TO u; ROLE r3 TO r1; ROLE r4 TO r2; DENY DQL TO r3; GRANT DQL ON TABLE d.s.t TO r2; GRANT DQL TO r4'
  const compiled = compileGrants(snapshotOf(entries))
  assert.deepEqual(compiled.explain(compiled.account('u'), needOf(table)), [
    'own entries: none',
    'role r1: none',
    'role r3, of role r1: DENY DQL TO r3',
    'role r2: GRANT DQL ON TABLE d.s.t TO r2',
  ])
  assert.deepEqual(compiled.explain(compiled.account('v'), needOf(table)), ['own entries: none'])
  const elsewhere = (...roles: string[]) => compiled.explain(compiled.holder(roles), needOf(table))
  assert.deepEqual(elsewhere('r1', 'x'), ['role r1: none', 'role r3, of role r1: DENY DQL TO r3'])
  assert.deepEqual(elsewhere('x'), ['none of the roles is one of the store'])
})

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

// The rules once more, as plainly as they can be said: over text, by recursion, for every question anew.
type Entry = { readonly to: string; readonly privilege: Privilege; readonly on: string; readonly grants: boolean }
type World = { readonly entries: readonly Entry[]; readonly has: readonly (readonly [who: string, role: string])[] }
function reference(
  { entries, has }: World,
  who: string,
  privilege: Privilege,
  levels: readonly string[],
): boolean | undefined {
  for (const level of levels) {
    const entry = entries.find(one => one.to === who && one.privilege === privilege && one.on === level)
    if (entry !== undefined) return entry.grants
  }
  const answers = has
    .filter(([holder]) => holder === who)
    .map(([, role]) => reference({ entries, has }, role, privilege, levels))
  if (answers.includes(false)) return false
  return answers.includes(true) ? true : undefined
}

test('random grants, roles and needs are decided as the rules say, and seen where anything is granted', () => {
  const privileges = ['DQL', 'DML', 'DDL', 'AL'] as const
  const tables = ['d.a.t', 'd.a.x', 'd.b.t', 'e.a.t'].map(name => [name, name.slice(0, 3), name.slice(0, 1), ''])
  const places = [...new Set(tables.flat())]
  const classOf = (place: string): string => ['', 'DATABASE', 'SCHEMA', 'TABLE'][(place.length + 1) / 2] ?? ''
  const roles = ['r0', 'r1', 'r2', 'r3', 'r4', 'r5']
  let [permitted, denied, unsaid] = [0, 0, 0]
  for (let seed = 1; seed <= 600; seed += 1) {
    const below = random(seed)
    const one = <T>(list: readonly T[]): T => {
      const found = list[below(list.length)]
      assert(found !== undefined)
      return found
    }
    const found = new Map<string, Entry>()
    for (let count = below(14); count > 0; count -= 1) {
      const entry = {
        to: one(['u', 'v', ...roles]),
        privilege: one(privileges.slice(0, 2)),
        on: one(places),
        grants: below(5) > 1,
      }
      found.set(JSON.stringify([entry.to, entry.privilege, entry.on]), entry)
    }
    const has = new Map<string, readonly [string, string]>()
    for (let count = below(12); count > 0; count -= 1) {
      // Only towards higher numbers, so that there is no cycle.
      const at = below(roles.length)
      const [holder, role] =
        below(2) === 0 ? ['u', one(roles)] : [roles[at] ?? '', one(roles.slice(at + 1).concat('rx'))]
      has.set(`${holder} ${role}`, [holder, role])
    }
    const world = { entries: [...found.values()], has: [...has.values()] }
    const statements = [
      ...world.entries.map(({ to, privilege, on, grants }) => {
        const object = on === '' ? '' : ` ON ${classOf(on)} ${on}`
        return `${grants ? 'GRANT' : 'DENY'} ${privilege}${object} TO ${to}`
      }),
      ...world.has.map(([holder, role]) => `ROLE ${role} TO ${holder}`),
    ].join(';')
    const compiled = compileGrants(snapshotOf(statements))
    const held = [...new Set([one(roles), one(roles)])]
    for (const [who, subject, holders] of [
      ['u', compiled.account('u'), undefined],
      ['v', compiled.account('v'), undefined],
      [held.join(), compiled.holder(held), held],
    ] as const) {
      const expected = (privilege: Privilege, levels: readonly string[]): boolean | undefined => {
        if (holders === undefined) return reference(world, who, privilege, levels)
        const asked = { ...world, has: [...world.has, ...holders.map(role => ['somebody', role] as const)] }
        return reference(asked, 'somebody', privilege, levels)
      }
      const places = new Set(tables.flatMap(levels => levels.map((_, at) => levels.slice(at).join('|'))))
      for (const place of [...places, 'd.a.new|d.a|d|', 'd.new.t|d.new|d|', 'new.s.t|new.s|new|']) {
        const levels = place.split('|')
        const [name = ''] = levels
        const target =
          parseTarget(name === '' ? 'cluster' : `${classOf(levels.at(0) ?? '').toLowerCase() || 'table'} ${name}`) ??
          parseTarget(`table ${name}`)
        assert(target !== undefined, place)
        for (const privilege of ['DQL', 'DML'] as const) {
          const answer = expected(privilege, levels)
          if (answer === undefined) unsaid += 1
          else if (answer) permitted += 1
          else denied += 1
          const decision = compiled.decide(subject, { privilege, target })
          const where = `seed ${seed}: ${statements}\n${who} asks ${privilege} on ${name}: ${decision.rule}`
          assert.equal(decision.kind, answer === true ? 'permit' : 'deny', where)
          assert.equal(decision.rule.startsWith('nothing'), answer === undefined, where)
        }
        const inside = tables.flatMap(of => of.map((_, at) => of.slice(at))).filter(of => of.includes(name))
        const seen = [levels, ...inside].some(of => privileges.some(privilege => expected(privilege, of) === true))
        assert.equal(compiled.sees(subject, target), seen, `seed ${seed}: ${statements}\n${who} sees ${name}`)
      }
    }
  }
  // Each answer was asked for often enough to mean something.
  assert(permitted > 1_000 && denied > 1_000 && unsaid > 1_000, `${permitted} ${denied} ${unsaid}`)
})

test('a cycle, which no store keeps, ends; many ways to one role and a long chain cost what the roles cost', () => {
  const cycle = ask('ROLE r1 TO u; ROLE r2 TO r1; ROLE r1 TO r2; GRANT DQL TO r2', 'u', needOf(table))
  assert.equal(cycle.decision.kind, 'permit')
  // 2 to the 60th ways from top to bottom.
  const layers = Array.from({ length: 60 }, (_, at) =>
    [`r${at}a`, `r${at}b`].flatMap(role => [`ROLE r${at + 1}a TO ${role}`, `ROLE r${at + 1}b TO ${role}`]),
  ).flat()
  const many = ask([...layers, 'ROLE r0a TO u', 'GRANT DQL TO r60b'].join(';'), 'u', needOf(table))
  assert.deepEqual(many.decision, { kind: 'permit', rule: 'GRANT DQL TO r60b' })
  const chain = Array.from({ length: 20_000 }, (_, at) => `ROLE r${at + 1} TO r${at}`)
  const long = ask([...chain, 'ROLE r0 TO u', 'DENY DQL TO r20000'].join(';'), 'u', needOf(table))
  assert.equal(long.decision.rule, 'DENY DQL TO r20000')
})
