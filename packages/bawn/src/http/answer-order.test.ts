import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { ask, session, tls } from './http2-kit.fixture.ts'
import { type Kit, type KitOptions, raw, startDoor, startUpstream } from './kit.test.ts'

// Of an answer nothing leaves before its line is written: whatever HTTP the client speaks, and however the answer comes.

const secret = 'what the upstream says'
const large = secret.repeat(20_000)

interface Way {
  readonly name: string
  readonly options: Partial<KitOptions>
  /** @returns everything that the client was told, and how many lines were not written when the first of it came */
  readonly get: (t: TestContext, kit: Kit, path: string, token: string) => Promise<{ told: string; unwritten: number }>
}

async function byHttp1(
  _t: TestContext,
  kit: Kit,
  path: string,
  token: string,
): Promise<{ told: string; unwritten: number }> {
  const socket = connect(kit.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
  )
  let unwritten: number | undefined
  const pieces: Buffer[] = []
  socket.on('data', bytes => {
    unwritten ??= kit.uncommitted()
    pieces.push(bytes)
  })
  await once(socket, 'close')
  return { told: Buffer.concat(pieces).toString('latin1'), unwritten: unwritten ?? -1 }
}

const ways: readonly Way[] = [
  { name: 'HTTP/1.1', options: {}, get: byHttp1 },
  { name: 'HTTP/1.1 on node:http', options: { listener: { engine: 'node-http' } }, get: byHttp1 },
  {
    name: 'HTTP/2',
    options: { tls },
    get: async (t, kit, path, token) => {
      const client = session(t, kit.port)
      let unwritten: number | undefined
      const answer = await ask(client, { ':path': path, authorization: `Bearer ${token}` }, undefined, () => {
        unwritten ??= kit.uncommitted()
      })
      return { told: answer === undefined ? '' : `${answer.status} ${answer.body}`, unwritten: unwritten ?? -1 }
    },
  },
]

const answers: readonly (readonly [path: string, token: string, told: RegExp])[] = [
  ['/whole', 'alice', /200.*what the upstream says/s],
  ['/large', 'alice', /200.*what the upstream says/s],
  ['/pieces', 'alice', /200.*what the upstream says/s],
  ['/whole', 'nobody', /401.*authn\./s],
]

async function start(t: TestContext, way: Way, commit?: () => void): Promise<Kit> {
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/pieces') {
      response.write(secret)
      setTimeout(() => response.end(secret), 50)
    } else response.end(request.url === '/large' ? large : secret)
  })
  const options: KitOptions = { upstream, ...way.options }
  return startDoor(t, commit === undefined ? options : { ...options, commit })
}

for (const way of ways) {
  test(`${way.name}: a line is written before anything of its answer leaves`, async t => {
    const kit = await start(t, way)
    for (const [path, token, expected] of answers) {
      const { told, unwritten } = await way.get(t, kit, path, token)
      assert.match(told, expected)
      assert.equal(unwritten, 0, `${path} ${token}`)
    }
  })

  test(`${way.name}: where it cannot be written, the client is told so and nothing else`, async t => {
    const kit = await start(t, way, () => {
      throw new Error('disk full')
    })
    for (const [path, token] of answers) {
      const { told } = await way.get(t, kit, path, token)
      assert.match(told, /500.*gateway\.bug/s, `${path} ${token}`)
      assert.ok(!told.includes(secret), path)
    }
    assert.ok(kit.logged.some(({ message }) => /audit trail cannot be written/.test(message)))
  })
}

test('answers to requests that come together leave in their order, after the lines of all of them', async t => {
  const kit = await start(t, { name: '', options: {}, get: byHttp1 })
  const request = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer alice\r\n\r\n`
  const last = request('/whole').replace('\r\n', '\r\nConnection: close\r\n')
  const told = await raw(kit.port, request('/%00') + request('/whole') + request('/large') + request('/%00') + last)
  const found = [...told.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status)
  assert.deepEqual(found, ['400', '200', '200', '400', '200'])
  assert.equal(kit.uncommitted(), 0)
})
