import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHmac, generateKeyPairSync, randomInt, sign as signBytes } from 'node:crypto'
import { appendFileSync, globSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { deriveVerifiers, formatVerifier } from '../packages/bawn/src/accounts/verifier.ts'
import { apiKeyHash } from '../packages/bawn/src/authn/api-key.ts'
import { copyExample, type Example, type RunningGateway, startApi } from './plugin-kit.ts'

// The examples of plug-ins, as a user has them: copied, started with `bawn start`, asked by HTTP and by a PostgreSQL client.

let api: Server
let postgres: Postgres
const open: Example[] = []
before(async () => {
  api = await startApi()
  postgres = await startPostgres()
})
after(async () => {
  for (const example of open) await example.remove()
  await postgres?.stop()
  api?.close()
})

async function example(name: string, withPostgres: boolean): Promise<Example> {
  const copy = await copyExample(name, withPostgres ? { api, postgres } : { api })
  open.push(copy)
  return copy
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

async function get(
  gateway: RunningGateway,
  headers: Readonly<Record<string, string>>,
  path = '/orders',
): Promise<Answer> {
  const response = await fetch(`http://${gateway.addresses['web']}${path}`, { headers })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

/** Logs in at the PostgreSQL door and asks who the gateway says it is. */
async function login(gateway: RunningGateway, user: string, password: string): Promise<string> {
  const [host, port] = (gateway.addresses['sql'] ?? '').split(':')
  const client = new pg.Client({ host: host ?? '', port: Number(port), user, password, database: 'shop' })
  await client.connect()
  try {
    const { rows } = await client.query("select current_setting('application_name') as who")
    return rows[0].who
  } finally {
    await client.end()
  }
}

const audit = (from: Example): readonly Record<string, unknown>[] =>
  readFileSync(from.path('data/audit.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

test('badge: who shows one is who it says, at both doors, and it reaches no upstream', async () => {
  const badges = await example('badge', true)
  const key = 'k'.repeat(40)
  badges.write('badge.key', `${key}\n`)
  const gateway = await badges.start()
  assert.match(gateway.log(), /plug-in badge runs with the rights of the gateway: \S+badge\.ts sha256-/)
  const sign = (payload: string, by = key) =>
    `${payload}.${createHmac('sha256', by).update(payload).digest('base64url')}`
  const badge = (of: object, by?: string) => sign(Buffer.from(JSON.stringify(of)).toString('base64url'), by)
  const exp = Math.floor(Date.now() / 1000) + 60
  const good = badge({ id: 'bea', roles: ['staff'], exp })

  const answer = await get(gateway, { 'X-Badge': good })
  assert.equal(answer.status, 200, gateway.log())
  const { headers } = JSON.parse(answer.body)
  assert.equal(headers['x-badge'], undefined)
  assert.equal(await login(gateway, 'bea', good), 'bawn:bea')

  const none = await get(gateway, {})
  assert.deepEqual([none.status, none.headers.get('www-authenticate')], [401, 'Badge realm="bawn"'])
  const rows: readonly (readonly [name: string, badge: string, status: number, sqlstate: string])[] = [
    ['signed by another', badge({ id: 'bea', roles: ['staff'], exp }, 'x'.repeat(40)), 401, '28P01'],
    ['run out', badge({ id: 'bea', roles: ['staff'], exp: exp - 120 }), 401, '28P01'],
    ['no badge at all', 'x', 401, '28P01'],
    ['of somebody without the role', badge({ id: 'bea', roles: [], exp }), 403, '42501'],
    // Signed, and not what a badge can say: it cannot be decided who this is.
    ['without an end', badge({ id: 'bea', roles: ['staff'] }), 503, '57P03'],
    ['with roles that are none', badge({ id: 'bea', roles: 'staff', exp }), 503, '57P03'],
    ['no JSON', sign('AAAA'), 503, '57P03'],
  ]
  for (const [name, text, status, sqlstate] of rows) {
    assert.equal((await get(gateway, { 'X-Badge': text })).status, status, name)
    await assert.rejects(login(gateway, 'bea', text), { code: sqlstate }, name)
  }
  await assert.rejects(login(gateway, 'bob', good), { code: '28P01' })

  const permitted = audit(badges).filter(({ identity, decision }) => identity && decision === 'permit')
  assert.ok(permitted.length >= 2)
  for (const { identity } of permitted) {
    assert.deepEqual(identity, { id: 'bea', roles: ['staff'], mechanism: 'badge', source: 'badge' })
  }
  for (const text of [good, key]) {
    assert(!gateway.log().includes(text))
    assert(!JSON.stringify(audit(badges)).includes(text))
  }
})

test('csv-accounts: people of a CSV file log in at both doors, and what is written there holds at once', async () => {
  const csv = await example('csv-accounts', true)
  const password = 'a "good", password'
  const { password: argon2id, scram } = await deriveVerifiers(password)
  assert(argon2id !== undefined && argon2id.kind !== 'plain' && scram !== undefined)
  const verifier = formatVerifier(argon2id)
  const rows = (...more: readonly string[]) => ['name,roles,verifier,locked', ...more].join('\r\n')
  const olga = `olga,support staff,"${verifier}",`
  const others = [`otto,support,"${verifier}",locked`, `vera,,"${verifier}",`, 'nora,support,,', 'bad,support,garbage,']
  // Renamed over, as whoever writes such a file should.
  const write = (text: string): void => {
    csv.write('users.new', text)
    renameSync(csv.path('users.new'), csv.path('users.csv'))
  }
  write(rows(olga, ...others))
  const gateway = await csv.start()
  const basic = (user: string, of = password) => ({
    authorization: `Basic ${Buffer.from(`${user}:${of}`).toString('base64')}`,
  })
  const status = async (...of: Parameters<typeof basic>) => (await get(gateway, basic(...of))).status

  assert.equal(await status('olga'), 200, gateway.log())
  assert.equal(await login(gateway, 'olga', password), 'bawn:olga')
  for (const [user, wanted] of [
    ['otto', 401],
    ['vera', 403],
    ['nora', 401],
    ['nobody', 401],
    ['name', 401],
  ] as const) {
    assert.equal(await status(user), wanted, user)
  }
  assert.equal(await status('olga', 'another'), 401)
  // A verifier that nobody can read: it cannot be decided.
  assert.equal(await status('bad'), 503)
  await assert.rejects(login(gateway, 'olga', 'another'), { code: '28P01' })

  const [host, port] = (gateway.addresses['sql'] ?? '').split(':')
  const session = new pg.Client({ host: host ?? '', port: Number(port), user: 'olga', password, database: 'shop' })
  const ended = new Promise(resolve => session.on('error', resolve))
  await session.connect()
  write(rows(`${olga}locked`))
  await ended
  assert.equal(await status('olga'), 401)
  write('not,a,file,of accounts')
  assert.equal(await status('olga'), 503)
  await assert.rejects(login(gateway, 'olga', password), { code: '57P03' })
  write(rows(olga))
  assert.equal(await status('olga'), 200)

  const listed = await csv.run('accounts', 'list')
  assert.match(listed.out, /olga +staff, support|olga +support, staff/, listed.err)
  const added = await csv.run('accounts', 'add', 'new', '--no-password')
  assert.match(added.err, /accounts\.read_only/)
  const { out, status: explained } = await csv.run('explain', 'login', '--user', 'olga', '--no-tls')
  assert.equal(explained, 0)
  assert.match(out, /the account in staff, with its password/)
  for (const secret of [password, verifier]) assert(!gateway.log().includes(secret))
})

test('csv-accounts: a CSV file is read as RFC 4180 says, and nothing of it is ever skipped', async () => {
  const { parseCsv, parseAccounts } = await import('../examples/plugins/csv-accounts/csv-accounts.ts')
  const vectors: readonly (readonly [name: string, text: string, rows: unknown])[] = [
    [
      'fields and rows',
      'a,b\r\nc,d\r\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'no line feed at the end',
      'a,b\nc,d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['commas, quotes and line breaks in quotes', '"a,b","c""d","e\nf"', [['a,b', 'c"d', 'e\nf']]],
    [
      'empty fields',
      ',\n"",',
      [
        ['', ''],
        ['', ''],
      ],
    ],
    ['nothing', '', []],
    ['an open quote', '"a', undefined],
    ['something behind a quote', '"a"b,c', undefined],
    ['a quote inside a plain field', 'a"b', undefined],
    ['a bare carriage return', 'a\rb', undefined],
  ]
  for (const [name, text, rows] of vectors) assert.deepEqual(parseCsv(text), rows, name)
  // What is written by the rules is read back; what is cut or random is read or refused.
  const random = (below: number) => randomInt(Math.max(1, below))
  const letters = ['a', ',', '"', '\n', '\r\n', 'é', '']
  const until = performance.now() + 200
  while (performance.now() < until) {
    const table = Array.from({ length: 1 + random(4) }, () =>
      Array.from({ length: 1 + random(4) }, () => Array.from({ length: random(4) }, () => letters[random(6)]).join('')),
    )
    const text = table.map(row => row.map(field => `"${field.replaceAll('"', '""')}"`).join(',')).join('\n')
    assert.deepEqual(parseCsv(text), table)
    for (const cut of [random(text.length), random(text.length)]) {
      const part = text.slice(0, cut)
      try {
        parseAccounts(`name,roles,verifier,locked\n${part}`)
      } catch (error) {
        assert(error instanceof Error && /^(a bad row|no CSV file of accounts)$/.test(error.message), part)
      }
    }
  }
})

test('json-tokens: tokens live in the file over a restart, and end for the running gateway when they are revoked', async () => {
  const tokens = await example('json-tokens', false)
  const key = 'k'.repeat(43)
  tokens.edit([`sha256:${'0'.repeat(64)}`, apiKeyHash(key)])
  let gateway = await tokens.start()
  const issue = async (): Promise<string> => {
    const response = await fetch(`http://${gateway.addresses['web']}/token`, {
      method: 'POST',
      headers: { 'X-Api-Key': key },
    })
    assert.equal(response.status, 200, gateway.log())
    return JSON.parse(await response.text()).access_token
  }
  const status = async (token: string) => (await get(gateway, { authorization: `Bearer ${token}` })).status

  const first = await issue()
  assert.match(first, /^bawn_token_[A-Za-z0-9_-]{43}$/)
  assert.equal(await status(first), 200)
  assert.equal(await issue(), first)
  const file = tokens.path('tokens.jsonl')
  assert(!readFileSync(file, 'utf8').includes(first))
  assert.equal(statSync(file).mode & 0o777, 0o600)

  await gateway.stop()
  // A crash in the middle of a line.
  appendFileSync(file, '\n{"revoke":"bill')
  gateway = await tokens.start()
  assert.equal(await status(first), 200)
  const second = await issue()
  assert.notEqual(second, first)
  assert.match((await tokens.run('tokens', 'list')).out, /billing.*\n.*billing.*\n2 tokens/)
  const revoked = await tokens.run('tokens', 'revoke', 'billing')
  assert.equal(revoked.out, 'ended 2 tokens\n', revoked.err)
  assert.deepEqual([await status(first), await status(second)], [401, 401])
  assert.equal(await status(await issue()), 200)

  // A reload opens it once more, beside the one that serves what is under way.
  const third = await issue()
  gateway.signal('SIGHUP')
  await gateway.logged(/^reloaded:$/m)
  assert.equal(await status(third), 200)
})

test('must-have-claims: a token needs them all, at both doors', async () => {
  const check = await example('must-have-claims', true)
  mkdirSync(check.path('node_modules/bawn-must-have-claims'), { recursive: true })
  for (const file of ['package.json', 'index.js']) {
    renameSync(check.path(file), check.path(`node_modules/bawn-must-have-claims/${file}`))
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  check.write(
    'jwks.json',
    JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: '1', alg: 'EdDSA' }] }),
  )
  const part = (of: object) => Buffer.from(JSON.stringify(of)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 600
  const token = (claims: object): string => {
    const all = { iss: 'https://id.example', aud: 'shop', sub: 'alice', exp, ...claims }
    const input = `${part({ alg: 'EdDSA', kid: '1' })}.${part(all)}`
    return `${input}.${signBytes(null, Buffer.from(input), privateKey).toString('base64url')}`
  }
  const gateway = await check.start()
  const rows: readonly (readonly [name: string, claims: object, isGood: boolean])[] = [
    ['both', { a: 1, b: null }, true],
    ['one', { a: 1 }, false],
    ['the other', { b: 'x' }, false],
    ['none', {}, false],
    ['inherited ones', { a: 1, constructor: 2 }, false],
  ]
  for (const [name, claims, isGood] of rows) {
    const text = token(claims)
    // Twice: what a check said is kept.
    for (const _ of [1, 2]) {
      const answer = await get(gateway, { authorization: `Bearer ${text}` })
      assert.equal(answer.status, isGood ? 200 : 401, `${name} ${answer.body} ${gateway.log()}`)
      if (!isGood) assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
    }
    if (isGood) assert.equal(await login(gateway, 'alice', text), 'bawn:alice')
    else await assert.rejects(login(gateway, 'alice', text), { code: '28P01' }, name)
    check.write('token.jwt', text)
    const explained = await check.run('explain', 'request', 'GET', '/orders', '--token', 'token.jwt')
    assert.equal(explained.status, isGood ? 0 : 1, explained.out)
  }
  assert.match(gateway.log(), /check must-have-claims refuses a token of issuer corp: it has no b/)
  assert.ok(audit(check).some(line => JSON.stringify(line).includes('check-failed')))
})

test('the examples in plain JavaScript type-check, with the types in their comments', () => {
  const root = join(import.meta.dirname, '..')
  const settings = ['--ignoreConfig', '--noEmit', '--allowJs', '--checkJs', '--strict', '--module', 'nodenext']
  const more = [
    '--target',
    'es2024',
    '--types',
    'node',
    '--rewriteRelativeImportExtensions',
    '--exactOptionalPropertyTypes',
  ]
  const files = globSync('examples/plugins/**/*.js', { cwd: root })
  assert(files.length >= 2)
  execFileSync('tsc', [...settings, ...more, ...files], { cwd: root, encoding: 'utf8', stdio: 'pipe' })
})
