import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Need } from '../../accounts/grant.ts'
import { createPlanner } from '../sql/planner.ts'
import { needed } from './needs.fixture.ts'
import { fixtureObjects } from './objects.fixture.ts'
import type { Reading } from './reading.ts'
import { resolve } from './resolve.ts'

const planner = await createPlanner()
after(() => planner.close())

async function readingOf(text: string): Promise<Reading> {
  const reading = await planner.read(Buffer.from(text))
  assert.equal(reading.kind, 'read', `${text}: ${reading.kind === 'unread' ? reading.message : ''}`)
  if (reading.kind !== 'read') throw new Error('not read')
  return reading
}

function short({ privilege, target }: Need): string {
  switch (target.kind) {
    case 'cluster':
      return `${privilege} cluster`
    case 'database':
      return `${privilege} database`
    case 'schema':
      return `${privilege} ${target.schema}.*`
    case 'table':
      return `${privilege} ${target.schema}.${target.table}`
  }
}

const everything = ['AL cluster', 'DDL database', 'DML database', 'DQL database'].join(', ')
const nothing = { temporary: () => undefined, created: () => [] }

async function needsOf(text: string): Promise<string> {
  const reading = await readingOf(text)
  const { needs } = resolve(reading.references, 'shop', fixtureObjects, nothing)
  return [...new Set(needs.map(short))].sort().join(', ').replace(everything, 'everything')
}

for (const [group, rows] of Object.entries(needed)) {
  test(`what statements need: ${group}`, async () => {
    const wrong: string[] = []
    for (const [text, expected] of rows) {
      const found = await needsOf(text)
      if (found !== expected) wrong.push(`${text}\n    needs    ${found}\n    expected ${expected}`)
    }
    assert.equal(wrong.length, 0, wrong.join('\n'))
  })
}

const queries = [...(needed['reading'] ?? []), ...(needed['WITH queries'] ?? [])].filter(([text]) => {
  return (
    /^(?:SELECT|WITH|VALUES|TABLE|\()/.test(text) &&
    !/;|\bINTO\b|\bFOR (?:UPDATE|SHARE|KEY)|\b(?:UPDATE|DELETE|INSERT)\b/.test(text)
  )
})

test('a query needs the same wherever it stands', async () => {
  assert(queries.length > 40)
  for (const [text, expected] of queries) {
    for (const around of [
      `EXPLAIN ANALYZE ${text}`,
      `PREPARE q AS ${text}`,
      `DECLARE q CURSOR FOR ${text}`,
      `COPY (${text}) TO STDOUT`,
      `CREATE TEMP TABLE q AS ${text}`,
      `CREATE TEMP VIEW q AS ${text}`,
      `SELECT 1 FROM (${text}) q`,
      `SELECT 1 WHERE EXISTS (${text})`,
      `WITH q AS (${text}) SELECT 1`,
      `SELECT 1 UNION (${text})`,
      `SELECT 1; ${text}`,
    ]) {
      assert.equal(await needsOf(around), expected, around)
    }
  }
})

test('names are cut where the server cuts them, and not within a character', async () => {
  const long = 'a'.repeat(62)
  const [reference] = (await readingOf(`SELECT * FROM "${long}äb"`)).references
  assert.equal(reference?.kind === 'relation' && reference.name, long)
  const [whole] = (await readingOf(`SELECT * FROM "${'ä'.repeat(31)}b$"`)).references
  assert.equal(whole?.kind === 'relation' && whole.name, `${'ä'.repeat(31)}b`)
})

test('a text that PostgreSQL would not parse is not read; nor one that is too long or too deep', async () => {
  const codes: string[] = []
  for (const text of [
    'SELEC 1',
    "SELECT 'a",
    'SELECT 1; DENIE',
    'SELECT 1 /* ',
    `SELECT ${'('.repeat(300)}1${')'.repeat(300)}`,
    `SELECT ${'- '.repeat(1_500)}1`,
    `SELECT '${'x'.repeat(300_000)}'`,
  ]) {
    const reading = await planner.read(Buffer.from(text))
    codes.push(reading.kind === 'unread' ? reading.code.replace('postgres.statement_', '') : reading.kind)
  }
  assert.deepEqual(codes, ['unreadable', 'unreadable', 'unreadable', 'unreadable', ...Array(3).fill('too_complex')])
  const bytes = await planner.read(Buffer.from([0x53, 0xff, 0x20]))
  assert.equal(bytes.kind, 'unread')
})

test('cut and mixed texts are read or not read, and never throw', async () => {
  const texts = Object.values(needed).flatMap(rows => rows.map(([text]) => text))
  let seed = 7
  const next = (limit: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed % limit
  }
  for (let count = 0; count < 400; count++) {
    const one = Buffer.from(texts[next(texts.length)] ?? '')
    const other = Buffer.from(texts[next(texts.length)] ?? '')
    const mixed = Buffer.concat([one.subarray(0, next(one.length + 1)), other.subarray(next(other.length + 1))])
    if (next(3) === 0 && mixed.length > 0) mixed[next(mixed.length)] = next(256)
    const reading = await planner.read(mixed)
    if (reading.kind === 'read') resolve(reading.references, 'shop', fixtureObjects, nothing)
  }
})
