import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { runBawn, startTestWorld, type TestWorld } from '../world.ts'

// Grants as they are met at a terminal: psql through a gateway that was started from the command line, with users that psql itself makes.
// npm cannot install psql: npm run test:clients

let world: TestWorld
const secret = 'three words of hers'

before(async () => {
  const { status } = spawnSync('psql', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'psql is not installed; on Debian: apt-get install postgresql-client')
  world = await startTestWorld()
  const owner = new pg.Client({ ...world.owner, ssl: false })
  await owner.connect()
  await owner.query(`
    grant create on schema public to gateway;
    create table public.salaries (person text, amount int);
    insert into public.salaries values ('Aoife', 100);
    grant all on public.salaries to gateway;
  `)
  await owner.end()
  const { place } = world
  place.write(
    'bawn.yaml',
    place
      .read('bawn.yaml')
      .replace('door: postgres, user: olga, tls', 'door: postgres, tls')
      .replace('policies:\n', 'grants: { accounts: staff, superusers: [olga] }\npolicies:\n'),
  )
  const { status: reloaded, output } = await runBawn('reload', '--config', place.path('bawn.yaml'))
  assert.equal(reloaded, 0, output)
})
after(() => world?.remove())

interface Output {
  readonly out: string
  readonly err: string
}

async function psql(user: string, password: string, ...args: readonly string[]): Promise<Output> {
  const env = {
    PATH: process.env['PATH'],
    LC_ALL: 'C',
    PGHOST: 'localhost',
    PGPORT: String(world.ports.sql),
    PGDATABASE: 'shop',
    PGUSER: user,
    PGPASSWORD: password,
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

const olga = (...args: readonly string[]) => psql('olga', world.place.read('olga.password').trim(), ...args)
const ann = (...args: readonly string[]) => psql('ann', secret, ...args)

test('psql: a user is made, is granted something, and may do that and nothing else', async () => {
  assert.deepEqual(await olga('-c', `create user ann with (password = '${secret}')`), { out: 'CREATE ROLE\n', err: '' })
  const before = await ann('-c', 'select * from salaries')
  assert.equal(before.out, '')
  assert.match(before.err, /^ERROR: {2}relation "salaries" does not exist\nLINE 1: select \* from salaries\n {22}\^\n$/)
  assert.deepEqual(await olga('-c', 'grant dql on table salaries to ann'), { out: 'GRANT 1\n', err: '' })
  assert.equal((await ann('-Atc', 'select * from salaries')).out, 'Aoife|100\n')
  const write = await ann('-c', 'update salaries set amount = 200')
  assert.match(
    write.err,
    /^ERROR: {2}permission denied for table salaries\nDETAIL: {2}bawn: postgres\.permission_denied, request /,
  )
  assert.match(write.err, /HINT: {2}It needs DML on table public\.salaries, and nothing grants it\n$/)
  assert.match((await ann('-c', 'create role helper')).err, /permission denied: CREATE ROLE/)
})

test('psql: lists as tables, and \\d commands work for who has little', async () => {
  const { out } = await olga('-c', 'show grants for ann')
  assert.equal(
    out,
    [
      ' class | grantee | grantor |         ident         | state | type ',
      '-------+---------+---------+-----------------------+-------+------',
      ' TABLE | ann     | olga    | shop.public.salaries | GRANT | DQL',
      '(1 row)',
      '',
      '',
    ]
      .join('\n')
      .replace('         ident         ', '        ident         ')
      .replace('-----------------------', '----------------------'),
  )
  assert.match((await olga('-c', 'show users')).out, /\n ann {2}\| {15}\| \*{8} \| false {5}\| false\n/)
  for (const command of [
    '\\d',
    '\\dt+',
    '\\d salaries',
    '\\dn',
    '\\df',
    '\\du',

    '\\dx',
    '\\dp',
    '\\x',
    '\\conninfo',
  ]) {
    assert.equal((await ann('-c', command)).err, '', command)
  }
})

test('psql: a script in one text is refused as a whole; a file is run line by line', async () => {
  const { err, out } = await ann('-c', "select 1; select * from people; select 'never'")
  assert.match(err, /relation "people" does not exist/)
  assert.equal(out, '')
  world.place.write('script.sql', 'select 1;\nselect * from people;\nshow grants for ann;\n')
  const file = await ann('-At', '-f', world.place.path('script.sql'))
  assert.equal(file.out, '1\nTABLE|ann|olga|shop.public.salaries|GRANT|DQL\n')
  assert.match(file.err, /relation "people" does not exist/)
})

test('psql: COPY out and in by their privileges', async () => {
  assert.equal((await ann('-c', '\\copy salaries to stdout')).out, 'Aoife\t100\n')
  assert.equal((await ann('-c', '\\copy (select person from salaries) to stdout')).out, 'Aoife\n')
  assert.match((await ann('-c', "\\copy salaries from program 'echo x'")).err, /permission denied for table salaries/)
  assert.match((await ann('-c', "copy salaries to '/tmp/x'")).err, /permission denied: COPY with a file of the server/)
})

test('psql: a password is changed by a statement; the one that psql hashes is refused with the reason', async () => {
  const hashed = 'SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$c3RvcmVkc3RvcmVkc3RvcmVkc3RvcmVk:c2VydmVyc2VydmVyc2VydmVyc2VydmVy'
  const { err } = await olga('-c', `ALTER USER ann PASSWORD '${hashed}'`)
  assert.match(err, /ERROR: {2}this password is hashed already/)
  assert.equal(err.includes(hashed.slice(0, 40)), false)
  const changed = await ann('-c', `alter user ann set (password = '${secret} 2')`)
  // A new password ends the sessions of the old one within a second, this one too: for once before it has its answer.
  if (changed.out !== 'ALTER ROLE\n') assert.match(changed.err, /terminating connection|server closed the connection/)
  assert.match((await ann('-c', 'select 1')).err, /password authentication failed/)
  assert.equal((await psql('ann', `${secret} 2`, '-Atc', 'select 1')).out, '1\n')
  const trail = world.place.read('data/audit.jsonl')
  assert.equal(trail.includes(secret), false)
  assert.match(trail, /"action":"CREATE USER","resource":"accounts\/staff: CREATE USER ann WITH \(password = \*\*\*\)"/)
  assert.match(trail, /"action":"GRANT","resource":"accounts\/staff: GRANT DQL ON TABLE shop\.public\.salaries TO ann"/)
})

test('psql: what is dropped takes its entries along; who is dropped is out', async () => {
  await olga('-c', 'create table public.scraps (id int)', '-c', 'grant dql on table scraps to ann')
  const { out } = await olga(
    '-At',
    '-c',
    'drop table scraps',
    '-c',
    'create table scraps (id int)',
    '-c',
    'show grants for ann',
  )
  assert.match(out, /salaries/)
  assert.doesNotMatch(out, /scraps/)
  assert.equal((await olga('-c', 'drop user ann')).out, 'DROP ROLE\n')
  assert.match((await psql('ann', `${secret} 2`, '-c', 'select 1')).err, /password authentication failed/)
})
