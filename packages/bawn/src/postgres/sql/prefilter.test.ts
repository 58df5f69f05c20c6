import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNames } from './names.ts'
import { createParser } from './parser.ts'
import { changed, searched, untouched } from './permitted.fixture.ts'
import { createPrefilter, isHarmless } from './prefilter.ts'
import { computed, notUnderstood, otherCodes } from './refused.fixture.ts'
import { touches } from './schema-change.ts'
import { shopSnapshot } from './shop.fixture.ts'

const needsParse = createPrefilter(shopSnapshot)
const names = createNames(shopSnapshot)

const rows: readonly (readonly [sql: string, parse: boolean, harmless: boolean])[] = [
  ['SELECT 1', false, true],
  ["INSERT INTO people (name) VALUES ('x')", false, true],
  ['INSERT INTO people VALUES (1) ON CONFLICT DO NOTHING', false, true],
  ['INSERT INTO people VALUES (1) ON CONFLICT (id) do  update SET id = 2', false, true],
  ['UPDATE people SET name = $1', false, true],
  ['SELECT * FROM USERS', true, false],
  ['SELECT * FROM "users"', true, false],
  ['SELECT * FROM "USERS"', true, true],
  ['SELECT * FROM "Odd ""table"', true, false],
  ['SELECT * FROM odd_table', false, true],
  ['SELECT * FROM U&"\\0075sers"', true, false],
  ['SELECT * FROM user_list', true, false],
  ['SELECT * FROM userz', true, false],
  ["SELECT 'users'", true, true],
  ['EXECUTE p', true, false],
  ['FETCH c', true, false],
  ['MOVE c', true, false],
  ['SELECT 1 FETCH FIRST ROW ONLY', true, true],
  ['CREATE TABLE t ()', true, false],
  ["DO 'x'", true, false],
  ['SET NAMES latin1', true, false],
  ['SELECT set_config($1, $2, true)', true, false],
  ["SET client_encoding TO 'x'", true, false],
  ['UPDATE pg_settings SET setting = 1', true, false],
  ["SELECT 'create'", true, true],
  ['SELECT 1; DROP TABLE t', true, false],
]

test('which statements need no parse', async t => {
  for (const [sql, parse, harmless] of rows) {
    await t.test(sql, () => {
      assert.equal(needsParse(Buffer.from(sql).toString('latin1')), parse)
      assert.equal(isHarmless(Buffer.from(sql), names), harmless)
    })
  }
})

test('what the parser says touches a protected table is never left out', async () => {
  const parser = await createParser()
  const sources = [
    ...untouched,
    ...[...changed, ...searched, ...computed, ...notUnderstood].map(([sql]) => sql),
    ...otherCodes.map(([, sql]) => sql),
  ]
  let seed = 7
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (seed >> 8) % below
  }
  const disguises = [
    (sql: string) => sql,
    (sql: string) => sql.toUpperCase(),
    (sql: string) => sql.replace(/\busers\b/g, '"users"'),
    (sql: string) => sql.replace(/\busers\b/g, 'U&"u\\0073ers"'),
    (sql: string) => sql.replace(/\busers\b/g, 'u&"u!0073ers" uescape \'!\''),
    (sql: string) => sql.replace(/ /g, '/**/'),
    (sql: string) => sql.replace(/\busers\b/g, 'uSeRs'),
    (sql: string) => sql.slice(0, random(sql.length)) + sql.slice(random(sql.length)),
  ]
  let touched = 0
  for (const source of sources) {
    for (const disguise of disguises) {
      const sql = disguise(source)
      const parsed = await parser.parse(Buffer.from(sql))
      if (parsed.kind !== 'parsed' || !touches(parsed.statements, names)) continue
      touched++
      assert(needsParse(Buffer.from(sql).toString('latin1')), sql)
    }
  }
  assert(touched > 800, String(touched))
  parser.close()
})
