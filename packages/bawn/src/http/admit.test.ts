import assert from 'node:assert/strict'
import type { createServer } from 'node:http'
import { test } from 'node:test'
import { codeOf, get, send, startDoor, startUpstream } from './kit.test.ts'

/** Answers with what it got. */
const echo: Parameters<typeof createServer>[1] = (request, response) => {
  const pieces: Buffer[] = []
  request.on('data', bytes => pieces.push(bytes))
  request.on('end', () => {
    response.setHeader('X-Powered-By', 'echo')
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: Buffer.concat(pieces).toString(),
      }),
    )
  })
}

const guarded = {
  routes: [
    { path: '/staff/{id}', allow: ['staff'] },
    { path: '/open', allow: ['anyone'] },
    { path: '/any', allow: ['authenticated'] },
  ],
}

test('who may come in', async t => {
  const upstream = await startUpstream(t, echo)
  const kit = await startDoor(t, { upstream, ...guarded })
  const rows: readonly {
    name: string
    target: string
    headers?: string[]
    status: number
    code?: string
    challenge?: string
    trail: string
  }[] = [
    {
      name: 'the right role',
      target: '/staff/1',
      headers: ['Authorization: Bearer alice'],
      status: 200,
      trail: 'permit staff',
    },
    {
      name: 'no credential',
      target: '/staff/1',
      status: 401,
      code: 'authn.required',
      challenge: 'Bearer realm="bawn"',
      trail: 'deny host_rules.0 authn.required',
    },
    {
      name: 'the wrong role',
      target: '/staff/1',
      headers: ['Authorization: Bearer bob'],
      status: 403,
      code: 'policy.denied',
      challenge: 'Bearer realm="bawn", error="insufficient_scope"',
      trail: 'deny no policy permits policy.denied',
    },
    {
      name: 'a token that ran out',
      target: '/staff/1',
      headers: ['Authorization: Bearer expired'],
      status: 401,
      code: 'authn.failed',
      challenge: 'Bearer realm="bawn", error="invalid_token", error_description="The token is not accepted"',
      trail: 'deny host_rules.0, jwt expired',
    },
    {
      name: 'a bad token where none is needed',
      target: '/open',
      headers: ['Authorization: Bearer nobody'],
      status: 401,
      code: 'authn.failed',
      trail: 'deny host_rules.0, jwt untrusted',
    },
    {
      name: 'Basic where none is needed',
      target: '/open',
      headers: ['Authorization: Basic YTpi'],
      status: 401,
      code: 'authn.failed',
      trail: 'deny host_rules.0 untrusted',
    },
    { name: 'nothing where none is needed', target: '/open', status: 200, trail: 'permit anyone' },
    {
      name: 'anybody with a token',
      target: '/any',
      headers: ['Authorization: Bearer bob'],
      status: 200,
      trail: 'permit authenticated',
    },
    {
      name: 'two headers',
      target: '/any',
      headers: ['Authorization: Bearer alice', 'Authorization: Bearer bob'],
      status: 400,
      code: 'http.bad_authorization',
      trail: 'deny host_rules.0 malformed',
    },
    {
      name: 'a token in the query',
      target: '/any?access_token=alice',
      status: 401,
      code: 'authn.required',
      trail: 'deny host_rules.0 authn.required',
    },
    {
      name: 'the issuer is away',
      target: '/any',
      headers: ['Authorization: Bearer outage'],
      status: 503,
      code: 'http.cannot_authenticate',
      trail: 'error host_rules.0, jwt http.cannot_authenticate',
    },
    {
      name: 'an unknown path',
      target: '/none',
      status: 404,
      code: 'http.not_found',
      trail: 'deny no route http.not_found',
    },
    {
      name: 'a path in two readings',
      target: '/open/..%2fstaff/1',
      status: 400,
      code: 'http.bad_path',
      trail: 'error well-formed path http.bad_path',
    },
  ]
  for (const row of rows) {
    await t.test(row.name, async () => {
      const answer = await get(kit.port, row.target, row.headers)
      assert.equal(answer.status, row.status, answer.body)
      if (row.code !== undefined) assert.equal(codeOf(answer), row.code)
      if (row.challenge !== undefined) assert.equal(answer.headers.get('www-authenticate'), row.challenge)
      if (row.status === 401) assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm/)
      if (row.status === 503) assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/)
      const event = kit.events.at(-1)
      assert.equal([event?.decision, event?.rule, event?.code].filter(Boolean).join(' '), row.trail)
      if (row.code !== undefined)
        assert.ok(!answer.body.includes('none') && !answer.body.includes('staff'), 'nothing of the request')
    })
  }
  assert.equal(kit.events.length, rows.length)
  assert.equal(kit.logged.length, 1, 'only what an operator can do something about')
  assert.equal(kit.logged[0]?.message, 'who is asking cannot be decided')
})

