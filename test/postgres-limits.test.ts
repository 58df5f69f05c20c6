import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import pg from 'pg'
import type { SessionAccess } from '../packages/bawn/src/audit/access-line.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { listenWithLimits, until } from './limits-kit.ts'
import { type Kit, RawClient, rawLogin, rules, startKit, withClient } from './postgres-kit.ts'

let kit: Kit
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(() => kit.stop())
beforeEach(() => rules.clear())

const listen = (limits: object) => listenWithLimits(kit, limits)

async function open(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(config)
  client.on('error', () => {})
  await client.connect()
  return client
}

async function refusal(config: pg.ClientConfig): Promise<string> {
  const error: unknown = await open(config).then(
    () => assert.fail('it was let in'),
    cause => cause,
  )
  assert.ok(error instanceof pg.DatabaseError, String(error))
  assert.equal(error.code, '53300')
  assert.match(error.hint ?? '', /Close sessions/)
  return error.message
}

test('a database that is full is waited for, in order, and no longer than the queue says', async () => {
  const impatient = await listen({ sessions: 1, queue_timeout: '100ms' })
  const only = await open(impatient.as('billy'))
  assert.match(await refusal(impatient.as('sue')), /^database "shop" has as many sessions as it may have/)
  await only.end()
  const { door, as } = await listen({ sessions: 1, queue_timeout: '60s' })
  const first = await open(as('billy'))
  const second = open(as('sue'))
  await until(() => door.sessions().length === 2)
  assert.deepEqual(
    door.sessions().map(session => [session.identity.id, session.now().activity]),
    [
      ['billy', 'idle'],
      ['sue', 'waiting'],
    ],
  )
  await first.end()
  await (await second).end()
  await until(() => door.sessions().length === 0)
})

test('PostgreSQL never has more sessions than the database may have', async () => {
  const { as } = await listen({ sessions: 2, queue_timeout: '60s' })
  let most = 0
  await Promise.all(
    Array.from({ length: 12 }, () =>
      withClient(as('billy'), async client => {
        const count = "select count(*)::int as n from pg_stat_activity where application_name = 'bawn:billy'"
        // Long enough that two of them meet.
        await client.query('select pg_sleep(0.05)')
        most = Math.max(most, Number((await client.query(count)).rows[0].n))
      }),
    ),
  )
  assert.equal(most, 2)
})

test('somebody who leaves the queue frees the place in it', async () => {
  const { door, as } = await listen({ sessions: 1, queue_length: 1, queue_timeout: '60s' })
  const first = await open(as('billy'))
  rules.set('tess', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  const leaver = await RawClient.connect(door.address.port)
  leaver.socket.write(
    buildStartupMessage([
      ['user', 'tess'],
      ['database', 'shop'],
    ]),
  )
  await leaver.until(() => leaver.letters() === 'R')
  leaver.socket.write(new MessageBuilder().begin(front.password).cstring('token:tess:support').end().take())
  await until(() => door.sessions().some(session => session.now().activity === 'waiting'))
  assert.match(await refusal(as('sue')), /^too many clients wait/)
  leaver.socket.destroy()
  await until(() => door.sessions().length === 1)
  const second = open(as('sue'))
  await until(() => door.sessions().length === 2)
  await first.end()
  await (await second).end()
})

test('an identity and a role have their own limits, and nobody waits for these', async () => {
  const { as, door } = await listen({
    sessions: 10,
    sessions_per_identity: 2,
    by_role: [
      { roles: ['support', 'other'], sessions: 2 },
      { roles: ['billing'], sessions_per_identity: 1 },
    ],
  })
  const billy = await open(as('billy'))
  assert.match(await refusal(as('billy')), /^too many sessions of this user in database "shop"$/)
  const sue = [await open(as('sue')), await open(as('sue'))]
  assert.match(await refusal(as('sue')), /^too many sessions of this user/)
  const tess = await rawLogin(door.address.port, 'gil', 'guest')
  rules.set('tim', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  assert.match(await refusal({ ...as('tim'), password: 'token:tim:support' }), /^too many sessions of this role/)
  await sue[0]?.end()
  await until(() => door.sessions().length === 3)
  await (await open({ ...as('tim'), password: 'token:tim:support' })).end()
  tess.socket.destroy()
  await Promise.all([billy.end(), sue[1]?.end()])
})

test('who waits is ended by an operator, and told when the gateway stops', async () => {
  const { door, as } = await listen({ sessions: 1, queue_timeout: '60s' })
  const first = await open(as('billy'))
  const failed = (user: string): Promise<unknown> =>
    open(as(user)).then(
      () => 'let in',
      error => error.code,
    )
  const sue = failed('sue')
  await until(() => door.sessions().length === 2)
  assert.equal(door.endSessions(({ identity }) => identity.id === 'sue', 'killed').length, 1)
  assert.equal(await sue, '57P01')
  const gus = failed('gus')
  await until(() => door.sessions().length === 2)
  await first.query('begin')
  const drained = door.drain(20_000)
  assert.equal(await gus, '57P01')
  await first.query('commit').catch(() => {})
  await drained
})

test('a session is one line of the access log when it ends, and so is a login that came to nothing', async () => {
  const lines: SessionAccess[] = []
  const accessLog = { session: (line: SessionAccess) => lines.push(line), request: () => assert.fail('no request') }
  const { as } = await listenWithLimits(kit, { sessions: 1, queue_timeout: '60s' }, { options: { accessLog } })
  const first = await open(as('billy', { application_name: 'reports' }))
  const second = open(as('sue'))
  await first.query("select 'secret'")
  await first.end()
  await (await second).end()
  await assert.rejects(open(as('billy', { password: 'wrong' })))
  await until(() => lines.length === 3)
  assert.deepEqual(
    lines.map(({ identity, database, applicationName, code }) => [identity?.id, database, applicationName, code]),
    [
      ['billy', 'shop', 'reports', undefined],
      ['sue', 'shop', '', undefined],
      [undefined, 'shop', '', 'wrong-password'],
    ],
  )
  assert.ok((lines[0]?.bytesIn ?? 0) > 10 && (lines[0]?.bytesOut ?? 0) > 10 && lines[0]?.address === '127.0.0.1')
  assert.doesNotMatch(JSON.stringify(lines), /secret|select/)
})
