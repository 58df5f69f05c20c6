import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { createAuthority } from '@bawn/demo/certificates'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { DatabaseHosts } from '../packages/bawn/src/postgres/hosts.ts'
import type { DatabaseState, UpstreamTarget } from '../packages/bawn/src/postgres/state.ts'
import { connected, failureOf, listenWithLimits, startCuttableRelay } from './limits-kit.ts'
import { type Kit, rules, startKit, withClient } from './postgres-kit.ts'

// What goes wrong while the gateway logs in: PostgreSQL dies at each message, hosts swallow what is sent to them, or show a certificate
// that is not theirs. And what PostgreSQL says of locks and disks.

let kit: Kit
let shop: DatabaseState
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  const found = kit.state.databases.get('shop')
  assert.ok(found !== undefined)
  shop = found
})
after(() => kit.stop())
beforeEach(() => rules.clear())

/** A relay before PostgreSQL that lets so many messages of the server through, and keeps the rest. */
async function startStoppingRelay(port: number, messages: number) {
  const sockets = new Set<Socket>()
  let stopped: () => void = () => {}
  const isStopped = new Promise<void>(resolve => {
    stopped = resolve
  })
  const server = createServer(near => {
    const far = connect({ host: '127.0.0.1', port })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    near.pipe(far)
    let held = Buffer.alloc(0)
    let passed = 0
    far.on('data', chunk => {
      held = Buffer.concat([held, chunk])
      while (passed < messages && held.length >= 5 && held.length > held.readInt32BE(1)) {
        const size = held.readInt32BE(1) + 1
        near.write(held.subarray(0, size))
        held = held.subarray(size)
        passed += 1
      }
      if (passed === messages) stopped()
    })
    far.on('close', () => near.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    isStopped,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

test('PostgreSQL is killed in the middle of a login, at each of its messages: every client is told', async t => {
  const mortal = await startPostgres()
  const logins = await Promise.all(
    // Of SCRAM three, AuthenticationOk, fifteen settings, the key; the last would be ReadyForQuery.
    [0, 1, 2, 3, 4, 5, 12, 18, 19, 20].map(async messages => {
      const relay = await startStoppingRelay(mortal.port, messages)
      t.after(() => relay.stop())
      const upstream: UpstreamTarget = {
        ...shop.upstream,
        host: '127.0.0.1',
        port: relay.port,
        tls: undefined,
        user: mortal.user,
        password: mortal.password,
        connectTimeoutMs: 20_000,
      }
      const { as, door } = await listenWithLimits(kit, {}, { database: { upstream } })
      const failure = failureOf(connected(as('billy')))
      await relay.isStopped
      return { messages, door, failure }
    }),
  )
  const client = new pg.Client({
    host: mortal.host,
    port: mortal.port,
    user: mortal.user,
    password: mortal.password,
    database: 'postgres',
  })
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query('select pid from pg_stat_activity where pid <> pg_backend_pid()')
  for (const pid of [mortal.pid, ...rows.map(row => Number(row.pid))]) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has followed the postmaster by itself.
    }
  }
  for (const { messages, failure, door } of logins) {
    assert.equal((await failure).code, '08001', `after ${messages} messages`)
    assert.equal(door.sessions().length, 0)
  }
  await mortal.stop()
})

/** Its queue of connections is full and nobody takes one out: the kernel drops further SYNs. */
async function startFullListener() {
  const worker = new Worker(
    `const { createServer } = require('node:net')
     const { parentPort } = require('node:worker_threads')
     const server = createServer()
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
     })`,
    { eval: true },
  )
  const [port] = await once(worker, 'message')
  const fillers: Socket[] = []
  // Until one of them does not come through any more.
  for (let full = false; !full && fillers.length < 50; ) {
    const filler = connect({ host: '127.0.0.1', port: Number(port) })
    filler.on('error', () => {})
    fillers.push(filler)
    full = await Promise.race([
      once(filler, 'connect').then(() => false),
      new Promise<boolean>(resolve => setTimeout(() => resolve(true), 300)),
    ])
  }
  return {
    port: Number(port),
    async stop() {
      for (const filler of fillers) filler.destroy()
      await worker.terminate()
    },
  }
}

function hostsOf(targets: readonly UpstreamTarget[]): Pick<DatabaseState, 'upstream' | 'hosts'> {
  const [upstream] = targets
  assert.ok(upstream !== undefined)
  const hosts = new DatabaseHosts(targets, { replicas: true, now: () => performance.now(), onEvent: () => {} })
  return { upstream, hosts }
}

test('a host that drops what is sent to it, and the known primary that says nothing any more: the next one has the session', async t => {
  const full = await startFullListener()
  t.after(() => full.stop())
  const relay = await startCuttableRelay(t, kit.postgres.port)
  const at = (port: number): UpstreamTarget => ({
    ...shop.upstream,
    host: '127.0.0.1',
    port,
    connectTimeoutMs: 2_000,
    probeAfterMs: 300,
  })
  const alone = await listenWithLimits(kit, {}, { database: { upstream: at(full.port) } })
  assert.equal((await failureOf(connected(alone.as('billy')))).code, '08001')
  const { as } = await listenWithLimits(kit, {}, { database: hostsOf([at(relay.port), at(kit.postgres.port)]) })
  const { client: first, ended } = await connected(as('billy'))
  const waiting = failureOf(first.query('select pg_sleep(60)'))
  relay.cut()
  const begun = performance.now()
  await withClient(as('billy'), async client => assert.equal((await client.query('select 1 as one')).rows[0].one, 1))
  assert.ok(performance.now() - begun < 10_000)
  assert.equal((await waiting).code, '08006')
  await ended
  const dropped = await listenWithLimits(kit, {}, { database: hostsOf([at(full.port), at(kit.postgres.port)]) })
  await withClient(dropped.as('billy'), async client =>
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1),
  )
})

test('of several hosts with TLS, one whose certificate is not good is passed over, and alone it is none', async () => {
  const stranger = createAuthority('somebody else')
  const wrong = await startPostgres({ tls: stranger.issue('db', 'server', ['localhost', '127.0.0.1']) })
  const good = shop.upstream
  const bad: UpstreamTarget = {
    ...good,
    host: wrong.host,
    port: wrong.port,
    user: wrong.user,
    password: wrong.password,
  }
  const { as } = await listenWithLimits(kit, {}, { database: hostsOf([bad, good]) })
  for (let count = 0; count < 3; count += 1) {
    await withClient(as('billy'), async client => {
      const { rows } = await client.query("select current_setting('port')::int as port")
      assert.equal(rows[0].port, good.port)
    })
  }
  const alone = await listenWithLimits(kit, {}, { database: hostsOf([bad]) })
  const failure = await failureOf(connected(alone.as('billy')))
  assert.equal(failure.code, '08001')
  const renamed = { ...good, tls: good.tls && { ...good.tls, serverName: 'db.internal' } }
  const named = await listenWithLimits(kit, {}, { database: hostsOf([renamed, good]) })
  await withClient(named.as('billy'), async client =>
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1),
  )
  await wrong.stop()
})

