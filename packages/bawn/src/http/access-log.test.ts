import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { RequestAccess } from '../audit/access-line.ts'
import { get, type KitOptions, post, raw, send, startDoor, startUpstream } from './kit.test.ts'

// One line for every request, whatever becomes of it: real requests, through the door, by both engines.

async function start(t: TestContext, engine: string, more: Partial<KitOptions> = {}) {
  const lines: RequestAccess[] = []
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/slow') return
    if (request.url === '/cut') {
      response.writeHead(200, { 'Content-Length': '100' }).write('half', () => response.destroy())
      return
    }
    if (request.url === '/endless') {
      response.writeHead(200)
      response.write('begun')
      return
    }
    request.resume().on('end', () => response.writeHead(201).end('x'.repeat(request.method === 'HEAD' ? 0 : 100_000)))
  })
  const kit = await startDoor(t, {
    upstream,
    accessLog: { request: access => lines.push(access), session: () => assert.fail('no session') },
    listener: { engine },
    routes: [
      { path: '/open/*', methods: ['GET', 'HEAD', 'POST'], upstream_path: '/*' },
      { path: '/staff', allow: ['staff'] },
    ],
    ...more,
  })
  const until = async (count: number): Promise<void> => {
    const deadline = Date.now() + 10_000
    while (lines.length < count) {
      assert.ok(Date.now() < deadline, `${lines.length} of ${count} lines`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  const told = (): unknown[] =>
    lines
      .splice(0)
      .map(({ method, target, route, status, bytes, isComplete, identity }) =>
        [method, target, route, status, bytes, isComplete, identity?.id].filter(part => part !== undefined),
      )
  return { kit, lines, until, told }
}

for (const engine of ['llhttp', 'node-http']) {
  test(`${engine}: a line for every request, whatever becomes of it`, { timeout: 60_000 }, async t => {
    const { kit, lines, until, told } = await start(t, engine)
    const agent = ['User-Agent: curl/8', 'Referer: http://a.example/']
    await get(kit.port, '/open/a?x=1', agent)
    assert.equal(lines[0]?.userAgent, 'curl/8')
    assert.equal(lines[0]?.referer, 'http://a.example/')
    assert.equal(lines[0]?.host, 'gate.example')
    assert.equal(lines[0]?.address, '127.0.0.1')
    assert.equal(lines[0]?.requestId, 'req-1')
    assert.ok((lines[0]?.durationMs ?? -1) > 0)
    await send(kit.port, 'HEAD /open/a HTTP/1.1\r\nHost: gate.example\r\n\r\n')
    await post(kit.port, '/open/a', 'body')
    await get(kit.port, '/staff', ['Authorization: Bearer alice'])
    await get(kit.port, '/staff')
    await get(kit.port, '/nothing')
    await until(6)
    const sizes = lines.slice(4, 6).map(({ bytes }) => bytes)
    assert.ok(sizes.every(bytes => bytes > 100))
    assert.deepEqual(told(), [
      ['GET', '/open/a?x=1', '/open/*', 201, 100_000, true],
      ['HEAD', '/open/a', '/open/*', 201, 0, true],
      ['POST', '/open/a', '/open/*', 201, 100_000, true],
      ['GET', '/staff', '/staff', 201, 100_000, true, 'alice'],
      ['GET', '/staff', '/staff', 401, sizes[0], true],
      ['GET', '/nothing', 'none', 404, sizes[1], true],
    ])
    // An answer that is cut, a client that leaves before one, and in the middle of one.
    await raw(kit.port, 'GET /open/cut HTTP/1.1\r\nHost: gate.example\r\n\r\n')
    await until(1)
    assert.deepEqual(told(), [['GET', '/open/cut', '/open/*', 200, 4, false]])
    for (const [path, first] of [
      ['/open/slow', ''],
      ['/open/endless', 'begun'],
    ] as const) {
      const socket = connect(kit.port, '127.0.0.1')
      socket.write(`GET ${path} HTTP/1.1\r\nHost: gate.example\r\n\r\n`)
      if (first !== '') {
        let seen = ''
        await new Promise<void>(resolve =>
          socket.on('data', bytes => {
            seen += bytes
            if (seen.includes(first)) resolve()
          }),
        )
      } else await new Promise(resolve => socket.once('connect', () => setTimeout(resolve, 50)))
      socket.destroy()
      await until(1)
      const [line] = told()
      assert.deepEqual(line, ['GET', path, '/open/*', first === '' ? 499 : 200, first.length, false])
    }
    // What is no request is a line as well.
    await raw(kit.port, 'NONSENSE\r\n\r\n')
    await raw(kit.port, 'GET /open/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
    await until(2)
    assert.deepEqual(
      lines.map(({ status, route }) => [status, route]),
      [
        [400, 'none'],
        [400, 'none'],
      ],
    )
  })
}
