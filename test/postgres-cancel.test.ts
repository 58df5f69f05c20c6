import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import type { UpstreamTarget } from '../packages/bawn/src/postgres/state.ts'
import { buildErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import {
  buildCancelRequest,
  buildNegotiateVersion,
  parseStartupPacket,
} from '../packages/bawn/src/postgres/wire/startup.ts'
import { connected, failureOf, listenWithLimits } from './limits-kit.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit } from './postgres-kit.ts'

// Which version of the protocol PostgreSQL is asked for, and that a cancel request arrives whichever it has; with PostgreSQL 15 too
// (npm run test:postgres-15), which has no 3.2.

let kit: Kit
/** Bytes of the key that this server makes. */
let keyBytes: number
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  const [row] = await kit.direct("select current_setting('server_version_num')::int as version")
  keyBytes = Number(row?.['version']) >= 180_000 ? 32 : 4
})
after(() => kit.stop())
beforeEach(() => rules.clear())

/** What is in between does with a startup packet of any version but 3.0. */
type Manner =
  | 'passes'
  | 'closes'
  | 'refuses'
  | 'refuses as unsupported'
  | 'negotiates twice'
  | 'names a newer one'
  | 'is silent'

interface Between {
  readonly port: number
  /** Of every connection: the minor version that it asked for, or the length of its cancel key. */
  readonly seen: string[]
  stop(): Promise<void>
}

/** A server before PostgreSQL that knows 3.0, as poolers do. */
async function startBetween(manner: Manner): Promise<Between> {
  const seen: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    sockets.add(near)
    near.on('error', () => {})
    near.once('data', chunk => {
      const packet = parseStartupPacket(chunk)
      if (packet.kind === 'cancel') seen.push(`cancel ${packet.key.length}`)
      if (packet.kind === 'startup') seen.push(`3.${packet.minor}`)
      let first: Buffer = chunk
      if (packet.kind === 'startup' && packet.minor !== 0) {
        const refuse = (sqlstate: string): void => {
          near.end(buildErrorResponse({ severity: 'FATAL', sqlstate, message: 'bad packet header' }))
        }
        switch (manner) {
          case 'passes':
            break
          case 'closes':
            near.destroy()
            return
          case 'refuses':
            refuse('08P01')
            return
          case 'refuses as unsupported':
            refuse('0A000')
            return
          case 'negotiates twice':
            near.write(Buffer.concat([buildNegotiateVersion(0x0003_0000, []), buildNegotiateVersion(0x0003_0000, [])]))
            first = Buffer.from(chunk)
            first.writeInt32BE(0x0003_0000, 4)
            break
          case 'names a newer one':
            near.write(buildNegotiateVersion(0x0003_0003, []))
            return
          case 'is silent':
            return
        }
      }
      const far = connect({ host: '127.0.0.1', port: kit.postgres.port })
      sockets.add(far)
      far.on('error', () => near.destroy())
      far.write(first)
      near.pipe(far)
      far.pipe(near)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    seen,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function listenBefore(between: Between, more: Partial<UpstreamTarget> = {}) {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream: UpstreamTarget = { ...shop.upstream, host: '127.0.0.1', port: between.port, tls: undefined, ...more }
  return await listenWithLimits(kit, {}, { database: { upstream } })
}

test('cancel requests of one address that other threads do not answer keep no other address from sending one', async () => {
  const asked: string[] = []
  let release = (): void => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  const { address } = await kit.listen({
    tls: undefined,
    max_connections: 100,
    threads: {
      async cancel(processId, key) {
        asked.push(Buffer.from(key).toString('latin1'))
        if (processId === 1) await held
      },
    },
  })
  const send = (localAddress: string, processId: number, key: string): Socket => {
    const socket = connect({ host: '127.0.0.1', port: address.port, localAddress })
    socket.on('error', () => {})
    socket.write(buildCancelRequest(processId, Buffer.from(key)))
    return socket.resume()
  }
  const junk = Array.from({ length: 40 }, () => send('127.0.0.2', 1, 'junk'))
  const deadline = performance.now() + 10_000
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      assert.ok(performance.now() < deadline, `asked: ${asked}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  await until(() => asked.length > 0)
  // Others are served while those are held, and are told when they have been.
  const closed: string[] = []
  for (const name of ['one ', 'two ', 'many']) send('127.0.0.3', 2, name).on('close', () => closed.push(name))
  await until(() => closed.length === 3)
  assert.ok(asked.filter(key => key === 'junk').length <= 4, `asked: ${asked}`)
  release()
  await until(() => asked.filter(key => key === 'junk').length === 40)
  for (const socket of junk) socket.destroy()
})

/** Begins a statement that would take a minute, and cancels it. */
async function cancels(port: number, minor: 0 | 2): Promise<void> {
  const client = await rawLogin(port, 'billy', 'billing', minor)
  const key = client.backendKey
  assert.ok(key !== undefined)
  assert.equal(key.length - 4, minor === 2 ? 32 : 4)
  const [row] = await kit.direct(
    'select count(*)::int as n from pg_stat_activity where query = $$select pg_sleep(60)$$',
  )
  assert.equal(row?.['n'], 0)
  client.socket.write(say.query('select pg_sleep(60)'))
  const deadline = performance.now() + 10_000
  let running = 0
  while (running === 0) {
    assert.ok(performance.now() < deadline, 'the statement did not begin')
    const [now] = await kit.direct(
      "select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'",
    )
    running = Number(now?.['n'])
  }
  const attempt = await RawClient.connect(port)
  attempt.socket.write(buildCancelRequest(key.readInt32BE(0), key.subarray(4)))
  await attempt.untilClosed()
  await client.until(() => client.letters().endsWith('Z'))
  assert.match(client.received.toString('latin1'), /C57014\0/)
  client.received = Buffer.alloc(0)
  client.socket.write(say.query('select 1'))
  assert.equal(await client.ready(), 'TDCZ')
  client.socket.destroy()
}

const rows: readonly {
  readonly manner: Manner
  readonly first: readonly string[]
  readonly again: readonly string[]
}[] = [
  { manner: 'passes', first: ['3.2'], again: ['3.2'] },
  { manner: 'negotiates twice', first: ['3.2'], again: ['3.2'] },
  { manner: 'closes', first: ['3.2', '3.0'], again: ['3.0'] },
  { manner: 'refuses', first: ['3.2', '3.0'], again: ['3.0'] },
  { manner: 'refuses as unsupported', first: ['3.2', '3.0'], again: ['3.0'] },
]

for (const { manner, first, again } of rows) {
  test(`what is between us and PostgreSQL ${manner}: sessions begin, and cancel requests arrive`, async t => {
    const between = await startBetween(manner)
    t.after(() => between.stop())
    const { door } = await listenBefore(between)
    const key = `cancel ${manner === 'passes' ? keyBytes : 4}`
    await cancels(door.address.port, 0)
    assert.deepEqual(between.seen, [...first, key])
    between.seen.length = 0
    await cancels(door.address.port, 2)
    assert.deepEqual(between.seen, [...again, key])
  })
}

test('a version that nobody asked for is no login, and silence is not asked twice', async t => {
  for (const [manner, code] of [
    ['names a newer one', '08004'],
    ['is silent', '08001'],
  ] as const) {
    const between = await startBetween(manner)
    t.after(() => between.stop())
    const { as } = await listenBefore(between, { connectTimeoutMs: 500 })
    assert.equal((await failureOf(connected(as('billy')))).code, code, manner)
    assert.deepEqual(between.seen, ['3.2'])
  }
})
