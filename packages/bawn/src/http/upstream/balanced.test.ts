import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { get, post, startDoor } from '../kit.test.ts'
import { healthCheckOptions, upstreamOptions } from '../option.ts'
import { HttpError } from '../problem.ts'
import { watchHealth } from './health-check.ts'
import { createUpstream, type UpstreamDeps } from './pool.ts'
import { RetryBudget } from './retry-budget.ts'
import { type HealthChange, TargetHealth } from './target-health.ts'
import type { Upstream, UpstreamRequest } from './upstream.ts'

interface Backend {
  readonly url: string
  readonly server: Server
  /** Of what it was asked for. */
  readonly targets: string[]
  respond: RequestListener
}

async function backend(t: TestContext, name: string): Promise<Backend> {
  const targets: string[] = []
  const made: Backend = {
    url: '',
    server: createServer((request, response) => {
      targets.push(`${request.method} ${request.url}`)
      made.respond(request, response)
    }),
    targets,
    respond: (_, response) => response.end(name),
  }
  made.server.listen(0, '127.0.0.1')
  await once(made.server, 'listening')
  t.after(() => {
    made.server.close()
    made.server.closeAllConnections()
  })
  return Object.assign(made, { url: `http://127.0.0.1:${(made.server.address() as AddressInfo).port}` })
}

/** Nobody listens there. */
async function freeUrl(): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}

function open(t: TestContext, options: Record<string, unknown>, deps: UpstreamDeps = {}): Upstream {
  const upstream = createUpstream('shop', upstreamOptions.parse(options), deps)
  t.after(() => upstream.retire())
  return upstream
}

/** @returns the body, or the code of the error */
function ask(upstream: Upstream, request: Partial<UpstreamRequest> = {}): Promise<string> {
  return new Promise(resolve => {
    upstream.send(
      { method: 'GET', target: '/x', head: '', body: { kind: 'none' }, ...request },
      {
        fail: error => resolve((error as { code: string }).code),
        answer: ({ head, whole, body }) => {
          if (whole !== undefined) return resolve(head.status === 200 ? whole.toString() : String(head.status))
          let text = ''
          body.start({
            chunk: bytes => {
              text += bytes.toString()
              return true
            },
            end: () => resolve(text),
            fail: error => resolve(`broke off: ${(error as unknown as { code: string }).code}`),
          })
        },
      },
    )
  })
}

