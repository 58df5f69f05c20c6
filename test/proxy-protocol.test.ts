import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { type Kit, startKit } from './postgres-kit.ts'

// The PostgreSQL door behind a balancer that speaks the PROXY protocol.

const header = 'PROXY TCP4 192.0.2.60 10.0.0.1 56324 5432\r\n'
let kit: Kit

before(async () => {
  kit = await startKit('')
})
after(() => kit.stop())

test('the address is the one that the PROXY header says, with TLS and without', async () => {
  const door = await kit.listen({ proxy_protocol: { from: ['127.0.0.1'] } })
  for (const ssl of [false, { rejectUnauthorized: false }]) {
    const client = new pg.Client({
      ...kit.client('gus', { port: door.address.port, ssl }),
      stream: () => {
        const socket = connect(door.address.port, '127.0.0.1')
        // The driver would connect it: it is, and the header is the first thing that is written.
        socket.connect = () => socket
        socket.write(header)
        return socket
      },
    })
    await client.connect()
    assert.deepEqual((await client.query('select 1 as one')).rows, [{ one: 1 }])
    assert.deepEqual(
      door.sessions().map(({ address }) => address),
      ['192.0.2.60'],
    )
    assert.equal(kit.events.findLast(({ kind }) => kind === 'login')?.address, '192.0.2.60')
    await client.end()
    const end = performance.now() + 10_000
    while (door.sessions().length > 0) {
      assert.ok(performance.now() < end, 'the session ends')
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
})

test('who does not say it is closed', async () => {
  const door = await kit.listen({ proxy_protocol: { from: ['127.0.0.1'] } })
  const plain = new pg.Client(kit.client('gus', { port: door.address.port }))
  plain.on('error', () => {})
  await assert.rejects(plain.connect())
  const other = await kit.listen({ proxy_protocol: { from: ['192.0.2.0/24'] } })
  const socket = connect(other.address.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(header)
  await once(socket, 'close')
  assert.match(
    kit.logs.map(({ message }) => message).join('\n'),
    /closed before login: no PROXY header .* from 127\.0\.0\.1/,
  )
})
