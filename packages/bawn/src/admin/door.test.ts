import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type AdminDoor, type AdminSource, createAdminDoor, type ReadyCheck } from './door.ts'
import { AdminError } from './error.ts'
import { createHostCheck, parseHostHeader } from './host.ts'
import type { ReloadResult } from './reload.ts'
import { createTokenCheck, readAdminToken, writeAdminToken } from './token.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-admin-'))
const tokenFile = join(folder, 'data', 'admin.token')
const closers: (() => Promise<void>)[] = []
after(async () => {
  for (const close of closers) await close()
  rmSync(folder, { recursive: true })
})

const reloaded: ReloadResult = { kind: 'reloaded', changes: ['route /a was added'], warnings: [] }

async function open(source: Partial<AdminSource> = {}, onError?: (error: unknown) => void): Promise<AdminDoor> {
  const door = await createAdminDoor(
    { address: '127.0.0.1:0', tokenFile, ...(onError ? { onError } : {}) },
    {
      health: () => ({ version: '0.1.0' }),
      ready: () => [{ name: 'audit', ok: true }],
      metrics: () => 'bawn_up 1\n',
      head: () => 'ab'.repeat(32),
      reload: async () => reloaded,
      sessions: () => [],
      killSessions: () => [],
      revocations: () => {
        throw new AdminError('admin.no_revocations', 'none')
      },
      ...source,
    },
  )
  closers.push(() => door.close())
  return door
}

interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
}

function ask(
  door: AdminDoor,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(`http://${door.address}`)
  return new Promise((resolve, reject) => {
    const sent = request(
      { hostname, port, path, method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false },
      response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', text => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
      },
    )
    sent.on('error', reject)
    sent.end(options.body)
  })
}

const door = await open()

test('each document is there, of its type, and kept nowhere', async () => {
  const rows = [
    ['/healthz', 'application/json', '{"status":"ok","version":"0.1.0"}\n'],
    ['/readyz', 'application/json', '{"ready":true,"checks":[{"name":"audit","ok":true}]}\n'],
    ['/metrics', 'text/plain; version=0.0.4; charset=utf-8', 'bawn_up 1\n'],
    ['/audit/head', 'application/json', `{"head":"${'ab'.repeat(32)}"}\n`],
  ] as const
  for (const [path, type, body] of rows) {
    const answer = await ask(door, path)
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [200, type, body])
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
    assert.match(String(answer.headers['content-security-policy']), /default-src 'none'/)
  }
})

test('not ready is 503 and says which check failed', async () => {
  const checks: ReadyCheck[] = [
    { name: 'database shop', ok: false, detail: 'connection refused' },
    { name: 'audit', ok: true },
  ]
  const answer = await ask(await open({ ready: async () => checks }), '/readyz')
  assert.equal(answer.status, 503)
  assert.deepEqual(JSON.parse(answer.body), { ready: false, checks })
})

