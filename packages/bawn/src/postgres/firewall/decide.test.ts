import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createParser } from '../sql/parser.ts'
import { createDecider, type Decider, firewallOf } from './decide.fixture.ts'
import {
  accountRows,
  classRows,
  patternRows,
  sameQueries,
  tableRows,
  unreadableRows,
  whereRows,
} from './decide-rows.fixture.ts'
import { classesOf } from './statement-class.ts'

type Rows = readonly (readonly [sql: string, expected: string, ...roles: readonly string[]])[]

async function check(options: unknown, rows: Rows, accounts = false): Promise<void> {
  const decider = await createDecider(options, accounts)
  const wrong: string[] = []
  for (const [sql, expected, ...roles] of rows) {
    const found = await decider.decide(sql, ...roles)
    if (found !== expected) wrong.push(`${sql}\n    found    ${found}\n    expected ${expected}`)
  }
  await decider.close()
  assert.equal(wrong.length, 0, wrong.join('\n'))
}

test('classes: every one that a statement has anywhere', async () => {
  const parser = await createParser()
  const wrong: string[] = []
  for (const [sql, expected] of classRows) {
    const parsed = await parser.parse(Buffer.from(sql))
    assert.equal(parsed.kind, 'parsed', sql)
    const found = parsed.kind === 'parsed' ? parsed.statements.flatMap(({ stmt }) => [...classesOf(stmt)]) : []
    if (found.sort().join(' ') !== expected.split(' ').sort().join(' ')) wrong.push(`${sql}: ${found.join(' ')}`)
  }
  parser.close()
  assert.deepEqual(wrong, [])
})

test('classes: a deny rule finds one anywhere, an allow rule wants all of them', async () => {
  await check({ default: 'allow', rules: [{ name: 'r', action: 'deny', statements: ['DELETE', 'COPY'] }] }, [
    ['WITH w AS (DELETE FROM people RETURNING *) SELECT * FROM w', 'deny r'],
    ['EXPLAIN DELETE FROM people', 'deny r'],
    ['SELECT 1', 'allow no rule matches'],
    ['UPDATE people SET id = 1', 'allow no rule matches'],
  ])
  await check({ rules: [{ name: 'r', action: 'allow', statements: ['SELECT', 'DELETE'] }] }, [
    ['WITH w AS (DELETE FROM people RETURNING *) SELECT * FROM w', 'allow r'],
    ['EXPLAIN DELETE FROM people', 'deny no rule matches'],
    ['SELECT 1 INTO t', 'deny no rule matches'],
    ['SELECT 1', 'allow r'],
  ])
})

test('tables: deny when one may be touched', () =>
  check(
    {
      default: 'allow',
      trusted_functions: ['public.either', 'crm.either'],
      rules: [
        { name: 'people', action: 'deny', tables: ['public.people'] },
        { name: 'partition', action: 'deny', tables: ['public.events_2026'] },
        { name: 'hidden', action: 'deny', tables: ['hidden.*'] },
      ],
    },
    tableRows.deny,
  ))

test('tables: allow when nothing else is touched', () =>
  check(
    {
      trusted_functions: ['public.*'],
      rules: [
        { name: 'tables', action: 'allow', tables: ['public.people', 'public.notes', 'crm.*', 'public."Odd ""table"'] },
        { name: 'catalog', action: 'allow', tables: ['pg_catalog.*'] },
      ],
    },
    tableRows.allow,
  ))

test('patterns', async () => {
  for (const { pattern, allowed, refused, onlyDenied = [] } of patternRows) {
    const rules = (action: string) => [{ name: 'q', action, queries: [pattern] }]
    await check({ rules: rules('allow') }, [
      ...allowed.map(sql => [sql, 'allow q'] as const),
      ...[...refused, ...onlyDenied].map(sql => [sql, 'deny no rule matches'] as const),
    ])
    await check({ default: 'allow', rules: rules('deny') }, [
      ...[...allowed, ...onlyDenied].map(sql => [sql, 'deny q'] as const),
      ...refused.map(sql => [sql, 'allow no rule matches'] as const),
    ])
  }
})

test('the same statement, written in other ways', async () => {
  for (const [first, ...others] of sameQueries) {
    const options = { rules: [{ name: 'q', action: 'allow', queries: [first] }] }
    await check(
      options,
      [first, ...others].map(sql => [sql ?? '', 'allow q'] as const),
    )
  }
})

test('without_where: UPDATE and DELETE of every row', () =>
  check({ default: 'allow', rules: [{ name: 'bare', action: 'deny', without_where: true }] }, whereRows))

test('what cannot be understood is refused, or left to rules without conditions', async () => {
  await check(
    { default: 'allow' },
    unreadableRows.map(sql => [sql, 'deny unreadable'] as const),
  )
  await check(
    { default: 'deny', unreadable: 'allow' },
    unreadableRows.map(sql => [sql, 'allow unreadable'] as const),
  )
  const rules = [
    { name: 'selects', action: 'allow', statements: ['SELECT'] },
    { name: 'support', action: 'deny', for: ['support'] },
  ]
  await check(
    { unreadable: 'allow', rules },
    unreadableRows.map(sql => [sql, 'deny support', 'support'] as const),
  )
})

test('statements about accounts that are the gateway’s own', () =>
  check(
    {
      rules: [
        { name: 'dcl', action: 'allow', statements: ['DCL'] },
        { name: 'rest', action: 'deny' },
      ],
    },
    accountRows,
    true,
  ))

