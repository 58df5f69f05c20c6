import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { changed, copiedIn, passed, schemaChanges, searched, untouched } from './permitted.fixture.ts'
import type { NamedUses } from './plan.ts'
import { createPlanner } from './planner.ts'
import { computed, notUnderstood, otherCodes } from './refused.fixture.ts'
import { edited, email, sees, seesNothing, shopSnapshot } from './shop.fixture.ts'

// The forms of permitted.fixture.ts and refused.fixture.ts, planned. `server.test.ts` runs those that are permitted on a real server.

const planner = await createPlanner()
after(() => planner.close())

/** What is prepared in the session: `sealing` takes a number and a value of `email`, and nobody knows what `doubtful` takes. */
const named: NamedUses = name => {
  if (name === 'doubtful') return undefined
  return name === 'sealing' ? [{ index: 2, field: email, as: 'sealed' }] : []
}

async function plan(sql: string, ability = sees) {
  return await planner.plan(Buffer.from(sql), shopSnapshot, ability === sees ? 'sees' : 'nothing', ability, named)
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

test('which of them concern nothing protected, by their text', async () => {
  const apart = [
    'CREATE TABLE t (a int)',
    'DROP VIEW user_names',
    'ALTER TABLE t ADD COLUMN a int, ALTER b TYPE int',
    'CREATE TABLE a (b int); CREATE VIEW v AS SELECT * FROM a',
    'CREATE ROLE r',
  ]
  const concerned = [
    'CREATE TABLE crm.orders (a int)',
    'CREATE TABLE userz (a int)',
    'CREATE TEMP TABLE users (a int)',
    'CREATE VIEW v AS SELECT id FROM user_list',
    'CREATE TABLE t (LIKE users)',
    'DROP TABLE t CASCADE',
    'DROP SCHEMA s',
    'ALTER TABLE t DROP COLUMN a CASCADE',
    'ALTER TABLE t RENAME TO userz',
    'ALTER TABLE t INHERIT u',
    'ALTER TABLE t SET SCHEMA s',
    'ALTER SCHEMA s RENAME TO t',
    'CREATE EXTENSION e',
    'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()',
    'CREATE RULE r AS ON INSERT TO t DO NOTHING',
    'CREATE TABLE t (a int); CALL p()',
    "DO 'BEGIN END'",
  ]
  const isApart = async (sql: string): Promise<boolean> => {
    const result = await plan(sql)
    assert(result.kind !== 'refused' && result.schemaChange, sql)
    return result.apart === true
  }
  for (const sql of apart) assert.equal(await isApart(sql), true, sql)
  for (const sql of concerned) assert.equal(await isApart(sql), false, sql)
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

test('values for a statement that is prepared are sealed by what its parameters hold', async () => {
  const result = await plan("EXECUTE sealing(1, 'a'::text)")
  assert.equal(edited("EXECUTE sealing(1, 'a'::text)", result), 'EXECUTE sealing(1, <email:a>)')
  assert.equal(result.kind === 'protected' && result.forNow, true)
  assert.equal((await plan("EXECUTE sealing(1, lower('a'))")).kind, 'refused')
  assert.equal((await plan("EXECUTE doubtful('a')")).kind, 'refused')
  assert.equal((await plan('EXECUTE doubtful')).kind, 'protected')
  const dropped = await plan("DEALLOCATE sealing; EXECUTE sealing('a')")
  assert.equal(dropped.kind === 'protected' && dropped.edits.length, 0)
})

test('what a text prepares and frees is told, by its place', async () => {
  const result = await plan(
    'SELECT 1; PREPARE p AS UPDATE users SET email = $1 WHERE id = $2; DEALLOCATE q; DISCARD ALL',
  )
  assert.deepEqual(result.kind !== 'refused' && result.named, [
    undefined,
    { kind: 'prepared', name: 'p', parameters: [{ index: 1, field: email, as: 'sealed' }], concerned: true },
    { kind: 'freed', name: 'q' },
    { kind: 'freed', name: undefined },
  ])
  assert.deepEqual(result.kind === 'protected' && result.parameters, [])
})

test('what a text makes is told: it is protected, and not known yet', async () => {
  const makes = async (sql: string) => {
    const result = await plan(sql)
    return result.kind === 'refused' ? result.message : result.makes
  }
  assert.deepEqual(await makes('CREATE VIEW a.v AS SELECT id, email FROM users'), ['v'])
  assert.deepEqual(await makes('CREATE VIEW v AS SELECT id FROM users'), undefined)
  assert.deepEqual(await makes('CREATE MATERIALIZED VIEW m AS TABLE users'), ['m'])
  assert.deepEqual(await makes('CREATE TABLE c () INHERITS (people, users)'), ['c'])
  assert.deepEqual(await makes('ALTER TABLE events ATTACH PARTITION p DEFAULT'), ['p'])
  assert.deepEqual(await makes('ALTER TABLE people INHERIT users'), ['people'])
  assert.deepEqual(await makes('ALTER VIEW user_list RENAME TO l'), ['user_list', 'l'])
  assert.deepEqual(await makes('ALTER VIEW user_list RENAME COLUMN email TO mail'), ['user_list'])
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
