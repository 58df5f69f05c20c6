import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { cells as cellsOf, type Kit, type RawClient, rawLogin, say } from './postgres-kit.ts'
import { type Row, tables, withTables } from './sql-guide/rows.ts'
import { readings, secrets, startShop } from './sql-guide/shop.ts'

// docs/guide/sql.md, row by row, through the running gateway before a real PostgreSQL.

let kit: Kit
let billy: pg.Client
let gus: pg.Client
/** They copy, which node-postgres does not. */
let copier: RawClient
let guest: RawClient

before(async () => {
  kit = await startShop()
  const { address } = await kit.listen({ tls: undefined })
  copier = await rawLogin(address.port, 'copier', 'billing')
  guest = await rawLogin(address.port, 'copier-guest', 'guest')
  billy = await connect('billy')
  gus = await connect('gus')
})
after(async () => {
  await billy.end()
  await gus.end()
  for (const client of [copier, guest]) client.socket.destroy()
  await kit.stop()
})

async function connect(user: string): Promise<pg.Client> {
  const client = new pg.Client(kit.client(user))
  client.on('error', () => {})
  await client.connect()
  return client
}

type Result = pg.QueryArrayResult<unknown[]>

/** Every result of one text; a value for each parameter of a statement that stands alone. */
async function send(client: pg.Client, text: string): Promise<readonly Result[]> {
  const named = /\b(?:PREPARE|FUNCTION)\b/.test(text)
  const count = named ? 0 : Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, index]) => Number(index)))
  const values = Array.from({ length: count }, () => '1')
  const answer: unknown = await client.query({ text, values, rowMode: 'array' })
  return (Array.isArray(answer) ? answer : [answer]) as Result[]
}

async function run(client: pg.Client, { sql, committed }: Row): Promise<readonly Result[]> {
  if (committed !== undefined) {
    try {
      const results: Result[] = []
      for (const text of sql.split('; COMMIT; ')) results.push(...(await send(client, text)))
      return results
    } finally {
      await kit.direct(committed)
    }
  }
  await client.query('begin')
  try {
    const results = await send(client, sql)
    if (client === billy && !/^(?:ALTER|DROP|CREATE TEMP)/.test(sql)) await nothingInClear(client)
    return results
  } finally {
    await client.query('rollback')
    await client.query('deallocate all')
    await client.query('close all')
  }
}

/** A value that is not sealed does not open: the gateway ends its result with an error. */
async function nothingInClear(client: pg.Client): Promise<void> {
  await client.query('reset search_path')
  for (const reading of readings) await client.query(reading)
}

function cells(results: readonly Result[]): readonly string[] {
  return results.flatMap(result =>
    result.rows.flatMap(row => row.map(value => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value)))),
  )
}

const containers = /%%%|252525/

/** @throws unless the gateway has refused it */
async function refused(client: pg.Client, row: Row): Promise<pg.DatabaseError> {
  const error = await run(client, row).then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown,
  )
  assert(error instanceof pg.DatabaseError, String(error))
  assert.match(error.detail ?? '', /postgres\.\w+/, error.message)
  assert.notEqual(error.hint ?? '', '')
  return error
}

/** What a text brings: letters of the messages, data of COPY, rows. */
async function copy(client: RawClient, sql: string, data?: Buffer) {
  client.socket.write(say.query(sql))
  if (data !== undefined) {
    await client.until(() => /[GE]/.test(client.letters()))
    const piece = new MessageBuilder().begin(front.copyData).bytes(data).end().take()
    if (client.letters().startsWith('G')) client.socket.write(Buffer.concat([piece, say.copyDone]))
  }
  await client.until(() => client.letters().includes('Z'))
  const messages = client.messages()
  client.received = Buffer.alloc(0)
  const bodies = (type: string) => messages.filter(message => message.type === type).map(({ body }) => body)
  return {
    letters: messages.map(message => message.type).join(''),
    data: Buffer.concat(bodies('d')),
    rows: bodies('D').map(cellsOf),
    error: bodies('E').join(),
  }
}

async function undone(client: RawClient, work: () => Promise<void>): Promise<void> {
  await copy(client, 'begin')
  try {
    await work()
  } finally {
    await copy(client, 'rollback')
  }
}

test('the page has these rows', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/guide/sql.md'), 'utf8')
  assert.equal(page, withTables(page), 'write it anew: node test/sql-guide/write.ts')
  const marks = [...page.matchAll(/^<!-- rows: ([a-z-]+) -->$/gm)].map(([, name]) => name)
  assert.deepEqual(marks.toSorted(), tables.map(table => table.name).toSorted())
})

for (const { name, rows } of tables.filter(table => table.kind === 'copied-out')) {
  test(`what is copied out, is: ${name}`, async t => {
    for (const { sql, data } of rows) {
      await t.test(sql, async () => {
        await undone(copier, async () => {
          const shown = await copy(copier, sql)
          assert.match(shown.letters, /^Hd+cCZ$/, shown.error)
          assert.equal(shown.data.toString('latin1'), data)
        })
        await undone(guest, async () => {
          const hidden = (await copy(guest, sql)).data.toString('latin1')
          assert.doesNotMatch(hidden, containers)
          for (const secret of secrets) assert(!hidden.includes(secret), hidden)
        })
      })
    }
  })
}

for (const { name, rows } of tables.filter(table => table.kind === 'copied-in')) {
  test(`what is copied in, is sealed: ${name}`, async t => {
    for (const { sql, data = '', reads = '', gives } of rows) {
      await t.test(sql, async () => {
        await undone(copier, async () => {
          const done = await copy(copier, sql, Buffer.from(data, 'latin1'))
          assert.equal(done.letters, 'GCZ', done.error)
          assert.deepEqual((await copy(copier, reads)).rows, gives)
          for (const reading of readings) assert.match((await copy(copier, reading)).letters, /^TD*CZ$/)
        })
      })
    }
  })
}

for (const { name, kind, rows } of tables) {
  if (kind === 'works') {
    test(`what works, works: ${name}`, async t => {
      for (const row of rows) {
        await t.test(row.sql, async () => {
          const results = await run(billy, row)
          if (row.gives !== undefined) assert.deepEqual(results.at(-1)?.rows, row.gives)
          const shown = cells(results).join('\n')
          assert.equal(containers.test(shown), row.ciphertext === true, shown)
        })
      }
    })
    test(`and shows nothing to who sees nothing: ${name}`, async t => {
      for (const row of rows) {
        await t.test(row.sql, async () => {
          const results = await run(gus, row).catch((error: unknown) => {
            // Searching is for who sees the field in plain.
            if (error instanceof pg.DatabaseError && /postgres\.column_protected/.test(error.detail ?? '')) return []
            throw error
          })
          const shown = cells(results).join('\n')
          for (const secret of secrets) assert(!shown.includes(secret), shown)
        })
      }
    })
  } else if (kind === 'refused') {
    test(`what is refused is refused, and what to write instead works: ${name}`, async t => {
      for (const row of rows) {
        await t.test(row.sql, async () => {
          await refused(billy, row)
          await refused(gus, row)
          for (const [, other = ''] of row.does.matchAll(/`([A-Z]+ [^`]* [^`]*)`/g)) {
            await run(billy, { sql: other, does: '' })
          }
        })
      }
    })
  }
}
