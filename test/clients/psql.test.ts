import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { startTestWorld, type TestWorld } from '../world.ts'

// psql and pgbench through the door, TLS on. npm cannot install them, so they have a suite of their own: npm run test:clients

const programs = { psql: 'postgresql-client', pgbench: 'postgresql-contrib' } as const

let world: TestWorld
before(async () => {
  for (const [program, debian] of Object.entries(programs)) {
    const { status } = spawnSync(program, ['--version'], { stdio: 'ignore' })
    assert.equal(status, 0, `${program} is not installed; on Debian: apt-get install ${debian}`)
  }
  world = await startTestWorld()
  const owner = new pg.Client({ ...world.owner, ssl: false })
  await owner.connect()
  await owner.query('grant create on schema public to gateway')
  await owner.end()
})
after(() => world?.remove())

/** libpq's settings for the billing service, or for somebody with a token. */
function settings(user: string): NodeJS.ProcessEnv {
  const file = (name: string) => world.place.path(name)
  return {
    PATH: process.env['PATH'],
    LC_ALL: 'C',
    PGHOST: 'localhost',
    PGPORT: String(world.ports.sql),
    PGDATABASE: 'shop',
    PGUSER: user,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: file('ca.pem'),
    ...(user === 'billing'
      ? { PGSSLCERT: file('billing.pem'), PGSSLKEY: file('billing.key') }
      : { PGPASSWORD: world.token(user), PGSSLCERT: '/nonexistent' }),
  }
}

async function run(program: string, args: readonly string[], user: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args], { env: settings(user), cwd: world.place.folder })
  return stdout
}

const first = 'select id, name, email from people order by id limit 1'

test('psql: the same statement, plain for billing and masked for Alice', async () => {
  assert.equal(await run('psql', ['-XAtc', first], 'billing'), '1|Aoife Ahern|aoife.ahern@example.com\n')
  assert.equal(await run('psql', ['-XAtc', first], 'alice'), '1|Aoife Ahern|a****@example.com\n')
})

test('psql: the session is encrypted, and \\d and \\dt work', async () => {
  assert.match(await run('psql', ['-Xc', '\\conninfo'], 'billing'), /TLS|SSL/)
  assert.match(await run('psql', ['-Xc', '\\dt'], 'billing'), /\bpeople\b/)
  assert.match(await run('psql', ['-Xc', '\\d people'], 'billing'), /\bemail\b.*\bbytea\b/)
})

test('psql: a script with several statements, a transaction, and an error that names its line', async () => {
  const script = 'begin; select 1; commit; select no_such_column;'
  await assert.rejects(run('psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-c', script], 'billing'), (error: Error) => {
    assert('stderr' in error)
    assert.match(String(error.stderr), /LINE 1:[\s\S]*\^/)
    return true
  })
})

const copied = '(id, name, city, email)'

test('psql: \\copy out and in again, in each format; what is stored is sealed anew', async () => {
  const rows = `(select ${copied.slice(1, -1)} from people where id <= 50 order by id)`
  const every = `select ${copied.slice(1, -1)} from people where id <= 50 order by id`
  const before = await run('psql', ['-XAtc', every], 'billing')
  for (const options of ['', 'csv header', "(format csv, delimiter ';', force_quote *)", '(format binary)']) {
    const stored = "select md5(string_agg(email::text, ',' order by id)) from people where id <= 50"
    const owner = new pg.Client({ ...world.owner, ssl: false })
    await owner.connect()
    const [{ md5: old }] = (await owner.query(stored)).rows
    await run('psql', ['-Xc', `\\copy ${rows} to copied ${options}`], 'billing')
    await run('psql', ['-Xc', 'delete from people where id <= 50'], 'billing')
    const into = options.replace(', force_quote *', '')
    assert.match(await run('psql', ['-Xc', `\\copy people ${copied} from copied ${into}`], 'billing'), /COPY 50/)
    assert.equal(await run('psql', ['-XAtc', every], 'billing'), before)
    const [{ md5: now }] = (await owner.query(stored)).rows
    const [{ clear }] = (
      await owner.query(
        "select count(*)::int as clear from people where position('@'::bytea in email) > 0 and length(email) < 80",
      )
    ).rows
    await owner.end()
    assert.notEqual(now, old)
    assert.equal(clear, 0)
  }
})

test('psql: COPY as Alice sees it, and data within a script', async () => {
  assert.equal(
    await run('psql', ['-XAtc', 'copy (select id, email from people order by id limit 1) to stdout csv'], 'alice'),
    '1,a****@example.com\n',
  )
  const script = world.place.path('script.sql')
  writeFileSync(
    script,
    `copy people ${copied} from stdin;\n9001\tZoe\tCork\tzoe\\tz@example.com\n\\.\nselect email from people where id = 9001;\n`,
  )
  assert.equal(await run('psql', ['-XAtqf', script], 'billing'), 'zoe\tz@example.com\n')
  writeFileSync(script, `copy people ${copied} from stdin;\n9002\tZoe\n\\.\n`)
  await assert.rejects(
    run('psql', ['-XAtqf', script, '-v', 'ON_ERROR_STOP=1'], 'billing'),
    /COPY, row 1: .*fewer values/,
  )
  await run('psql', ['-Xc', 'delete from people where id > 9000'], 'billing')
})

test('pgbench: initialises by COPY, then runs in all three protocols, without a failed transaction', async () => {
  await run('pgbench', ['-i', '-s', '1', '-q'], 'billing')
  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const script of ['-S', '-N']) {
      const output = await run('pgbench', ['-n', script, '-M', mode, '-c', '4', '-j', '1', '-t', '50'], 'billing')
      assert.match(output, /transactions actually processed: 200\/200/, output)
      assert.match(output, /failed transactions: 0/, output)
    }
  }
})
