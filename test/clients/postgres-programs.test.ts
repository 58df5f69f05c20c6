import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Kit, password, startKit } from '../postgres-kit.ts'

// psql and pgbench through the door, TLS on, at the kit of the door's own tests. npm cannot install them: CONTRIBUTING.md.

const run = promisify(execFile)
let kit: Kit
let folder: string
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bawn-clients-'))
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table bulk as select n as id, md5(n::text) as one, md5((n * 7)::text) as two from generate_series(1, 50000) n;
  `)
  writeFileSync(join(folder, 'ca.pem'), kit.authority.certificate)
})
after(async () => {
  await kit.stop()
  rmSync(folder, { recursive: true, force: true })
})

const environment = (user: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  PGHOST: 'localhost',
  PGPORT: String(kit.door.address.port),
  PGUSER: user,
  PGPASSWORD: password,
  PGDATABASE: 'shop',
  PGSSLMODE: 'verify-full',
  PGSSLROOTCERT: join(folder, 'ca.pem'),
  ...more,
})

test('psql: channel binding, several statements, variables, \\copy, \\d, a notice, an error', async () => {
  const psql = async (user: string, ...commands: string[]): Promise<string> => {
    const words = commands.flatMap(command => ['-c', command])
    const { stdout } = await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...words], {
      env: environment(user, { PGCHANNELBINDING: 'require' }),
      maxBuffer: 1 << 26,
    })
    return stdout
  }
  await psql('billy', "insert into people (id, name, email) values (1, 'Ada', 'ada@example.com')")
  assert.equal(await psql('billy', 'select id, email from people where id = 1'), '1|ada@example.com\n')
  assert.match(await psql('sue', 'select id, email from people where id = 1'), /^1\|a\*+.*\n$/)
  assert.equal(await psql('gus', 'select id, email from people where id = 1'), '1|\n')
  assert.equal(await psql('billy', 'select 1; select 2', 'begin', 'select 3', 'rollback'), '1\n2\n3\n')
  assert.match(await psql('billy', '\\d people'), /email\|bytea/)
  await assert.rejects(psql('sue', 'select lower(email::text) from people'), /ERROR: .*\n(.*\n)*HINT: /)
  const copied = await psql('billy', '\\copy (select * from bulk order by id) to stdout')
  const direct = await run('psql', ['-XAtq', '-c', 'copy (select * from bulk order by id) to stdout'], {
    env: environment('postgres', {
      PGPORT: String(kit.postgres.port),
      PGPASSWORD: kit.postgres.password,
      PGDATABASE: 'postgres',
      PGSSLMODE: 'disable',
    }),
    maxBuffer: 1 << 26,
  })
  assert.equal(copied.length, direct.stdout.length)
  assert.equal(md5(copied), md5(direct.stdout))
  writeFileSync(join(folder, 'in.tsv'), copied)
  await psql('billy', 'create table bulk2 (like bulk)', `\\copy bulk2 from '${join(folder, 'in.tsv')}'`)
  assert.equal(await psql('billy', 'select count(*) from (select * from bulk except select * from bulk2) d'), '0\n')
})

const md5 = (text: string | Buffer): string => createHash('md5').update(text).digest('hex')

test('pgbench: simple, extended, prepared, and its COPY', async () => {
  const env = environment('billy')
  await run('pgbench', ['-i', '-q', '-s', '1'], { env })
  for (const mode of ['simple', 'extended', 'prepared']) {
    const { stdout } = await run('pgbench', ['-n', '-M', mode, '-c', '4', '-t', '25'], { env })
    assert.match(stdout, /number of transactions actually processed: 100\/100/, mode)
  }
})
