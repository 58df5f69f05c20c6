import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { createAuthority } from '@bawn/demo/certificates'
import { RelayOutput, readWithoutBuffer, slab } from './socket-fast-path.ts'

// On real sockets. Where Node has changed and nothing would be saved any more, these fail: the gateway itself goes on as before.

/** Both ends of a connection; the accepted one is paused, as after a login. */
async function pair(t: TestContext): Promise<{ readonly accepted: Socket; readonly peer: Socket }> {
  const server = createServer({ noDelay: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const peer = connect({ host: '127.0.0.1', port: typeof address === 'object' ? (address?.port ?? 0) : 0 })
  const [accepted]: Socket[] = await once(server, 'connection')
  assert(accepted !== undefined)
  for (const socket of [accepted, peer]) socket.on('error', () => {})
  t.after(() => {
    accepted.destroy()
    peer.destroy()
    server.close()
  })
  return { accepted, peer }
}

test('an accepted socket is read into the buffer of all, and what comes is a copy', async t => {
  const { accepted, peer } = await pair(t)
  const received: Buffer[] = []
  let wanted = 3
  const { promise, resolve } = Promise.withResolvers<void>()
  accepted.on('data', () => assert.fail('a buffer of its own'))
  readWithoutBuffer(accepted, chunk => {
    received.push(chunk)
    slab.fill(0xee)
    if (Buffer.concat(received).length >= wanted) resolve()
  })
  peer.write('one')
  accepted.resume()
  await promise
  // Paused, nothing is read; what came meanwhile is there afterwards, and the end as well.
  accepted.pause()
  wanted = Number.POSITIVE_INFINITY
  const large = randomBytes(1_000_000)
  peer.end(large)
  accepted.resume()
  await once(accepted, 'end')
  assert.equal(Buffer.concat(received).compare(Buffer.concat([Buffer.from('one'), large])), 0)
})

test('what was read before stays where it was', async t => {
  const { accepted, peer } = await pair(t)
  accepted.resume()
  accepted.pause()
  peer.write('early')
  while (accepted.readableLength === 0) {
    accepted.read(0)
    await new Promise(resolve => setImmediate(resolve))
  }
  const received: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const receive = (chunk: Buffer): void => {
    received.push(chunk.toString())
    if (received.join('').endsWith('late')) resolve()
  }
  accepted.on('data', receive)
  readWithoutBuffer(accepted, receive)
  accepted.resume()
  peer.write(', late')
  await promise
  assert.equal(received.join(''), 'early, late')
})

test('bytes arrive whole and in order however slowly they are taken, though their memory changes at once', async t => {
  const { accepted, peer } = await pair(t)
  const output = new RelayOutput(accepted)
  const sent = createHash('sha256')
  const got = createHash('sha256')
  let total = 0
  peer.pause()
  let behind = 0
  for (let round = 0; round < 400; round += 1) {
    const size = round % 3 === 0 ? slab.length : 1 + ((round * 7919) % 5_000)
    const bytes = randomBytes(size)
    sent.update(bytes)
    total += size
    // Every other one lies where the next read would go.
    const chunk = round % 2 === 0 ? slab.subarray(0, size) : bytes
    if (round % 2 === 0) bytes.copy(chunk)
    const taken = output.write(chunk)
    slab.fill(0xee)
    if (taken) continue
    behind += 1
    assert.equal(output.isBehind, true)
    if (round % 5 === 0) {
      // Further ones queue behind it; now and then all is waited for.
      peer.on('data', bytes => got.update(bytes)).resume()
      await once(accepted, 'drain')
      peer.removeAllListeners('data').pause()
    }
  }
  assert(behind > 5, `the kernel took everything but ${behind}`)
  const before = peer.bytesRead
  assert(before <= total)
  accepted.end()
  peer.on('data', bytes => got.update(bytes)).resume()
  await once(peer, 'end')
  assert.equal(got.digest('hex'), sent.digest('hex'))
  assert.equal(peer.bytesRead, total)
})

test('a peer that has gone is noticed by its close', async t => {
  const { accepted, peer } = await pair(t)
  const output = new RelayOutput(accepted)
  peer.resetAndDestroy()
  const closed = once(accepted, 'close')
  accepted.resume()
  while (!accepted.destroyed) {
    output.write(Buffer.from('anybody?'))
    await new Promise(resolve => setImmediate(resolve))
  }
  await closed
  // Says nothing and breaks nothing.
  output.write(Buffer.from('no'))
})

test('short writes inside TLS take no more memory than their bytes', async t => {
  const authority = createAuthority('sockets')
  const { certificate, key } = authority.issue('localhost', 'server', ['localhost'])
  const server = createTlsServer({ cert: certificate, key })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const peer = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca: authority.certificate })
  const [accepted]: TLSSocket[] = await once(server, 'secureConnection')
  assert(accepted !== undefined)
  t.after(() => {
    accepted.destroy()
    peer.destroy()
    server.close()
  })
  const output = new RelayOutput(accepted)
  let got = 0
  const before = process.memoryUsage().arrayBuffers
  for (let round = 1; round <= 50; round += 1) {
    output.write(slab.subarray(0, 100))
    while (got < round * 100) {
      const [chunk]: Buffer[] = await once(peer, 'data')
      got += chunk?.length ?? 0
    }
  }
  const grown = process.memoryUsage().arrayBuffers - before
  assert(grown < 50 * 100_000, `${grown} bytes`)
})
