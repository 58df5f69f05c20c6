import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { touches } from './definition.ts'
import { createNames } from './names.ts'
import { createParser } from './parser.ts'
import type { SchemaSnapshot, StatementPlan } from './plan.ts'
import { createPlanner } from './planner.ts'
import { sees, seesNothing, shopSnapshot } from './shop.fixture.ts'
import { changed, computed, notUnderstood, otherCodes, searched, untouched } from './statements.fixture.ts'

const planner = await createPlanner()
const parser = await createParser()
const names = createNames(shopSnapshot)
after(async () => {
  parser.close()
  await planner.close()
})

const plan = async (sql: string | Uint8Array): Promise<StatementPlan> =>
  await planner.plan(Buffer.from(sql), shopSnapshot, 'sees', sees)

test('a plan is kept by text, epoch and class; one with a value of the statement is not', () => {
  const text = Buffer.from('SELECT email FROM users')
  const first = planner.plan(text, shopSnapshot, 'a', sees)
  assert(!(first instanceof Promise))
  assert.equal(planner.plan(Buffer.from(text), shopSnapshot, 'a', sees), first)
  assert.notEqual(planner.plan(text, shopSnapshot, 'b', sees), first)
  assert.notEqual(planner.plan(text, { ...shopSnapshot, epoch: 1 }, 'a', sees), first)
  const search = Buffer.from('SELECT id FROM users WHERE email = $1')
  assert.notDeepEqual(
    planner.plan(search, shopSnapshot, 'a', sees),
    planner.plan(search, shopSnapshot, 'b', seesNothing),
  )
  const literal = Buffer.from("INSERT INTO users (email) VALUES ('a')")
  assert.notEqual(planner.plan(literal, shopSnapshot, 'a', sees), planner.plan(literal, shopSnapshot, 'a', sees))
})

test('plans are bounded in number and bytes', async () => {
  const small = await createPlanner({ maxPlans: 3 })
  const get = (n: number) => small.plan(Buffer.from(`SELECT email FROM users LIMIT ${n}`), shopSnapshot, '', sees)
  const [first, second] = [get(1), get(2)]
  get(3)
  assert.equal(get(1), first)
  get(4)
  assert.equal(get(1), first)
  assert.notEqual(get(2), second)
  await small.close()
})

test('a table that became protected is protected under the next epoch', async () => {
  const before: SchemaSnapshot = { ...shopSnapshot, epoch: 5, relations: [], dependents: [], problems: [] }
  const text = Buffer.from("INSERT INTO users (email) VALUES ('a')")
  assert.equal((await planner.plan(text, before, '', sees)).kind, 'pass')
  assert.equal((await planner.plan(text, { ...shopSnapshot, epoch: 6 }, '', sees)).kind, 'protected')
})

test('limits refuse what names a protected table, and nothing else', async () => {
  const many = Array.from({ length: 60_000 }, () => '1').join()
  const cases: readonly (readonly [string, string])[] = [
    [`SELECT id FROM users WHERE id IN (${many})`, 'postgres.statement_too_complex'],
    [`SELECT id FROM people WHERE name = 'users' AND id IN (${many})`, 'pass'],
    [`INSERT INTO people (name) VALUES ('create users ${'x'.repeat(300_000)}')`, 'pass'],
    [`INSERT INTO users (name) VALUES ('${'x'.repeat(300_000)}')`, 'postgres.statement_too_complex'],
    [`CREATE TABLE t AS SELECT '${'x'.repeat(300_000)}'`, 'postgres.statement_too_complex'],
    [`SELECT ${'('.repeat(50_000)}1${')'.repeat(50_000)} -- users`, 'pass'],
    [`SELECT ${'('.repeat(250)}id${')'.repeat(250)} FROM users`, 'postgres.statement_too_complex'],
    [`SELECT ${'('.repeat(190)}id${')'.repeat(190)} FROM users`, 'protected'],
    [`SELECT id FROM users WHERE ${'id = 1 OR '.repeat(900)} id = 2`, 'protected'],
    [`SELECT id FROM users WHERE ${'NOT '.repeat(999)} true`, 'protected'],
    [`SELECT ${'id + '.repeat(999)} id FROM users`, 'protected'],
    [`SELECT id ${'::int'.repeat(999)} FROM users`, 'protected'],
    [`SELECT id FROM users ${'UNION SELECT id FROM users '.repeat(900)}`, 'protected'],
    [`SELECT 1 FROM users ${'JOIN people ON true '.repeat(900)}`, 'protected'],
  ]
  for (const [sql, expected] of cases) {
    const result = await plan(sql)
    assert.equal(result.kind === 'refused' ? result.code : result.kind, expected, sql.slice(0, 60))
  }
})