test('405 names the methods; HEAD is for routes that list it and has no body', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.setHeader('Content-Length', 5)
    response.end()
  })
  const kit = await startDoor(t, {
    upstream,
    routes: [
      { path: '/a', methods: ['POST', 'GET'] },
      { path: '/b', methods: ['HEAD'] },
    ],
  })
  const head = (path: string): string => `HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  const refused = await send(kit.port, head('/a'))
  assert.equal(refused.status, 405)
  assert.equal(refused.headers.get('allow'), 'GET, POST')
  assert.equal(refused.body, '')
  const served = await send(kit.port, head('/b'))
  assert.equal(served.status, 200)
  assert.equal(served.body, '')
  assert.equal(served.headers.get('content-length'), '5')
})

test('where a host rule has to ask DNS, the request waits; where DNS does not say, it is 503 on every route', async t => {
  const upstream = await startUpstream(t, echo)
  const late = await startDoor(t, {
    upstream,
    ...guarded,
    hostRules: { match: async () => ({ kind: 'matched', rule: 'by-name', use: ['jwt'] }) },
  })
  assert.equal((await get(late.port, '/any', ['Authorization: Bearer alice'])).status, 200)
  const silent = { kind: 'undecided', rule: 'by-name', why: 'DNS is silent' } as const
  for (const match of [() => silent, async () => silent]) {
    const kit = await startDoor(t, { upstream, ...guarded, hostRules: { match } })
    for (const target of ['/open', '/any']) {
      const answer = await get(kit.port, target, ['Authorization: Bearer alice'])
      assert.deepEqual([answer.status, codeOf(answer)], [503, 'authn.host_undecided'])
      const event = kit.events.at(-1)
      assert.deepEqual([event?.decision, event?.rule, event?.code], ['error', 'by-name', 'authn.host_undecided'])
    }
    assert.deepEqual(kit.logged[0]?.message, 'who may ask from here cannot be decided')
  }
})

test('host rules decide whether and with what anybody may come', async t => {
  const upstream = await startUpstream(t, echo)
  const closed = await startDoor(t, { upstream, ...guarded, hostRules: { match: () => ({ kind: 'none' }) } })
  assert.equal(codeOf(await get(closed.port, '/open')), 'http.refused_here')
  const asked: unknown[] = []
  const without = await startDoor(t, {
    upstream,
    ...guarded,
    hostRules: {
      match: client => {
        asked.push(client)
        return { kind: 'matched', rule: 'no-tokens', use: ['scram'] }
      },
    },
  })
  assert.equal((await get(without.port, '/open')).status, 200)
  assert.equal(codeOf(await get(without.port, '/any')), 'http.refused_here')
  assert.equal(codeOf(await get(without.port, '/open', ['Authorization: Bearer alice'])), 'http.refused_here')
  assert.deepEqual(asked[0], {
    door: 'http',
    user: undefined,
    address: '127.0.0.1',
    tls: false,
    database: undefined,
    route: '/open',
  })
  const noIssuer = await startDoor(t, { upstream, ...guarded, mechanisms: [] })
  assert.equal(codeOf(await get(noIssuer.port, '/any', ['Authorization: Bearer alice'])), 'http.refused_here')
})

test('where the credential is the upstream’s own, it passes unjudged', async t => {
  const upstream = await startUpstream(t, echo)
  const kit = await startDoor(t, { upstream, routes: [{ path: '/login', request_headers: ['Authorization'] }] })
  const answer = await get(kit.port, '/login', ['Authorization: Basic YTpi'])
  assert.equal(JSON.parse(answer.body).headers.authorization, 'Basic YTpi')
})
