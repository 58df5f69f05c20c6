import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { RawStmt } from 'libpg-query'
import { createNames } from './names.ts'
import { createParser } from './parser.ts'
import { changed, searched, untouched } from './permitted.fixture.ts'
import type { SchemaSnapshot, StatementPlan } from './plan.ts'
import { PlanCache } from './plan-cache.ts'
import { createPlanner } from './planner.ts'
import { computed, notUnderstood, otherCodes } from './refused.fixture.ts'
import { sees, seesNothing, shopSnapshot } from './shop.fixture.ts'
import { everyStruct } from './tree.ts'

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

test('plans are bounded in number and bytes, and those in use stay', () => {
  const sizes: readonly (readonly [number, number])[] = [
    [8, 1_000_000],
    [1_000_000, 800],
  ]
  for (const [maxPlans, maxBytes] of sizes) {
    const cache = new PlanCache(maxPlans, maxBytes)
    const pass: StatementPlan = { kind: 'pass', schemaChange: false }
    for (let at = 0; at < 1_000; at++) {
      cache.set(`${at}`.padEnd(50), 1, 'a', pass)
      cache.set('in use', 1, 'a', pass)
      assert.equal(cache.get('in use', 1, 'a'), pass)
    }
    assert.equal(cache.get('in use', 2, 'a'), undefined)
    assert.equal(cache.get('in use', 1, 'b'), undefined)
    const kept = Array.from({ length: 1_000 }, (_, at) => cache.get(`${at}`.padEnd(50), 1, 'a')).filter(Boolean)
    assert(kept.length <= 16, String(kept.length))
    cache.set('x'.repeat(maxBytes), 1, 'a', pass)
    assert.equal(cache.get('x'.repeat(maxBytes), 1, 'a'), undefined)
    cache.clear()
    assert.equal(cache.get('in use', 1, 'a'), undefined)
  }
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

/** Does a SELECT, INSERT, UPDATE, DELETE or COPY in it name a protected table, and no WITH query or lock clause hide the name? */
function reads(statements: readonly RawStmt[]): boolean {
  return statements.some(({ stmt }) => {
    const [kind] = Object.keys(stmt ?? {})
    if (!/^(?:Select|Insert|Update|Delete|Merge|Copy)Stmt$/.test(kind ?? '')) return false
    let found = false
    everyStruct(stmt, struct => {
      if ('CommonTableExpr' in struct || 'LockingClause' in struct) return false
      const { relname, schemaname } = struct
      const schema = typeof schemaname === 'string' ? schemaname : undefined
      if (typeof relname === 'string' && names.meaning(schema, relname).kind !== 'other') found = true
      return undefined
    })
    return found && !JSON.stringify(stmt).includes('CommonTableExpr')
  })
}