test('the first rule that holds decides, for whom it is for; a text goes on only as a whole', () =>
  check(
    {
      max_statements: 3,
      rules: [
        { name: 'no-plans', action: 'deny', tables: ['hidden.plans'] },
        { name: 'billing', action: 'allow', for: ['billing'] },
        { name: 'support-writes', action: 'deny', for: ['support'], statements: ['INSERT', 'UPDATE', 'DELETE'] },
        { name: 'support', action: 'allow', for: ['support'], tables: ['crm.*'] },
        { name: 'reads', action: 'allow', statements: ['SELECT'], tables: ['public.notes'] },
      ],
    },
    [
      ['SELECT FROM hidden.plans', 'deny no-plans', 'billing'],
      ['DROP TABLE people', 'allow billing', 'billing'],
      ['DELETE FROM crm.deals WHERE id = 1', 'deny support-writes', 'support'],
      ['SELECT FROM crm.deals', 'allow support', 'support'],
      ['SELECT FROM crm.deals', 'deny no rule matches'],
      ['SELECT FROM notes', 'allow reads'],
      ['SELECT FROM notes', 'allow reads', 'support'],
      ['DELETE FROM notes', 'deny no rule matches'],
      ['SELECT FROM notes; DELETE FROM notes', 'deny no rule matches'],
      ['SELECT FROM notes; SELECT FROM notes', 'allow reads'],
      ['SELECT FROM notes; ; SELECT FROM notes;;', 'allow reads'],
      ['SELECT FROM notes; SELECT FROM notes; SELECT FROM notes; SELECT FROM notes', 'deny max_statements'],
      ['SELECT 1; SELECT 1; SELECT 1; SELECT 1', 'deny max_statements', 'billing'],
      ['', 'allow no statement'],
      ['-- nothing', 'allow no statement'],
    ],
  ))

test('rules that cannot be used are told by name', async () => {
  const rows = [
    ['SELECT FROM', /q cannot be used: syntax error/],
    ['SELECT 1; SELECT 2', /several statements/],
    ['-- nothing', /it is empty/],
    ['%%SELECT%%', /%%SELECT%% is no placeholder.*statements: \[SELECT\]/],
    ['SELECT a FROM t WHERE a = %%VALUES%%', /%%VALUES%% is no placeholder/],
    ['SELECT f(1, %%LIST_OF_VALUES%%)', /nothing may stand beside it/],
    ['SELECT a FROM t WHERE b = 1 AND %%WHERE%%', /syntax error/],
  ] as const
  for (const [query, message] of rows) {
    await assert.rejects(firewallOf({ rules: [{ name: 'q', action: 'deny', queries: [query] }] }), {
      code: 'postgres.firewall_invalid',
      message,
    })
  }
})

/** Deterministic, so that a failure can be seen again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % below
  }
}

test('property: spaces, comments, case and other literals change no decision', async () => {
  const statements = [
    'SELECT name FROM people WHERE id = ~ AND name = ~',
    'INSERT INTO notes ( a , b ) VALUES ( ~ , ~ )',
    'UPDATE people SET name = ~ WHERE id IN ( ~ , ~ )',
    'DELETE FROM crm . orders WHERE id = ~',
    'SELECT p . name FROM public . people AS p JOIN notes n ON n . id = p . id WHERE n . b > ~ ORDER BY p . name LIMIT ~',
    'WITH w AS ( SELECT id FROM people ) DELETE FROM notes WHERE id = ~',
    'SELECT count ( * ) FROM hidden . plans',
  ]
  const patterns = statements.slice(0, 5).map(text => text.replaceAll('~', '%%VALUE%%'))
  const decider: Decider = await createDecider({
    rules: [
      { name: 'plans', action: 'deny', tables: ['hidden.*'] },
      { name: 'known', action: 'allow', queries: patterns },
      { name: 'deletes', action: 'deny', statements: ['DELETE'] },
    ],
  })
  const random = randomFrom(20_261_122)
  const gaps = [' ', '\n', '\t ', ' /* c */ ', ' /* /* nested */ */ ', ' -- line\n', '/**/', '\f']
  const values = [
    '1',
    "'x'",
    "'it''s'",
    '$1',
    "E'a\\'b'",
    '$$z$$',
    '-5',
    '2.5e3',
    'NULL',
    'true',
    "'a'::text",
    "U&'\\0061'",
    "date '2026-01-01'",
  ]
  const pick = (list: readonly string[]): string => list[random(list.length)] ?? ''
  for (const text of statements) {
    const before = await decider.decide(text.replaceAll('~', '1'))
    for (let turn = 0; turn < 150; turn++) {
      const words = text.split(' ').map(word => {
        if (word === '~') return pick(values)
        if (!/^[A-Z]+$/.test(word))
          return /^[a-z]+$/.test(word) && random(3) === 0 ? pick([word.toUpperCase(), `"${word}"`]) : word
        return pick([word, word.toLowerCase(), word.charAt(0) + word.slice(1).toLowerCase()])
      })
      // `count` in quotes is the same function; the list of words keeps a gap wherever one may stand.
      const other = words.reduce((sum, word) => `${sum}${pick(gaps)}${word}`)
      assert.equal(await decider.decide(other), before, other)
    }
  }
  await decider.close()
})