const refusals = [
  ['an unknown path', '/metricsx', {}, 404, 'admin.not_found'],
  ['a path that climbs', '/a/../metrics', {}, 404, 'admin.not_found'],
  ['an absolute request target', 'http://127.0.0.1/metrics', {}, 404, 'admin.not_found'],
  ['HEAD', '/healthz', { method: 'HEAD' }, 405, ''],
  ['POST to a document', '/metrics', { method: 'POST' }, 405, 'admin.method'],
  ['GET of reload', '/reload', {}, 405, 'admin.method'],
  ['reload without a token', '/reload', { method: 'POST' }, 401, 'admin.unauthorized'],
  [
    'reload with another token',
    '/reload',
    { method: 'POST', headers: { authorization: `Bearer ${'A'.repeat(43)}` } },
    401,
    'admin.unauthorized',
  ],
  [
    'reload with Basic',
    '/reload',
    { method: 'POST', headers: { authorization: 'Basic YTpi' } },
    401,
    'admin.unauthorized',
  ],
  ['a body', '/reload', { method: 'POST', body: '{}' }, 413, 'admin.body'],
  ['another host name', '/healthz', { headers: { host: 'evil.example' } }, 421, 'admin.host'],
  ['a host that is no name', '/healthz', { headers: { host: 'a b' } }, 421, 'admin.host'],
] as const
for (const [name, path, options, status, code] of refusals) {
  test(`${name} is ${status} ${code}`, async () => {
    const answer = await ask(door, path, options)
    assert.equal(answer.status, status)
    if (code === '') return
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    const problem = JSON.parse(answer.body)
    assert.deepEqual([problem.code, problem.status, problem.type], [code, status, `urn:bawn:error:${code}`])
    assert.equal(problem.request_id, answer.headers['x-request-id'])
    if (status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer realm="bawn admin"')
    if (status === 405) assert.match(String(answer.headers['allow']), /^(GET|POST)$/)
  })
}

test('reload wants the token of the file, which only its owner reads', async () => {
  const own = await open()
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600)
  const headers = { authorization: `Bearer ${readAdminToken(tokenFile)}` }
  const answer = await ask(own, '/reload', { method: 'POST', headers })
  assert.deepEqual([answer.status, JSON.parse(answer.body)], [200, reloaded])
})

test('a refused reload is 422 with the problems', async () => {
  const problem = {
    level: 'error',
    file: 'b',
    line: 3,
    column: 1,
    length: 2,
    path: 'x',
    message: 'm',
    excerpt: 'e',
  } as const
  const result: ReloadResult = { kind: 'refused', problems: [{ ...problem, suggestion: 's' }] }
  const own = await open({ reload: async () => result })
  const headers = { authorization: `bearer ${readAdminToken(tokenFile)}` }
  const answer = await ask(own, '/reload', { method: 'POST', headers })
  assert.deepEqual([answer.status, JSON.parse(answer.body)], [422, result])
})

test('two reloads run one after the other, and one that fails does not stop the next', async () => {
  let running = 0
  let most = 0
  let count = 0
  const own = await open({
    reload: async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise(resolve => setImmediate(resolve))
      running -= 1
      count += 1
      if (count === 1) throw new Error('disk is gone')
      return reloaded
    },
  })
  const headers = { authorization: `Bearer ${readAdminToken(tokenFile)}` }
  const answers = await Promise.all([1, 2, 3].map(() => ask(own, '/reload', { method: 'POST', headers })))
  assert.deepEqual(answers.map(answer => answer.status).sort(), [200, 200, 500])
  assert.equal(most, 1)
})

test('a fault of ours is reported inside, and outside has a code and no text of its own', async () => {
  const heard: unknown[] = []
  const own = await open({ metrics: () => Promise.reject(new Error('secret detail')) }, error => heard.push(error))
  const answer = await ask(own, '/metrics')
  assert.equal(answer.status, 500)
  assert.equal(JSON.parse(answer.body).code, 'gateway.bug')
  assert.doesNotMatch(answer.body, /secret detail/)
  assert.equal(heard.length, 1)
})

test('a head that is too large, and bytes that are no HTTP, end the connection', async () => {
  const { hostname, port } = new URL(`http://${door.address}`)
  for (const bytes of [
    `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(10_000)}\r\n\r\n`,
    '\u0016\u0003\u0001\r\n\r\n',
  ]) {
    const text = await new Promise<string>((resolve, reject) => {
      let received = ''
      const socket = connect(Number(port), hostname, () => socket.write(bytes))
      socket.on('data', data => {
        received += data.toString('latin1')
      })
      socket.on('close', () => resolve(received))
      socket.on('error', reject)
    })
    assert.match(text, /^HTTP\/1\.1 4(00|31) /)
  }
})

test('after close nobody listens', async () => {
  const own = await createAdminDoor({ address: '127.0.0.1:0', tokenFile }, { ...sourceOf() })
  await own.close()
  await assert.rejects(ask(own, '/healthz'), { code: 'ECONNREFUSED' })
})

