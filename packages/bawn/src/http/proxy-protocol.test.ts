import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { ask, tls } from './http2-kit.fixture.ts'
import { codeOf, type KitOptions, parse, raw, startDoor, startUpstream } from './kit.test.ts'

// Behind a balancer that speaks the PROXY protocol: whose address counts, and what becomes of who does not say it.

const header = 'PROXY TCP4 192.0.2.60 10.0.0.1 56324 443\r\n'
const binary = Buffer.from('0d0a0d0a000d0a515549540a2111000cc000023d0a00000100010002', 'hex').toString('latin1')
const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex').toString('latin1')
const request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

async function start(t: TestContext, listener: Record<string, unknown>, more: Partial<KitOptions> = {}) {
  const upstream = await startUpstream(t, (incoming, response) =>
    response.end(String(incoming.headers['x-forwarded-for'])),
  )
  return startDoor(t, { upstream, listener: { proxy_protocol: { from: ['127.0.0.1'] }, ...listener }, ...more })
}

for (const engine of ['llhttp', 'node-http']) {
  test(`${engine}: the address is the one that a listed peer says, in pieces of any size`, async t => {
    const kit = await start(t, { engine })
    for (const [name, before, address] of [
      ['version 1', header, '192.0.2.60'],
      ['version 2', binary, '192.0.2.61'],
      ['UNKNOWN', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
      ['LOCAL', local, '127.0.0.1'],
    ] as const) {
      assert.equal(parse(await raw(kit.port, before + request)).body, address, name)
      const socket = connect(kit.port, '127.0.0.1')
      socket.setNoDelay(true)
      for (const piece of [
        before.slice(0, 3),
        before.slice(3, -1),
        before.slice(-1) + request.slice(0, 5),
        request.slice(5),
      ]) {
        socket.write(Buffer.from(piece, 'latin1'))
        await new Promise(resolve => setImmediate(resolve))
      }
      let text = ''
      socket.on('data', bytes => {
        text += String(bytes)
      })
      await once(socket, 'close')
      assert.equal(parse(text).body, address, `${name} in pieces`)
      assert.equal(kit.events.at(-1)?.address, address)
    }
  })

  test(`${engine}: a listed peer that says nothing, or nonsense, is closed, with a line in the trail`, async t => {
    const kit = await start(t, { engine, header_timeout: '700ms' })
    for (const bytes of [request, `proxy ${request}`, header.slice(0, 20), '', `PROXY UNKNOWN ${'a'.repeat(200)}`]) {
      const before = kit.events.length
      assert.equal(await raw(kit.port, bytes), '')
      assert.deepEqual(
        kit.events.slice(before).map(({ code, address }) => [code, address]),
        bytes === '' ? [] : [['http.bad_forwarding', '127.0.0.1']],
        bytes,
      )
    }
  })

  test(`${engine}: nobody else is believed`, async t => {
    const kit = await start(t, { engine, proxy_protocol: { from: ['192.0.2.0/24'] } })
    assert.equal(codeOf(parse(await raw(kit.port, header + request))), 'http.bad_request')
    assert.equal(parse(await raw(kit.port, request)).body, '127.0.0.1')
  })

  test(`${engine}: TLS comes after it, and a stop does not wait for who has not said it`, async t => {
    const kit = await start(t, { engine }, { tls })
    const open = async (): Promise<Socket> => {
      const socket = connect(kit.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(header)
      return socket
    }
    const socket = connectTls({ socket: await open(), rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    let text = ''
    socket.on('data', bytes => {
      text += String(bytes)
    })
    socket.write(request)
    await once(socket, 'close')
    assert.equal(parse(text).body, '192.0.2.60')

    if (engine === 'llhttp') {
      const under = await open()
      const client = connectHttp2('https://gate.example', {
        createConnection: () => connectTls({ socket: under, rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
      })
      t.after(() => client.destroy())
      assert.equal((await ask(client, { ':path': '/' }))?.body, '192.0.2.60')
    }
    const silent = connect(kit.port, '127.0.0.1')
    await once(silent, 'connect')
    silent.on('error', () => {})
    const gone = once(silent, 'close')
    await kit.door.drain(10_000)
    await gone
  })
}

test('forwarding headers are believed by the address that the PROXY header says', async t => {
  const kit = await start(t, { trusted_proxies: { addresses: ['192.0.2.60'] } })
  const forwarded = request.replace('\r\n\r\n', '\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n')
  assert.equal(parse(await raw(kit.port, header + forwarded)).body, '203.0.113.9')
  assert.equal(parse(await raw(kit.port, binary + forwarded)).body, '192.0.2.61')
})
