import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { changed, copiedIn, passed, schemaChanges, searched, untouched } from './permitted.fixture.ts'
import { createPlanner } from './planner.ts'
import { computed, notUnderstood, otherCodes } from './refused.fixture.ts'
import { edited, sees, seesNothing, shopSnapshot } from './shop.fixture.ts'

// The forms of permitted.fixture.ts and refused.fixture.ts, planned. `server.test.ts` runs those that are permitted on a real server.

const planner = await createPlanner()
after(() => planner.close())

async function plan(sql: string, ability = sees) {
  return await planner.plan(Buffer.from(sql), shopSnapshot, ability === sees ? 'sees' : 'nothing', ability)
}

test('what touches nothing protected passes', async t => {
  for (const sql of passed) {
    await t.test(sql, async () => {
      assert.equal((await plan(sql)).kind, 'pass')
      assert.equal((await plan(sql, seesNothing)).kind, 'pass')
    })
  }
})

test('schema changes that leave protected columns alone pass, and say so', async t => {
  for (const sql of schemaChanges) {
    await t.test(sql, async () => {
      const result = await plan(sql)
      assert.notEqual(result.kind, 'refused', JSON.stringify(result))
      assert.equal(result.kind !== 'refused' && result.schemaChange, true)
    })
  }
})

test('what reads protected columns as they are is forwarded unchanged, for everybody', async t => {
  for (const sql of untouched) {
    await t.test(sql, async () => {
      for (const ability of [sees, seesNothing]) {
        const result = await plan(sql, ability)
        assert.equal(result.kind, 'protected', JSON.stringify(result))
        assert.equal(result.kind === 'protected' && result.edits.length, 0, edited(sql, result))
      }
    })
  }
})

test('values on the way in are found to the byte', async t => {
  for (const [sql, expected] of changed) {
    await t.test(sql, async () => {
      for (const ability of [sees, seesNothing]) {
        const result = await plan(sql, ability)
        assert.equal(result.kind === 'refused' ? result.message : edited(sql, result), expected)
      }
    })
  }
})

test('the columns of COPY are told from the statement alone', async t => {
  for (const [sql, text, columns] of copiedIn) {
    await t.test(sql, async () => {
      for (const ability of [sees, seesNothing]) {
        const result = await plan(sql, ability)
        assert.equal(result.kind, 'protected', JSON.stringify(result))
        const copy = result.kind === 'protected' ? result.copy : undefined
        assert.equal(edited(sql, result), text)
        assert.equal((copy?.columns ?? []).map(field => field?.name ?? '-').join(' '), columns)
        assert.equal(copy?.direction ?? 'in', 'in')
      }
    })
  }
})

test('whoever sees a searchable column may compare it, and nobody else', async t => {
  for (const [sql, expected] of searched) {
    await t.test(sql, async () => {
      const result = await plan(sql)
      assert.equal(result.kind === 'refused' ? result.message : edited(sql, result), expected)
      const denied = await plan(sql, seesNothing)
      assert.equal(denied.kind === 'refused' && denied.code, 'postgres.column_protected')
    })
  }
})

test('the rest is refused, and says where and why', async t => {
  const rows = [
    ...computed.map(([sql, message]) => ['postgres.column_protected', sql, message] as const),
    ...notUnderstood.map(([sql, message]) => ['postgres.statement_refused', sql, message] as const),
    ...otherCodes,
  ]
  for (const [code, sql, message] of rows) {
    await t.test(sql, async () => {
      const result = await plan(sql)
      assert.equal(result.kind, 'refused', edited(sql, result))
      if (result.kind !== 'refused') return
      assert.match(result.message, message)
      // CREATE VIEW, keys and the like may be refused under either code; the table says which.
      assert.equal(result.code, code, result.message)
      assert.notEqual(result.hint, '')
      assert.equal((await plan(sql, seesNothing)).kind, 'refused')
    })
  }
})

test('several statements are planned as one text', async () => {
  const result = await plan("BEGIN; INSERT INTO users (email) VALUES ('a'); SELECT 1; COMMIT")
  assert(result.kind === 'protected')
  assert.equal(result.verb, 'TRANSACTION+INSERT+SELECT')
  assert.deepEqual(result.tables, ['public.users'])
  assert.equal((await plan('SELECT 1; SELECT lower(email) FROM users')).kind, 'refused')
})

test('messages hold nothing of the values', async () => {
  for (const sql of [
    "INSERT INTO users (email) VALUES (lower('s3cret'))",
    "SELECT FROM users 's3cret'",
    "SELECT id FROM users WHERE phone = 's3cret'",
  ]) {
    assert(!JSON.stringify(await plan(sql)).includes('s3cret'))
  }
})
