import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import type { Kit } from './postgres-kit.ts'
import { createGenerator } from './sql-guide/random-statements.ts'
import { definitions, secrets, startShop } from './sql-guide/shop.ts'

// Whatever statement is made of the pieces: who sees a field gets what a database in clear would answer, or a refusal; who does not see it
// gets nothing of it. `BAWN_SEED` runs others.

const seed = Number(process.env['BAWN_SEED'] ?? 20_261_122)
const statements = 350

let kit: Kit
/** The same database with its values in clear, asked directly. */
let clear: pg.Client
const clients = new Map<string, pg.Client>()

before(async () => {
  kit = await startShop()
  await kit.direct('create database clear')
  const { host, port, user, password } = kit.postgres
  clear = await connect({ host, port, user, password, database: 'clear' })
  const inClear = definitions
    .replace(/\b(email|phone|buyer|who|secret) bytea/g, '$1 text')
    .replaceAll('name::bytea', 'name')
    .replaceAll('returns bytea', 'returns text')
    // Equality is that of the values, and here no hash is needed for it.
    .replace('substr(email, 1, 33)', 'email')
  await clear.query(inClear)
  await clear.query(`
    insert into users (id, email, phone, scan, name) values
      (1, 'ann@example.org', '+441', 'scan-1', 'ann'), (2, 'ben@example.org', '+442', 'scan-2', 'ben');
    insert into orders values (1, 1, 'ann@example.org', 'first'), (2, 2, 'ben@example.org', 'second');
    insert into events values ('2026-01-01', 'ann@example.org', 'visit'), ('2026-02-01', 'ben@example.org', 'visit');
    insert into staff values (1, 'ann'), (2, 'ben');
    insert into keys values ('ann@example.org', 'old');
    refresh materialized view user_copies`)
  for (const name of ['billy', 'sue', 'gus']) clients.set(name, await connect(kit.client(name)))
})
after(async () => {
  await clear.end()
  for (const client of clients.values()) await client.end()
  await kit.stop()
})

async function connect(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(config)
  client.on('error', () => {})
  await client.connect()
  return client
}

type Answer =
  | { readonly kind: 'rows'; readonly rows: readonly string[] }
  | { readonly kind: 'refused' | 'failed'; readonly error: pg.DatabaseError }

const users = 'select id, email, phone, name from users'

/** Runs texts in a transaction that is rolled back; rows of the last one, in the order of their text. */
async function ask(client: pg.Client, texts: readonly string[]): Promise<Answer> {
  await client.query('begin')
  try {
    let rows: readonly string[] = []
    const all: string[] = []
    for (const text of texts) {
      const answer: unknown = await client.query({ text, rowMode: 'array' })
      const results = (Array.isArray(answer) ? answer : [answer]) as pg.QueryArrayResult<unknown[]>[]
      rows = (results.at(-1)?.rows ?? []).map(row => JSON.stringify(row)).toSorted()
      all.push(...rows)
    }
    return { kind: 'rows', rows: all }
  } catch (error) {
    assert(error instanceof pg.DatabaseError, String(error))
    return { kind: /\bpostgres\.\w+/.test(error.detail ?? '') ? 'refused' : 'failed', error }
  } finally {
    await client.query('rollback')
    await client.query('deallocate all')
  }
}

function client(name: string): pg.Client {
  return clients.get(name) ?? assert.fail(name)
}

/** @returns how many of the valid statements each may run */
async function compare(make: () => string, then: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const counts = { valid: 0, billy: 0, sue: 0, gus: 0 }
  for (let round = 0; round < statements; round++) {
    const sql = make()
    const expected = await ask(clear, [sql, ...then])
    if (expected.kind !== 'rows') continue
    counts.valid += 1
    const seen = await ask(client('billy'), [sql, ...then])
    assert.notEqual(seen.kind, 'failed', `${sql}: ${seen.kind === 'failed' ? seen.error.message : ''}`)
    if (seen.kind === 'rows') {
      counts.billy += 1
      if (!sql.startsWith('EXPLAIN')) assert.deepEqual(seen.rows, expected.rows, sql)
    }
    for (const name of ['sue', 'gus'] as const) {
      const answer = await ask(client(name), [sql, ...then])
      assert.notEqual(answer.kind, 'failed', sql)
      if (answer.kind === 'rows') counts[name] += 1
      const shown =
        answer.kind === 'rows'
          ? answer.rows.join('\n')
          : JSON.stringify({ ...answer.error, text: answer.error.message })
      // What the statement itself says is no secret.
      for (const secret of secrets) assert(!shown.includes(secret), `${name}: ${sql}`)
    }
  }
  return counts
}

function percent(counts: Readonly<Record<string, number>>): string {
  const { valid = 0, ...rest } = counts
  const parts = Object.entries(rest).map(([name, count]) => `${name} ${Math.round((100 * count) / valid)} %`)
  return `${valid} valid statements, permitted: ${parts.join(', ')}`
}

test('queries', async t => {
  const counts = await compare(createGenerator(seed).query, [])
  t.diagnostic(percent(counts))
  assert((counts['billy'] ?? 0) > 100 && (counts['gus'] ?? 0) > 50, percent(counts))
})

test('writing, and what is read afterwards', async t => {
  const counts = await compare(createGenerator(seed + 1).write, [users])
  t.diagnostic(percent(counts))
  assert((counts['billy'] ?? 0) > 100 && (counts['gus'] ?? 0) > 50, percent(counts))
})
