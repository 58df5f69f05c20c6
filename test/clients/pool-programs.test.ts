import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { listenWithPool, type PooledDoor } from '../pool-kit.ts'
import { type Kit, password, startKit } from '../postgres-kit.ts'

// psql and pgbench, 20 clients over 4 connections of a pool, TLS on. npm cannot install them: CONTRIBUTING.md.

const modes = ['transaction', 'session'] as const
const size = 4

let kit: Kit
let folder: string
const doors = new Map<string, PooledDoor>()
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bawn-pool-clients-'))
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  writeFileSync(join(folder, 'ca.pem'), kit.authority.certificate)
  const limits = { queue_length: 100, queue_timeout: '1m' }
  for (const mode of modes) doors.set(mode, await listenWithPool(kit, { mode, size }, { limits }))
})
after(async () => {
  for (const door of doors.values()) await door.close()
  await kit.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function run(mode: string, program: string, words: readonly string[], user = 'billy'): Promise<string> {
  const env = {
    PATH: process.env['PATH'],
    PGHOST: 'localhost',
    PGPORT: String(doors.get(mode)?.door.address.port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: 'shop',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: join(folder, 'ca.pem'),
  }
  return (await promisify(execFile)(program, [...words], { env, maxBuffer: 1 << 26 })).stdout
}

for (const mode of modes) {
  test(`psql with a pool, ${mode} mode: who sees what, transactions, \\copy, \\d, a variable of the session, an error`, async () => {
    const psql = (user: string, ...commands: string[]): Promise<string> => {
      const words = commands.flatMap(command => ['-c', command])
      return run(mode, 'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...words], user)
    }
    await psql(
      'billy',
      'delete from people',
      `insert into people (id, name, email) values (1, 'Ada', 'ada@example.com')`,
    )
    assert.equal(await psql('billy', 'select id, email from people'), '1|ada@example.com\n')
    assert.match(await psql('sue', 'select id, email from people'), /^1\|a\*+.*\n$/)
    assert.equal(await psql('gus', 'select id, email from people'), '1|\n')
    assert.equal(await psql('billy', 'begin', 'select 1; select 2', 'rollback'), '1\n2\n')
    assert.match(await psql('billy', '\\d people'), /email\|bytea/)
    assert.equal(await psql('billy', '\\copy (select n from generate_series(1, 3) n) to stdout'), '1\n2\n3\n')
    assert.equal(await psql('billy', `set my.own = 'x'`, `select current_setting('my.own')`), 'x\n')
    assert.equal(await psql('billy', `select coalesce(current_setting('my.own', true), '')`), '\n')
    await assert.rejects(psql('sue', 'select lower(email::text) from people'), /ERROR: .*\n(.*\n)*HINT: /)
  })

  test(`pgbench with a pool, ${mode} mode: simple, extended and prepared, 20 clients over ${size} connections`, async () => {
    await run(mode, 'pgbench', ['-i', '-q', '-s', '1'])
    // A thread each: pgbench connects and prepares while its other clients wait. In session mode a client has its connection until it ends: one for each transaction.
    const [often, each] = mode === 'session' ? [['-C'], 5] : [[], 50]
    for (const protocol of ['simple', 'extended', 'prepared']) {
      const words = ['-n', '-M', protocol, '-c', '20', '-j', '20', '-t', String(each), ...often]
      const said = await run(mode, 'pgbench', words)
      const all = 20 * each
      assert.match(said, new RegExp(`number of transactions actually processed: ${all}/${all}`), protocol)
      assert.match(said, /number of failed transactions: 0 /, protocol)
      assert.ok((doors.get(mode)?.pool.counts.open ?? size + 1) <= size)
    }
  })
}