test('hostile nesting, again and again, leaves the planner working', async () => {
  const hostile = [
    `SELECT ${'(SELECT '.repeat(3_000)}id FROM users${')'.repeat(3_000)}`,
    `SELECT ${'1+'.repeat(20_000)}1 FROM users`,
    `SELECT ${'('.repeat(50_000)}1${')'.repeat(50_000)} FROM users`,
    `SELECT ${'CASE WHEN true THEN '.repeat(3_000)}1${' END'.repeat(3_000)} FROM users`,
    `SELECT ${'- '.repeat(20_000)}1 FROM users`,
    `SELECT ${'a['.repeat(5_000)}1${']'.repeat(5_000)} FROM users`,
  ]
  for (let round = 0; round < 40; round++) {
    for (const sql of hostile) assert.equal((await plan(sql)).kind, 'refused')
  }
  assert.equal((await plan('SELECT email FROM users')).kind, 'protected')
})

test('bytes that are not text are refused', async () => {
  for (const text of [Buffer.from('SELECT 1 \xff FROM users', 'latin1'), Buffer.from('SELECT 1\0 FROM users')]) {
    const result = await plan(text)
    assert.equal(result.kind === 'refused' && result.code, 'postgres.statement_unreadable')
  }
})

const forms = [
  ...untouched,
  ...[...changed, ...searched, ...computed, ...notUnderstood].map(([sql]) => sql),
  ...otherCodes.map(([, sql]) => sql),
]

test('fuzz: mutated statements and soups of tokens never crash, overlap, or pass what names a protected table', async () => {
  let seed = 20_261_122
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (seed >> 8) % below
  }
  const words = [...new Set(forms.flatMap(sql => sql.match(/\w+|'[^']*'|"[^"]*"|\$\d|::|[^\s\w]/g) ?? []))]
  const pick = <T>(items: readonly T[]): T | undefined => items[random(items.length)]
  const mutants = [
    (sql: string) => sql.slice(0, random(sql.length + 1)),
    (sql: string) => `${sql.slice(0, random(sql.length + 1))} ${pick(words)} ${sql.slice(random(sql.length + 1))}`,
    (sql: string) => sql.replaceAll(pick(sql.split(/\b/)) ?? '', pick(words) ?? ''),
    (sql: string) => `${sql}; ${pick(forms)}`,
    (sql: string) => `WITH w AS (${sql}) SELECT * FROM w`,
    (sql: string) => `EXPLAIN ${sql}`,
    (sql: string) => sql.replace(/users/, `(${pick(untouched)}) AS users`),
    (sql: string) => sql.replace(/email/, `(${pick(words)} email ${pick(words)})`),
    () => Array.from({ length: random(30) }, () => pick(words)).join(' '),
  ]
  let understood = 0
  for (let round = 0; round < 6_000; round++) {
    const sql = pick(mutants)?.(pick(forms) ?? '') ?? ''
    const result = await plan(sql)
    if (result.kind === 'refused') continue
    understood++
    const parsed = await parser.parse(Buffer.from(sql))
    if (result.kind === 'pass') {
      if (parsed.kind === 'parsed') assert(!reads(parsed.statements), sql)
      continue
    }
    assert.equal(parsed.kind, 'parsed', sql)
    let at = 0
    for (const edit of result.edits) {
      assert(edit.start >= at && edit.end >= edit.start && edit.end <= Buffer.byteLength(sql), sql)
      at = edit.end
    }
  }
  assert(understood > 500, String(understood))
})

/** Does a SELECT, INSERT, UPDATE, DELETE or COPY in it name a protected table, and no WITH query hide the name? */
function reads(statements: readonly unknown[]): boolean {
  return statements.some(statement => {
    const json = JSON.stringify(statement)
    const kinds = /^\{"stmt":\{"(?:SelectStmt|InsertStmt|UpdateStmt|DeleteStmt|MergeStmt|CopyStmt)"/
    if (!kinds.test(json) || json.includes('CommonTableExpr')) return false
    const ranges = [...json.matchAll(/"RangeVar":(\{[^{}]*\})|"relation":(\{[^{}]*\})/g)]
    return ranges.some(([, one, other]) => touchesProtected(JSON.parse(one ?? other ?? '{}')))
  })
}

function touchesProtected(range: { readonly schemaname?: string; readonly relname?: string }): boolean {
  return touches(range, names) && names.meaning(range.schemaname, range.relname ?? '').kind !== 'other'
}
