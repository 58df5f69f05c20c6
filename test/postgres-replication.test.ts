import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { cells, type Kit, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// Replication connections: for whom a policy of their own permits, unread, and said aloud in the trail.

let kit: Kit
let port: number
before(async () => {
  kit = await startKit(
    `
    create table people (id int primary key, name text, email bytea, photo bytea);
    create publication everything for all tables;
  `,
    [],
    undefined,
    { wal_level: 'logical' },
  )
  const [database] = kit.state.databases.values()
  assert.ok(database)
  const replication = createGate(['machines'], { machines: { roles: ['billing'] } })
  const door = await kit.listen({ tls: undefined }, { databases: new Map([['shop', { ...database, replication }]]) })
  port = door.address.port
})
after(() => kit.stop())

const replicating = [['replication', 'database']] as const

/** What a login that is refused behind its authentication is told: SQLSTATE, message. */
async function refusal(at: number, user: string, role: string, value = 'database'): Promise<string> {
  return await rawLogin(at, user, role, 0, [['replication', value]]).then(
    () => 'in',
    (error: unknown) => String(error),
  )
}

test('without a policy, without its permission and without a role it is refused, and the trail says so', async () => {
  const plain = await kit.listen({ tls: undefined })
  kit.events.length = 0
  assert.match(await refusal(plain.address.port, 'rep-billy', 'billing'), /closed/)
  assert.match(await refusal(port, 'rep-sue', 'support'), /closed/)
  assert.match(await refusal(port, 'rep-billy', 'billing', 'perhaps'), /closed/)
  const denied = kit.events.filter(event => event.decision === 'deny')
  assert.deepEqual(
    denied.map(event => [event.identity?.id, event.rule, event.code]),
    [
      ['rep-billy', 'no policy for replication', 'postgres.replication_refused'],
      ['rep-sue', 'no policy of machines permits', 'postgres.replication_refused'],
      ['rep-billy', 'startup parameters', 'postgres.startup_setting'],
    ],
  )
})

/** Bytes of every XLogData so far. */
function streamed(client: RawClient): Buffer {
  return Buffer.concat(client.messages().flatMap(({ type, body }) => (type === 'd' && body[0] === 0x77 ? [body] : [])))
}

test('logical replication streams what is stored: ciphertext', async () => {
  kit.events.length = 0
  const client = await rawLogin(port, 'rep-billy', 'billing', 0, replicating)
  client.socket.write(say.query('IDENTIFY_SYSTEM'))
  await client.ready()
  client.socket.write(say.query('CREATE_REPLICATION_SLOT "bawn_test" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT'))
  await client.ready()
  client.socket.write(
    say.query(`START_REPLICATION SLOT "bawn_test" LOGICAL 0/0 (proto_version '1', publication_names 'everything')`),
  )
  await client.until(() => client.letters().includes('W'))
  await withClient(kit.client('billy'), async writer => {
    await writer.query("insert into people (id, name, email) values (1, 'in clear', 'ada@example.com')")
  })
  await client.until(() => streamed(client).includes('in clear'))
  const [{ email } = {}] = await kit.direct('select email from people')
  assert.ok(Buffer.isBuffer(email))
  assert.ok(streamed(client).includes(email.toString('hex')))
  assert.ok(!streamed(client).includes('ada@example.com'))
  const status = new MessageBuilder().begin(front.copyData).uint8(0x72)
  for (let index = 0; index < 8; index += 1) status.int32(0)
  client.socket.write(status.uint8(1).end().take())
  client.socket.write(say.copyDone)
  await client.until(() => client.letters().includes('Z'))
  client.received = Buffer.alloc(0)
  // With replication=database the connection takes SQL too, and that is unread as well.
  client.socket.write(say.query('select encode(email, $$hex$$) from people'))
  await client.until(() => client.letters().includes('Z'))
  const row = client.messages().find(({ type }) => type === 'D')
  assert.ok(row !== undefined)
  assert.deepEqual(cells(row.body), [email.toString('hex')])
  client.socket.destroy()
  await kit.state.audit.commit()
  while (!kit.events.some(event => event.action === 'replication end')) await new Promise(setImmediate)
  const lines = kit.events.filter(event => event.action.startsWith('replication'))
  assert.deepEqual(
    lines.map(({ action, decision, resource, identity }) => [action, decision, resource, identity?.id]),
    [
      ['replication begin', 'permit', 'shop', 'rep-billy'],
      ['replication end', 'permit', 'shop', 'rep-billy'],
    ],
  )
  assert.ok(
    kit.logs.some(({ level, message }) => level === 'warn' && /replication of database shop begins/.test(message)),
  )
})

test('physical replication is the whole server', async () => {
  const client = await rawLogin(port, 'rep-billy', 'billing', 0, [['replication', 'true']])
  client.socket.write(say.query('IDENTIFY_SYSTEM'))
  assert.equal(await client.ready(), 'TDCZ')
  client.socket.destroy()
})

test('it ends when the identity is revoked or its proof expires', async () => {
  const [database] = kit.state.databases.values()
  assert.ok(database)
  let now = Date.now()
  const replication = createGate(['authenticated'], {})
  const door = await kit.listen(
    { tls: undefined },
    { databases: new Map([['shop', { ...database, replication }]]), now: () => now },
  )
  const revoked = await rawLogin(door.address.port, 'rep-billy', 'billing', 0, replicating)
  assert.equal(door.endSessions(({ identity }) => identity.id === 'rep-billy', 'revoked').length, 1)
  assert.match((await revoked.untilClosed()).toString('latin1'), /57P01/)
  const brief = await rawLogin(door.address.port, 'rep-brief', `billing:${now + 200}`, 0, replicating)
  now += 200
  assert.match((await brief.untilClosed()).toString('latin1'), /proof of identity has expired/)
})
