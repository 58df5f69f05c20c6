import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { startPostgres } from '@bawn/demo/postgres'
import { run } from './main.ts'

const authority = createAuthority('sql test')
const { certificate, key } = authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])
const other = createAuthority('somebody else')
const postgres = await startPostgres({ tls: { certificate, key } })
const plain = await startPostgres()
const cwd = mkdtempSync(join(tmpdir(), 'bawn-sql-'))
writeFileSync(join(cwd, 'ca.pem'), authority.certificate)
writeFileSync(join(cwd, 'other.pem'), other.certificate)
after(async () => {
  rmSync(cwd, { recursive: true })
  await Promise.all([postgres.stop(), plain.stop()])
})

const at = (server: typeof postgres, more = ''): string =>
  `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres ${more}`

async function sql(connection: string, args: readonly string[], stdin = '', password = postgres.password) {
  let out = ''
  let err = ''
  const code = await run(['sql', connection, ...args], {
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    out: text => {
      out += text
    },
    err: text => {
      err += text
    },
    env: { PGPASSWORD: password },
    cwd,
    now: () => 0,
  })
  return { code, out, err }
}

test('results are printed as psql prints them: aligned, NULL empty, tags of commands', async () => {
  const script = `create table t (id int, name text, raw bytea);
    insert into t values (1, 'Zoë', '\\x00ff'), (20, null, null);
    select * from t order by id; drop table t;`
  assert.deepEqual(await sql(at(postgres), [], script), {
    code: 0,
    out: [
      'CREATE',
      'INSERT 0 2',
      ' id | name |  raw',
      '----+------+--------',
      '  1 | Zoë  | \\x00ff',
      ' 20 |      |',
      '(2 rows)',
      'DROP',
      '',
    ].join('\n'),
    err: '',
  })
})

test('several commands run one after the other; an error ends them with its code and hint', async () => {
  const result = await sql(at(postgres), ['-c', 'select 1 as a', '-c', 'select nmae from pg_class', '-c', 'select 2'])
  assert.equal(result.code, 1)
  assert.equal(result.out, ' a\n---\n 1\n(1 row)\n')
  assert.equal(result.err, 'ERROR:  42703: column "nmae" does not exist\n')
  const hinted = await sql(at(postgres), ['-c', 'select no_such_function(1)'])
  assert.match(
    hinted.err,
    /^ERROR: {2}42883: function no_such_function\(integer\) does not exist\n(DETAIL: .*\n)?HINT: {2}\S/,
  )
  const noted = await sql(at(postgres), ['-c', "do $$ begin raise notice 'heard \u001b[2J'; end $$"])
  assert.equal(noted.err, 'NOTICE:  heard \\u{1b}[2J\n')
})

test('rows as JSON', async () => {
  const { out } = await sql(at(postgres), ['--json', '-c', "select 1 as a, null as b, 'x' as a"])
  assert.deepEqual(JSON.parse(out), {
    command: 'SELECT',
    rowCount: 1,
    columns: ['a', 'b', 'a'],
    rows: [['1', null, 'x']],
  })
})

const tls = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
const modes = [
  ['prefer takes TLS where there is', at(postgres), /\bt\n/],
  ['prefer goes on without where there is none', at(plain), /\bf\n/],
  ['disable', at(postgres, 'sslmode=disable'), /\bf\n/],
  ['require', at(postgres, 'sslmode=require'), /\bt\n/],
  ['verify-full', at(postgres, 'sslmode=verify-full sslrootcert=ca.pem'), /\bt\n/],
  ['a URL', `postgres://postgres@localhost:${postgres.port}/postgres?sslmode=verify-full&sslrootcert=ca.pem`, /\bt\n/],
] as const
for (const [name, connection, shows] of modes) {
  test(`TLS: ${name}`, async () => {
    const result = await sql(connection, ['-c', tls], '', connection === at(plain) ? plain.password : postgres.password)
    assert.equal(result.err, '')
    assert.match(result.out, shows)
  })
}

const refusals = [
  [
    'another authority',
    at(postgres, 'sslmode=verify-full sslrootcert=other.pem'),
    /cli\.failed: no connection to 127\.0\.0\.1 port/,
  ],
  ['no TLS where it is required', at(plain, 'sslmode=require'), /does not support SSL/],
  [
    'a file that is not there',
    at(postgres, 'sslmode=verify-ca sslrootcert=none.pem'),
    /sslrootcert: .*none\.pem cannot be read/,
  ],
  [
    'a wrong password',
    at(postgres, 'password=hunter2'),
    /FATAL: {2}28P01: password authentication failed for user "postgres"/,
  ],
  ['nobody there', 'host=127.0.0.1 port=1', /no connection to 127\.0\.0\.1 port 1 \(connect ECONNREFUSED/],
] as const
for (const [name, connection, says] of refusals) {
  test(`refused: ${name}`, async () => {
    const result = await sql(connection, ['-c', 'select 1'])
    assert.equal(result.code, 1)
    assert.match(result.err, says)
    assert.doesNotMatch(result.err, /hunter2/)
  })
}
