import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { probeFiles } from '../packages/bawn/src/config/probe.ts'
import { loadConfiguration } from '../packages/bawn/src/configuration.ts'
import { GatewayError } from '../packages/bawn/src/error.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { passwordCommand } from '../packages/bawn/src/option.ts'
import { fetchPassword } from '../packages/bawn/src/password-command.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'
import { failureOf } from './limits-kit.ts'

// The gateway's password for a database comes from a program, as tokens of a cloud do.

const folder = mkdtempSync(join(tmpdir(), 'bawn-command-'))
const log: string[] = []
let postgres: Postgres
let gateway: RunningServer

const file = (name: string, text: string, mode = 0o600): void => {
  writeFileSync(join(folder, name), text, { mode })
  chmodSync(join(folder, name), mode)
}
const runs = (): number => (existsSync(join(folder, 'runs')) ? readFileSync(join(folder, 'runs'), 'utf8').length : 0)

async function owner(sql: string): Promise<void> {
  const { host, port, user, password } = postgres
  const client = new pg.Client({ host, port, user, password, database: 'postgres' })
  await client.connect()
  await client.query(sql)
  await client.end()
}

const configuration = (login: string): string => `listeners:
  sql: { door: postgres, address: 127.0.0.1:0 }
databases:
  shop:
    host: 127.0.0.1
    port: ${postgres.port}
    database: postgres
    tls: off
    login: { user: gateway, ${login} }
    allow: [staff]
accounts:
  people: { kind: file, format: users_yml, path: users.yml }
host_rules: [{ door: postgres, user: carol, address: 127.0.0.1, use: [trust] }]
policies: { staff: { roles: [staff] } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`

before(async () => {
  postgres = await startPostgres()
  await owner("create role gateway login password 'the first'")
  file('users.yml', 'users:\n  - userid: carol\n    password: carol sings\n    roles: [staff]\n')
  const masterKey = randomBytes(32)
  file('master', masterKey.toString('base64'))
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })
  file('token', 'the first\n')
  file('fetch', `#!/bin/sh\nprintf x >> "$1/runs"\ncat "$1/$2"\n`, 0o700)
  // What a shell would make of the last argument does not happen.
  file(
    'bawn.yaml',
    configuration(`password_command: { run: [./fetch, "${folder}", token, "$(touch ${folder}/shell)"] }`),
  )
  gateway = await startServer({
    configPath: join(folder, 'bawn.yaml'),
    log: line => log.push(line),
    clock: Date.now,
  })
})
after(async () => {
  await gateway?.close(0)
  await postgres?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** What is younger than a second is not fetched anew. */
const grownOld = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 1_100))

async function ask(): Promise<unknown> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(gateway.addresses['sql']?.split(':').at(-1)),
    user: 'carol',
    database: 'shop',
  })
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query('select session_user::text as name')
  await client.end()
  return rows[0].name
}

test('what the program prints is the password, for all sessions until it is old', async () => {
  for (let count = 0; count < 5; count += 1) assert.equal(await ask(), 'gateway')
  assert.equal(runs(), 1)
  assert.equal(existsSync(join(folder, 'shell')), false)
})

test('one that PostgreSQL refuses is fetched anew, and the session begins', async () => {
  await grownOld()
  await owner("alter role gateway password 'the second'")
  file('token', 'the second\n')
  assert.equal(await ask(), 'gateway')
  assert.equal(runs(), 2)
})

test('a wrong one lets nobody in, and the program is not run by every login', async () => {
  await grownOld()
  await owner("alter role gateway password 'the third'")
  for (let count = 0; count < 3; count += 1) {
    const failure = await failureOf(ask())
    assert.equal(failure.code, '08004')
    assert.doesNotMatch(failure.message, /the second/)
  }
  assert.ok(runs() <= 4, String(runs()))
  await owner("alter role gateway password 'the second'")
  assert.equal(await ask(), 'gateway')
})

test('a program that fails lets nobody in; what it says is in the log alone', async () => {
  await grownOld()
  await owner("alter role gateway password 'the fourth'")
  file('fetch', '#!/bin/sh\necho half of it\nprintf "\\033[31mno lease\\nfor you" >&2\nexit 3\n', 0o700)
  const failure = await failureOf(ask())
  assert.equal(failure.code, '08004')
  assert.doesNotMatch(failure.message, /lease|half/)
  const said = log.join('\n')
  assert.match(said, /postgres\.password_command/)
  assert.match(said, /ended with status 3/)
  assert.match(said, /\[31mno lease for you/)
  assert.doesNotMatch(said, /\\u001b|half of it|the (first|second|third)/)
})

const commands: readonly (readonly [name: string, run: string[], says: RegExp])[] = [
  ['no such program', ['bawn-no-such-program'], /cannot be started \(ENOENT\)/],
  ['nothing', ['true'], /printed nothing/],
  ['an empty line', ['echo'], /printed nothing/],
  ['too much', ['head', '-c', '70000', '/dev/zero'], /printed more than 65536 bytes/],
  ['without an end', ['yes'], /printed more than 65536 bytes/],
  ['a NUL', ['printf', 'a\\0b'], /printed a NUL/],
  ['too late', ['sh', '-c', 'sleep 60 & sleep 60'], /took longer than 300 ms/],
]
for (const [name, run, says] of commands) {
  test(`a program that prints ${name}`, async () => {
    const options = passwordCommand.parse({ run, timeout: '300ms' })
    const fetched = fetchPassword('database shop', options, () => 0)
    await assert.rejects(
      fetched.get(),
      error => error instanceof GatewayError && error.code === 'postgres.password_command' && says.test(error.message),
    )
  })
}

test('one line feed is cut, whoever asks meanwhile waits for the same run, and after cache_time it runs again', async () => {
  let now = 0
  const options = passwordCommand.parse({
    run: ['sh', '-c', 'head -c 9 /dev/urandom | base64; echo'],
    cache_time: '10s',
  })
  const fetched = fetchPassword('database shop', options, () => now)
  const [first, second] = await Promise.all([fetched.get(), fetched.get()])
  assert.match(first, /^[A-Za-z0-9+/]{12}\n$/)
  assert.equal(second, first)
  assert.equal(fetched.refuse(first), false)
  now = 9_999
  assert.equal(await fetched.get(), first)
  now = 10_000
  const third = await fetched.get()
  assert.notEqual(third, first)
  now = 11_500
  assert.equal(fetched.refuse(third), true)
  assert.notEqual(await fetched.get(), third)
})

test('what is wrong with it in the configuration has its line', async () => {
  for (const [login, says] of [
    ['password: file:token, password_command: { run: [./fetch] }', /there is password already/],
    ['password_command: { run: [./none] }', /there is no program/],
    ['password_command: { run: [./token] }', /cannot be run by this user/],
    ['password_command: { run: [] }', /run/],
    ['password_command: ./fetch', /password_command/],
  ] as const) {
    file('wrong.yaml', configuration(login))
    const loaded = await loadConfiguration(join(folder, 'wrong.yaml'))
    const problems = loaded.kind === 'invalid' ? loaded.problems : probeFiles(loaded.config, loaded.source, {})
    const errors = problems.filter(({ level }) => level === 'error')
    assert.equal(errors[0]?.line, 9, login)
    assert.match(`${errors[0]?.path} ${errors[0]?.message}`, says)
  }
})