test('locks that are waited for too long, and a full disk: as PostgreSQL tells it, and the session goes on', async () => {
  const { as } = await listenWithLimits(kit, { lock_timeout: '200ms' })
  await withClient(as('billy'), async holder => {
    await holder.query('begin; lock table people in access exclusive mode')
    await withClient(as('billy'), async client => {
      const failure = await failureOf(client.query('select count(*) from people'))
      assert.equal(failure.code, '55P03')
      assert.equal(failure.message, 'canceling statement due to lock timeout')
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
      await client.query('begin')
      assert.equal((await failureOf(client.query('lock table people'))).code, '55P03')
      assert.equal((await failureOf(client.query('select 1'))).code, '25P02')
      await client.query('rollback')
    })
    await holder.query('rollback')
  })
  await kit.direct(`create function disk_full() returns int language plpgsql as $$ begin
    raise exception using errcode = '53100', message = 'could not extend file "base/5/16384": No space left on device',
      hint = 'Check free disk space.'; end $$`)
  const full = {
    code: '53100',
    message: 'could not extend file "base/5/16384": No space left on device',
    hint: 'Check free disk space.',
  }
  await withClient(as('billy'), async client => {
    for (const values of [undefined, []]) {
      assert.deepEqual(await failureOf(client.query('select disk_full()', values)), full)
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
    }
  })
})
