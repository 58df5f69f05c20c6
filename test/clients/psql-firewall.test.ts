import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { runBawn, startTestWorld, type TestWorld } from '../world.ts'

// The firewall as it is met at a terminal: psql through a gateway that was started from the command line, first learning, then with the
// rules that it proposed. npm cannot install psql: npm run test:clients

let world: TestWorld
const firewall = (more: string): string => `    firewall: { learn: { file: shapes.jsonl }, ${more} }\n`

before(async () => {
  const { status } = spawnSync('psql', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'psql is not installed; on Debian: apt-get install postgresql-client')
  world = await startTestWorld()
})
after(() => world?.remove())

async function reconfigure(change: (text: string) => string): Promise<void> {
  const { place } = world
  const [before, after] = [place.read('bawn.yaml'), change(place.read('bawn.yaml'))]
  assert.notEqual(after, before)
  place.write('bawn.yaml', after)
  const { status, output } = await runBawn('reload', '--config', place.path('bawn.yaml'))
  assert.equal(status, 0, output)
}

async function psql(...args: readonly string[]): Promise<{ readonly out: string; readonly err: string }> {
  const env = {
    PATH: process.env['PATH'],
    LC_ALL: 'C',
    PGHOST: 'localhost',
    PGPORT: String(world.ports.sql),
    PGDATABASE: 'shop',
    PGUSER: 'olga',
    PGPASSWORD: world.place.read('olga.password').trim(),
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: world.place.path('ca.pem'),
    PGSSLCERT: '/nonexistent',
  }
  try {
    const { stdout, stderr } = await promisify(execFile)('psql', ['-X', ...args], { env, cwd: world.place.folder })
    return { out: stdout, err: stderr }
  } catch (error) {
    assert(error instanceof Error && 'stdout' in error && 'stderr' in error)
    return { out: String(error.stdout), err: String(error.stderr) }
  }
}

test('psql: what was learned is proposed, and then is all that is allowed', async () => {
  await reconfigure(text => text.replace(/( {2}shop:\n)/, `$1${firewall('mode: observe')}`))
  const asked = "select id from people where id in (1, 2) and name <> 'nobody at all'"
  assert.equal((await psql('-Atc', asked)).err, '')
  assert.equal((await psql('-c', 'begin; select count(*) from people; commit')).err, '')
  assert.doesNotMatch(readFileSync(world.place.path('shapes.jsonl'), 'utf8'), /nobody at all/)
  const { status, output } = await runBawn('firewall', 'propose', '--config', world.place.path('bawn.yaml'))
  assert.equal(status, 0, output)
  assert.match(output, /- select id from people where id in \(%%LIST_OF_VALUES%%\) and name <> %%VALUE%%\n/)

  const rules = output.slice(output.indexOf('      rules:\n')).trimEnd()
  const added = /^policies:\n((?: {2}.*\n)+)databases:/m.exec(output)?.[1] ?? ''
  await reconfigure(text =>
    text
      .replace(firewall('mode: observe'), `    firewall:\n${rules}\n`)
      .replace(/^policies:\n/m, `policies:\n${added}`),
  )
  assert.equal((await psql('-Atc', 'SELECT id  FROM People WHERE ID IN (7) AND name <> $$x$$ -- other')).err, '')
  assert.equal((await psql('-c', 'begin; select count(*) from people; commit')).err, '')
  for (const other of [
    'select id from people',
    'select email from people where id in (1)',
    'select count(*) from people; drop table people',
    'table people',
    '\\d people',
    '\\copy people to stdout',
  ]) {
    const { out, err } = await psql('-v', 'VERBOSITY=verbose', '-c', other)
    assert.equal(out, '', other)
    assert.match(err, /^(?:psql: )?ERROR: {2}42501: statement refused by the firewall: no rule allows it$/m, other)
  }
  const why = await runBawn(
    'explain',
    'sql',
    'table people',
    '--user',
    'olga',
    '--config',
    world.place.path('bawn.yaml'),
  )
  assert.deepEqual([why.status, /refused: no rule matches/.test(why.output)], [1, true], why.output)
})

test('psql: guardrails by name, in scripts, prepared statements, cursors and COPY', async () => {
  const rules = `
        - { name: whole-table, action: deny, without_where: true }
        - { name: no-ddl, action: deny, statements: [DDL, DCL, DO, CALL] }
        - { name: catalogs, action: deny, tables: [pg_catalog.pg_authid, pg_catalog.pg_shadow] }`
  await reconfigure(text =>
    text.replace(/ {4}firewall:\n(?: {6}.*\n)+/, `    firewall:\n      default: allow\n      rules:${rules}\n`),
  )
  const rows = [
    ['delete from people', 'whole-table'],
    ['explain analyze delete from people', 'whole-table'],
    ['prepare p as update people set name = name', 'whole-table'],
    ['copy (delete from people returning id) to stdout', 'whole-table'],
    ['drop/**/table people', 'no-ddl'],
    ['create temp table t (a int)', 'no-ddl'],
    ['do $$ begin drop table people; end $$', 'no-ddl'],
    ['select 1; drop table people', 'no-ddl'],
    ['create user eve superuser', 'no-ddl'],
    ['select rolpassword from pg_authid', 'catalogs'],
    ['begin; declare c cursor for select * from pg_catalog.pg_shadow', 'catalogs'],
    ['\\copy pg_authid to stdout', 'catalogs'],
  ] as const
  for (const [sql, rule] of rows) {
    const { err } = await psql('-c', sql)
    assert.match(err, new RegExp(`ERROR: {2}statement refused by firewall rule "${rule}"\n`), `${sql}: ${err}`)
  }
  assert.equal((await psql('-Atc', 'select 1 as one')).out, '1\n')
  assert.equal((await psql('-c', '\\d people')).err, '')
  assert.equal((await psql('-c', '\\dt')).err, '')
  const { place } = world
  const why = await runBawn(
    'explain',
    'sql',
    'table pg_authid',
    '--connect',
    '--user',
    'olga',
    '--config',
    place.path('bawn.yaml'),
  )
  assert.deepEqual([why.status, /refused: catalogs/.test(why.output)], [1, true], why.output)
})

test('psql: row filters, by what bawn rls prints', async () => {
  const owner = new pg.Client({ ...world.owner, ssl: false })
  await owner.connect()
  try {
    await owner.query(`create table public.tasks (who text, task text); grant select, insert on public.tasks to gateway;
      insert into public.tasks values ('olga', 'hers'), ('ann', 'not hers')`)
    const rows = `
    identity: { setting: app.user, roles_setting: app.roles }
    row_filters:
      - { name: tasks, table: public.tasks, rows: [{ for: [authenticated], where: "who = @user" }] }
`
    await reconfigure(text => text.replace(/ {4}firewall:\n(?: {6}.*\n)+/, rows.slice(1)))
    assert.match((await psql('-c', 'select 1')).err, /a row filter of this database is not in place/)
    const { status, output } = await runBawn('rls', '--config', world.place.path('bawn.yaml'))
    assert.equal(status, 0, output)
    await owner.query(output)
    const deadline = Date.now() + 15_000
    while ((await psql('-c', 'select 1')).err !== '' && Date.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, 500))
    }
    assert.deepEqual(await psql('-Atc', 'table tasks'), { out: 'olga|hers\n', err: '' })
    assert.match((await psql('-c', "insert into tasks values ('ann', 'x')")).err, /row-level security policy/)
    assert.match((await psql('-c', "select set_config('app.user', 'ann', false)")).err, /says who this session is/)
  } finally {
    await owner.end()
  }
})