test('several servers share the requests, and the one with the fewest under way comes first', async t => {
  const [a, b, c] = [await backend(t, 'a'), await backend(t, 'b'), await backend(t, 'c')]
  const upstream = open(t, { urls: [`${a.url}/p`, b.url, c.url] })
  const answers: string[] = []
  for (let round = 0; round < 9; round++) answers.push(await ask(upstream))
  assert.deepEqual([...answers].sort(), ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c'])
  assert.deepEqual([a.targets[0], b.targets[0]], ['GET /p/x', 'GET /x'], 'each with the prefix of its own')

  const held: (() => void)[] = []
  a.respond = (_, response) => void held.push(() => response.end('a'))
  const waiting: Promise<string>[] = []
  while (held.length === 0) {
    waiting.push(ask(upstream))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const others: string[] = []
  for (let round = 0; round < 6; round++) others.push(await ask(upstream))
  assert.ok(!others.includes('a'), 'a has one under way, and the others none')
  for (const release of held) release()
  await Promise.all(waiting)
})

test('each server gets its own Host', async t => {
  const [a, b] = [await backend(t, 'a'), await backend(t, 'b')]
  for (const one of [a, b]) one.respond = (request, response) => response.end(String(request.headers.host))
  const upstream = open(t, { urls: [a.url, b.url] })
  const hosts = [await ask(upstream), await ask(upstream)].sort()
  assert.deepEqual(hosts, [a.url, b.url].map(url => url.slice('http://'.length)).sort())
})

test('what was not sent goes to another server, whatever it is; what was sent only where twice is as good as once', async t => {
  const good = await backend(t, 'good')
  const bad = await backend(t, 'bad')
  const nobody = await freeUrl()
  const streamed = (): UpstreamRequest['body'] => ({
    kind: 'stream',
    length: 4,
    source: {
      start: sink => {
        sink.chunk(Buffer.from('body'))
        sink.end()
      },
      resume: () => {},
      cancel: () => {},
    },
  })
  const many = { outlier: { failures: 1_000 } }

  const unreachable = open(t, { urls: [nobody, good.url], ...many })
  for (let round = 0; round < 2; round++) {
    assert.equal(await ask(unreachable), 'good')
    assert.equal(await ask(unreachable, { method: 'POST', body: streamed() }), 'good')
  }

  bad.respond = request => request.socket.destroy()
  const closing = open(t, { urls: [bad.url, good.url], ...many })
  const sent = async (request: Partial<UpstreamRequest>) =>
    [await ask(closing, request), await ask(closing, request)].sort()
  assert.deepEqual(await sent({}), ['good', 'good'])
  assert.deepEqual(await sent({ method: 'PUT', body: { kind: 'bytes', bytes: Buffer.from('x') } }), ['good', 'good'])
  assert.deepEqual(await sent({ method: 'POST', body: { kind: 'bytes', bytes: Buffer.from('x') } }), [
    'good',
    'http.bad_answer',
  ])
  assert.deepEqual(await sent({ method: 'PUT', body: streamed() }), ['good', 'http.bad_answer'])

  bad.respond = (_, response) => response.writeHead(503).end('busy')
  assert.deepEqual(await sent({}), ['good', 'good'])
  assert.deepEqual(await sent({ method: 'POST' }), ['503', 'good'])
  // An answer of the application is an answer.
  bad.respond = (_, response) => response.writeHead(500).end('mine')
  assert.deepEqual(await sent({}), ['500', 'good'])
  // Of an answer that has begun nothing is asked twice.
  bad.respond = (request, response) => {
    response.writeHead(200, { 'content-length': '10' })
    response.write('begun', () => setTimeout(() => request.socket.destroy(), 20))
  }
  assert.deepEqual((await sent({})).sort(), ['broke off: http.bad_answer', 'good'])
})

test('retries: 0 tries once', async t => {
  const good = await backend(t, 'good')
  const upstream = open(t, { urls: [await freeUrl(), good.url], retries: 0, outlier: { failures: 1_000 } })
  assert.deepEqual([await ask(upstream), await ask(upstream)].sort(), ['good', 'http.upstream_unreachable'])
})

test('a server that fails again and again is left alone, asked once after its time, and comes back', async t => {
  const good = await backend(t, 'good')
  const bad = await backend(t, 'bad')
  bad.respond = (_, response) => response.writeHead(503).end()
  let now = 1_000_000
  const log: string[] = []
  const upstream = open(
    t,
    { urls: [bad.url, good.url], retries: 0, outlier: { failures: 3, time: '10s' } },
    { now: () => now, log: text => log.push(text) },
  )
  const round = async (count: number): Promise<number> => {
    const before = bad.targets.length
    for (let each = 0; each < count; each++) await ask(upstream)
    return bad.targets.length - before
  }
  assert.equal(await round(20), 3)
  now += 9_999
  assert.equal(await round(6), 0)
  now += 1
  assert.equal(await round(6), 1, 'it still fails: once is enough')
  now += 19_999
  assert.equal(await round(6), 0, 'twice as long')
  now += 1
  bad.respond = (_, response) => response.end('back')
  assert.equal(await round(6), 3)
  assert.deepEqual(
    log.map(text => text.replace(bad.url, 'BAD')),
    [
      'upstream shop: BAD fails again and again, and is left alone for a while',
      'upstream shop: BAD fails again and again, and is left alone for a while',
      'upstream shop: BAD answers again',
    ],
  )
})

test('where none is well, all are asked', async t => {
  const [a, b] = [await backend(t, 'a'), await backend(t, 'b')]
  for (const one of [a, b]) one.respond = (_, response) => response.writeHead(503).end()
  const upstream = open(t, { urls: [a.url, b.url], retries: 0, outlier: { failures: 1 } })
  for (let round = 0; round < 4; round++) assert.equal(await ask(upstream), '503')
  b.respond = (_, response) => response.end('b')
  const answers = [await ask(upstream), await ask(upstream)]
  assert.ok(answers.includes('b'))
})

test('a health check takes a server out and brings it back', async t => {
  const [a, b] = [await backend(t, 'a'), await backend(t, 'b')]
  let isWell = true
  const asked: string[] = []
  const respond =
    (name: string): RequestListener =>
    (request, response) => {
      if (request.url !== '/p/healthz?x') {
        response.end(name)
        return
      }
      asked.push(String(request.headers['user-agent']))
      response.writeHead(name === 'b' && !isWell ? 500 : 204).end()
    }
  a.respond = respond('a')
  b.respond = respond('b')
  const upstream = open(t, {
    urls: [`${a.url}/p`, `${b.url}/p`],
    health: { path: '/healthz?x', interval: '20ms', timeout: '1s' },
  })
  const seen = async (): Promise<string> => [...new Set([await ask(upstream), await ask(upstream)])].sort().join()
  const until = async (expected: string): Promise<void> => {
    const end = Date.now() + 10_000
    while ((await seen()) !== expected) {
      assert.ok(Date.now() < end, `never ${expected}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  await until('a,b')
  isWell = false
  await until('a')
  isWell = true
  await until('a,b')
  assert.ok(asked.every(agent => agent === 'bawn-health-check'))
})

test('a check that gets no connection says nothing of the server, and is made again', async t => {
  const found: string[] = []
  const health = new TargetHealth({ failures: 1, timeMs: 10, maxTimeMs: 10 }, change => found.push(change))
  const asked = Promise.withResolvers<void>()
  // As a pool fails: busy so often, then unreachable.
  let times = 0
  const server: Upstream = {
    name: 'shop',
    ownHeaders: [],
    send: (_request, { fail }) => {
      times++
      fail(new HttpError(times <= 5 ? 'http.upstream_busy' : 'http.upstream_unreachable', 'as the test says'))
      if (times === 5) assert.deepEqual(found, [])
      if (times === 8) asked.resolve()
      return () => {}
    },
    retire: () => {},
  }
  const options = healthCheckOptions.parse({ path: '/healthz', interval: '5ms', unhealthy: 2 })
  const stop = watchHealth(server, options, health)
  t.after(stop)
  await asked.promise
  assert.deepEqual(found, ['down'])
})

test('through the door: kill one of two servers, and no caller notices', async t => {
  const [a, b] = [await backend(t, 'a'), await backend(t, 'b')]
  const kit = await startDoor(t, { upstream: a.url, upstreamOptions: { url: undefined, urls: [a.url, b.url] } })
  const answers = async (count: number): Promise<Set<string>> => {
    const all = await Promise.all(Array.from({ length: count }, () => get(kit.port, '/')))
    return new Set(all.map(({ status, body }) => `${status} ${body}`))
  }
  assert.deepEqual([...(await answers(10))].sort(), ['200 a', '200 b'])
  a.server.close()
  a.server.closeAllConnections()
  assert.deepEqual([...(await answers(8))], ['200 b'])
  assert.equal((await post(kit.port, '/', 'x')).body, 'b')
})

test('budget: a fifth of all, and ten at once', () => {
  const budget = new RetryBudget()
  let spent = 0
  while (budget.spend()) spent++
  assert.equal(spent, 10)
  for (let request = 0; request < 100; request++) {
    budget.earn()
    if (budget.spend()) spent++
  }
  assert.ok(spent >= 28 && spent <= 30, String(spent))
})

test('health: failures have to be in a row', () => {
  const changes: HealthChange[] = []
  const health = new TargetHealth({ failures: 2, timeMs: 10, maxTimeMs: 25 }, change => changes.push(change))
  health.failed(0)
  health.succeeded()
  health.failed(0)
  assert.ok(health.isGood(0))
  health.failed(0)
  assert.ok(!health.isGood(9))
  // What was under way when it was taken out does not count again.
  health.failed(5)
  assert.ok(health.isGood(10))
  for (const [at, until] of [
    [10, 30],
    [30, 55],
    [55, 80],
  ] as const) {
    health.failed(at)
    assert.ok(!health.isGood(until - 1) && health.isGood(until), `from ${at} until ${until}`)
  }
  health.found(false)
  health.found(false)
  assert.ok(!health.isGood(1_000))
  health.found(true)
  assert.deepEqual(changes, ['ejected', 'ejected', 'ejected', 'ejected', 'down', 'up'])
})
