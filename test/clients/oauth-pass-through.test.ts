import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import type { DatabaseState } from '../../packages/bawn/src/postgres/state.ts'
import { MessageBuilder } from '../../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../../packages/bawn/src/postgres/wire/startup.ts'
import { useHba } from '../postgres-hba.ts'
import { type Kit, RawClient, rules, say, startKit } from '../postgres-kit.ts'

// The client's token goes on to PostgreSQL 18, which judges it by a validator module of ours: its own OAUTHBEARER, through the door.

const folder = mkdtempSync(join(tmpdir(), 'bawn-validator-'))
let kit: Kit
before(async () => {
  // PostgreSQL runs as somebody else.
  chmodSync(folder, 0o755)
  const library = join(folder, 'validator.so')
  const source = join(import.meta.dirname, 'oauth-validator.c')
  const { status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-Wall', '-Werror', '-o', library, source])
  assert.equal(status, 0, `a C compiler is needed; on Debian: apt-get install gcc libc6-dev\n${stderr ?? ''}`)
  kit = await startKit(
    `create table people (id int primary key, name text, email bytea, photo bytea);
     create role billy login; create role sue login`,
    [],
    undefined,
    { oauth_validator_libraries: library },
  )
  await useHba(kit.postgres, [
    'hostssl all all 127.0.0.1/32 oauth issuer="https://id.example" scope="openid"',
    'host all all 127.0.0.1/32 oauth issuer="https://id.example" scope="openid"',
  ])
})
after(async () => {
  await kit?.stop()
  rmSync(folder, { recursive: true })
})
beforeEach(() => {
  kit.events.length = 0
  for (const user of ['billy', 'sue']) rules.set(user, { kind: 'matched', rule: 'passed', use: ['pass-through'] })
})

function database(): ReadonlyMap<string, DatabaseState> {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  return new Map([['shop', { ...shop, login: { kind: 'pass-through', roles: undefined } }]])
}

const bearer = (token: string): string => `n,,\x01auth=${token === '' ? '' : `Bearer ${token}`}\x01\x01`

/** Up to the offer of mechanisms, or to the refusal. */
async function begin(client: RawClient, user: string): Promise<string> {
  client.socket.write(
    buildStartupMessage([
      ['user', user],
      ['database', 'shop'],
    ]),
  )
  await client.until(() => /[RE]/.test(client.letters()))
  return client.messages().at(-1)?.body.toString('latin1') ?? ''
}

/** Sends a token. @returns what the server says to it */
async function present(client: RawClient, token: string): Promise<string> {
  const said = client.messages().length
  const initial = Buffer.from(bearer(token))
  client.socket.write(
    new MessageBuilder().begin(front.password).cstring('OAUTHBEARER').int32(initial.length).bytes(initial).end().take(),
  )
  await client.until(() => client.messages().length > said)
  return client.messages()[said]?.body.toString('latin1') ?? ''
}

async function overTls(): Promise<RawClient> {
  const door = await kit.listen({}, { databases: database() })
  return await RawClient.connectTls(door.address.port, kit.authority.certificate, ['postgresql'])
}

test('a good token logs in as whom PostgreSQL says it proves', async () => {
  const client = await overTls()
  assert.equal(await begin(client, 'billy'), '\0\0\0\x0aOAUTHBEARER\0\0')
  assert.equal(await present(client, 'good-billy'), '\0\0\0\0')
  await client.ready()
  client.socket.write(say.query('select session_user::text'))
  await client.until(() => client.letters().includes('Z'))
  assert.match(client.received.toString('latin1'), /billy/)
  const [line] = kit.events
  assert.deepEqual([line?.identity?.id, line?.identity?.mechanism, line?.decision], ['billy', 'pass-through', 'permit'])
  assert.doesNotMatch(JSON.stringify([kit.events, kit.logs]), /good-billy/)
  client.socket.destroy()
})

for (const [what, token] of [
  ['a bad token', 'bad'],
  ['a token of somebody else', 'good-sue'],
  ['no token, to be told where to get one', ''],
] as const) {
  test(`${what} is told where to get one by PostgreSQL, and refused as every login is`, async () => {
    const client = await overTls()
    await begin(client, 'billy')
    const first = await present(client, token)
    const asked: unknown = JSON.parse(first.slice(4))
    assert.deepEqual(asked, {
      status: 'invalid_token',
      'openid-configuration': 'https://id.example/.well-known/openid-configuration',
      scope: 'openid',
    })
    client.socket.write(new MessageBuilder().begin(front.password).bytes(Buffer.from('\x01')).end().take())
    await client.untilClosed()
    const end = client.messages().at(-1)
    assert.equal(end?.type, 'E')
    assert.match(end?.body.toString() ?? '', /C28P01\0Mpassword authentication failed for user "billy"/)
    assert.ok(kit.events.every(({ decision }) => decision === 'deny'))
  })
}

test('a token does not cross in clear but on one machine', async () => {
  for (const [from, mayCome] of [
    ['127.0.0.1', true],
    ['203.0.113.9', false],
  ] as const) {
    const options = { tls: undefined, proxy_protocol: { from: ['127.0.0.1'] } }
    const door = await kit.listen(options, { databases: database() })
    const client = await RawClient.connect(door.address.port)
    client.socket.write(`PROXY TCP4 ${from} 127.0.0.1 5000 5432\r\n`)
    assert.match(await begin(client, 'billy'), mayCome ? /OAUTHBEARER/ : /a token needs TLS on its whole way/)
    assert.equal(client.letters(), mayCome ? 'R' : 'E')
    client.socket.destroy()
  }
})