function sourceOf(): AdminSource {
  return {
    health: () => ({}),
    ready: () => [],
    metrics: () => '',
    head: () => '',
    reload: async () => reloaded,
    sessions: () => [],
    killSessions: () => [],
    revocations: () => assert.fail(),
  }
}

test('a port that is taken, and a token file that cannot be written, stop the start', async () => {
  const token = readAdminToken(tokenFile)
  await assert.rejects(createAdminDoor({ address: door.address, tokenFile }, sourceOf()), { code: 'admin.listen' })
  assert.equal(readAdminToken(tokenFile), token, 'the gateway that has the port keeps its token')
  const inFile = join(tokenFile, 'below', 'a-file')
  await assert.rejects(createAdminDoor({ address: '127.0.0.1:0', tokenFile: inFile }, sourceOf()), {
    code: 'admin.token_file',
  })
})

test('sessions are listed and ended for whoever has the token, and only where it is said which', async () => {
  const asked: unknown[] = []
  const own = await open({
    killSessions: (choice, by) => {
      asked.push([choice, by.name])
      return [{ id: 's', user: 'billy', database: 'shop' }]
    },
  })
  const headers = { authorization: `Bearer ${readAdminToken(tokenFile)}`, 'x-bawn-operator': 'ren%C3%A9' }
  assert.equal((await ask(own, '/sessions')).status, 401)
  assert.equal((await ask(own, '/sessions/kill?user=billy', { method: 'POST' })).status, 401)
  assert.equal((await ask(own, '/sessions', { headers })).body, '{"sessions":[]}\n')
  for (const query of ['', '?', '?user=', '?usr=billy', '?user=billy&user=sue', '?user=billy&all=1']) {
    const answer = await ask(own, `/sessions/kill${query}`, { method: 'POST', headers })
    assert.equal(answer.status, 400, query)
    assert.match(answer.body, /"admin\.choice"/)
  }
  assert.deepEqual(asked, [])
  const answer = await ask(own, '/sessions/kill?user=billy&database=shop', { method: 'POST', headers })
  assert.equal(answer.body, '{"killed":[{"id":"s","user":"billy","database":"shop"}]}\n')
  assert.deepEqual(asked, [[{ id: undefined, user: 'billy', database: 'shop' }, 'rené']])
})

test('the token file is replaced as a whole', () => {
  const path = join(folder, 'again.token')
  writeAdminToken(path, 'A'.repeat(43))
  writeAdminToken(path, 'B'.repeat(43))
  assert.equal(readAdminToken(path), 'B'.repeat(43))
  assert.equal(existsSync(`${path}.${process.pid}.new`), false)
  writeAdminToken(path, 'short')
  assert.throws(() => readAdminToken(path), AdminError)
  assert.throws(() => readAdminToken(join(folder, 'none')), AdminError)
})

test('a token is compared whole', () => {
  const check = createTokenCheck('abc')
  assert.deepEqual([check('abc'), check('abcd'), check('ab'), check('')], [true, false, false, false])
})

test('host headers', () => {
  const rows = [
    ['localhost', 'localhost'],
    ['LOCALHOST:80', 'localhost'],
    ['[::1]:8080', '::1'],
    ['[::1', undefined],
    ['a b', undefined],
    ['a,b', undefined],
    ['user@localhost', undefined],
    ['', undefined],
    ['[1.2]', undefined],
  ] as const
  for (const [text, host] of rows) assert.equal(parseHostHeader(text), host, text)
  const local = createHostCheck('127.0.0.2')
  assert.deepEqual(['127.0.0.2', 'localhost:1', 'evil.example', undefined].map(local), [true, true, false, false])
  const wide = createHostCheck('0.0.0.0')
  assert.deepEqual(['gateway.internal', '10.0.0.1:9', undefined].map(wide), [true, true, false])
})
