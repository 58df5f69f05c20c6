import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import pg from 'pg'
import { buildSslRequest, buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { connected, listenWithLimits, startCuttableRelay, until } from './limits-kit.ts'
import { type Kit, RawClient, rawLogin, rules, say, startKit, withClient } from './postgres-kit.ts'

// Peers that do not read, or are not there any more: memory stays bounded, and nobody waits for ever.

let kit: Kit
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(() => kit.stop())
beforeEach(() => rules.clear())

const megabyte = 1024 * 1024
const half = "select repeat('x', 1000000) from generate_series(1, 500)"
const memory = (): number => {
  const { rss } = process.memoryUsage()
  return rss
}
const running = async (what: string): Promise<number> => {
  const [row] = await kit.direct(
    `select count(*)::int as n from pg_stat_activity where query like '${what}%' and state = 'active'`,
  )
  return Number(row?.['n'])
}

/** Reads nothing of what comes, in clear or inside TLS. */
async function deafClient(port: number, tls: boolean): Promise<Socket> {
  if (!tls) {
    const raw = await rawLogin(port, 'deaf', 'billing')
    raw.socket.removeAllListeners('data')
    raw.socket.pause()
    return raw.socket
  }
  rules.set('deaf', { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  const raw = await RawClient.connect(port)
  raw.socket.write(buildSslRequest())
  await raw.until(received => received.length === 1)
  raw.socket.removeAllListeners('data')
  const secure = connectTls({ socket: raw.socket, ca: kit.authority.certificate, servername: 'localhost' })
  const inside = new RawClient(secure)
  inside.socket.write(
    buildStartupMessage([
      ['user', 'deaf'],
      ['database', 'shop'],
    ]),
  )
  await inside.until(() => inside.letters() === 'R')
  inside.socket.write(Buffer.from(`p\0\0\0${String.fromCharCode(4 + 19)}token:deaf:billing\0`, 'latin1'))
  await inside.until(() => inside.letters().includes('Z'))
  secure.removeAllListeners('data')
  secure.pause()
  return secure
}

for (const tls of [false, true]) {
  test(`a client that never reads 500 MB ${tls ? 'inside TLS ' : ''}costs little memory, and is dropped`, async () => {
    const { door } = await listenWithLimits(kit, {}, { options: { write_timeout: 1_500 } })
    const client = await deafClient(door.address.port, tls)
    client.on('error', () => {})
    const before = memory()
    client.write(say.query(half))
    let most = 0
    await until(() => {
      most = Math.max(most, memory() - before)
      return door.sessions().length === 0
    })
    assert.ok(most < 100 * megabyte, `${Math.round(most / megabyte)} MB`)
    await until(async () => (await running('select repeat')) === 0)
    assert.ok(
      kit.logs.some(
        ({ cause }) => cause instanceof Error && 'code' in cause && cause.code === 'postgres.client_stalled',
      ),
    )
    client.destroy()
  })
}

test('a client that reads slowly is not dropped, and gets everything', async () => {
  const { door } = await listenWithLimits(kit, {}, { options: { write_timeout: 1_000 } })
  const raw = await rawLogin(door.address.port, 'slow', 'billing')
  raw.socket.removeAllListeners('data')
  let taken = 0
  const step = (): void => {
    if (raw.socket.destroyed) return
    raw.socket.resume()
    setTimeout(() => {
      raw.socket.pause()
      setTimeout(step, 300)
    }, 30)
  }
  const done = new Promise<void>(resolve =>
    raw.socket.on('data', chunk => {
      taken += chunk.length
      if (taken > 40_000_000) resolve()
    }),
  )
  raw.socket.write(say.query("select repeat('x', 1000000) from generate_series(1, 40)"))
  step()
  await done
  assert.equal(door.sessions().length, 1)
  raw.socket.destroy()
})

test('a server that does not read holds up its client, and costs little memory', async () => {
  const { door } = await listenWithLimits(kit, {})
  const raw = await rawLogin(door.address.port, 'loader', 'billing')
  raw.socket.write(say.query('create temporary table loaded (line text)'))
  await raw.ready()
  const locker = new pg.Client({ ...kit.postgres, database: 'postgres' })
  await locker.connect()
  await locker.query('begin; lock table people in access exclusive mode')
  // Of buffers alone: the parser of statements takes a hundred times as much, once, in the same process.
  const { arrayBuffers: before } = process.memoryUsage()
  // It waits for the lock, and reads nothing meanwhile.
  raw.socket.write(say.query('select name from people; copy loaded from stdin'))
  await until(async () => (await running('select name from people')) === 1)
  const line = Buffer.from(`${'y'.repeat(999_999)}\n`)
  const head = Buffer.from([0x64, 0, 0, 0, 0])
  head.writeInt32BE(line.length + 4, 1)
  const message = Buffer.concat([head, line])
  let sent = 0
  let stalled = false
  while (!stalled && sent < 300) {
    sent += 1
    if (raw.socket.write(message)) continue
    stalled = await Promise.race([
      new Promise<false>(resolve => raw.socket.once('drain', () => resolve(false))),
      new Promise<true>(resolve => setTimeout(() => resolve(true), 1_000)),
    ])
  }
  assert.ok(stalled, `${sent} MB were taken`)
  assert.ok(process.memoryUsage().arrayBuffers - before < 30 * megabyte)
  await locker.query('rollback')
  await locker.end()
  raw.socket.write(Buffer.from([0x63, 0, 0, 0, 4]))
  await raw.ready()
  raw.socket.write(say.query('select count(*) from loaded'))
  await raw.until(() => raw.letters() === 'TDCZ')
  assert.equal(raw.messages()[1]?.body.toString('latin1').slice(6), String(sent))
  raw.socket.destroy()
})

/** What the kernel does about a connection: kind and rest of its timer (proc(5), `tr` and `tm->when`), in ms. */
function timerOf(port: number, peer: number): { readonly kind: number; readonly ms: number } | undefined {
  const hex = (number: number): string => number.toString(16).toUpperCase().padStart(4, '0')
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local = '', remote = '', , , timer = ''] = line.trim().split(/\s+/)
    if (!local.endsWith(`:${hex(port)}`) || !remote.endsWith(`:${hex(peer)}`)) continue
    const [kind = '', when = ''] = timer.split(':')
    return { kind: Number.parseInt(kind, 16), ms: Number.parseInt(when, 16) * 10 }
  }
  return undefined
}

test('TCP looks after idle connections, on both sides', async () => {
  const keepalive = 2
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const upstream = { ...shop.upstream, probeAfterMs: 30_000 }
  const { door } = await listenWithLimits(kit, {}, { options: { keepalive: 20_000 }, database: { upstream } })
  const raw = await rawLogin(door.address.port, 'idle', 'billing')
  raw.socket.write(say.query('select inet_client_port()'))
  await raw.until(() => raw.letters() === 'TDCZ')
  const serverSide = Number(raw.messages()[1]?.body.toString('latin1').slice(6))
  // What was just sent is acknowledged first, by a timer of another kind.
  const kept = async (port: number, peer: number, longest: number): Promise<void> => {
    let timer: ReturnType<typeof timerOf>
    await until(() => {
      timer = timerOf(port, peer)
      return timer?.kind === keepalive
    })
    assert.ok(timer !== undefined && timer.ms <= longest, String(timer?.ms))
  }
  await kept(door.address.port, raw.socket.localPort ?? 0, 20_000)
  await kept(serverSide, kit.postgres.port, 30_000)
  raw.socket.destroy()
})

/** Long enough for a login on a busy machine; a network that was cut is found out after as long. */
const connectTimeoutMs = 3_000

test('a network that was cut behind the gateway is found out, and the client is told', async t => {
  const relay = await startCuttableRelay(t, kit.postgres.port)
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  for (const tls of [shop.upstream.tls, undefined]) {
    const upstream = { ...shop.upstream, tls, port: relay.port, probeAfterMs: 200, connectTimeoutMs }
    const { as } = await listenWithLimits(kit, {}, { database: { upstream } })
    await withClient(as('billy'), async client => {
      // Silent for long, but there: nothing happens to it.
      await client.query('select pg_sleep(1.5)')
    })
  }
  const upstream = { ...shop.upstream, port: relay.port, probeAfterMs: 200, connectTimeoutMs }
  const { as, door } = await listenWithLimits(kit, {}, { database: { upstream } })
  const { client, ended } = await connected(as('billy'))
  const waiting = client.query('select pg_sleep(60)')
  relay.cut()
  await assert.rejects(waiting, { code: '08006' })
  await ended
  assert.equal(door.sessions().length, 0)
})

test('a client that vanished without a word loses its session and its locks by the time limits', async t => {
  const { door } = await listenWithLimits(kit, { idle_in_transaction: '400ms' })
  const relay = await startCuttableRelay(t, door.address.port)
  const raw = await rawLogin(relay.port, 'ghost', 'billing')
  raw.socket.write(say.query('begin; lock table people in access exclusive mode'))
  await raw.ready()
  relay.cut()
  await withClient(kit.client('billy', { port: door.address.port }), async client => {
    assert.deepEqual((await client.query('select name from people')).rows, [])
  })
  await until(() => door.sessions().length === 0)
})
