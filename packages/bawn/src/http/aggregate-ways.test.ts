import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { createIdentity } from '../authn/identity.ts'
import { policyOptions } from '../policy/option.ts'
import { createJwtSigner } from '../tokens/jwt-signer.ts'
import { signingOptions } from '../tokens/signing-option.ts'
import { codeOf, field, get, type KitOptions, post, sealed, send, startDoor, startUpstream } from './kit.test.ts'

// How several backends are asked, and what becomes of the whole: real servers, through the door.

const alice = 'Authorization: Bearer alice'
const bob = 'Authorization: Bearer bob'

interface Seen {
  readonly name: string
  readonly line: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}
type Handler = (request: IncomingMessage, response: ServerResponse) => void

const says =
  (body: string, status = 200): Handler =>
  (_, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(body)
  }

/** A door before the servers `main`, `b` and `c`, which do what `handlers` says at the moment, when they have the whole request. */
async function start(t: TestContext, routes: KitOptions['routes'], more: Partial<KitOptions> = {}) {
  const handlers: Record<string, Handler> = {}
  const seen: Seen[] = []
  const server = (name: string): Promise<string> =>
    startUpstream(t, (request, response) => {
      const pieces: Buffer[] = []
      request.on('data', piece => pieces.push(piece))
      request.on('end', () => {
        const { method, url, headers } = request
        seen.push({ name, line: `${method} ${url}`, headers, body: Buffer.concat(pieces).toString() })
        const handler = handlers[name] ?? says('{}')
        handler(request, response)
      })
    })
  const otherUpstreams = { b: await server('b'), c: await server('c') }
  const kit = await startDoor(t, { upstream: await server('main'), otherUpstreams, routes: routes ?? [], ...more })
  const lines = (): string[] => seen.splice(0).map(({ name, line }) => `${name} ${line}`)
  return { kit, handlers, seen, lines }
}

test('one after the other, each with what those before it answered', async t => {
  const { kit, handlers, lines } = await start(t, [
    {
      path: '/page/{id}',
      sequential: true,
      query: ['q', 'Customer', 'customer[]', 'customer[x]', 'customers'],
      backends: [
        { upstream: 'main', name: 'user', upstream_path: '/users/{id}', target: 'data', allow: ['name'] },
        {
          upstream: 'b',
          name: 'orders',
          upstream_path: '/by/{answers.user.account.number}',
          upstream_query: { customer: '{answers.user.id}', page: '{id}', kind: 'a b&c', list: '{answers.user.tags.1}' },
          collection: true,
          required: false,
        },
        { upstream: 'c', upstream_path: '/{answers.orders.0.ref}/x', required: false },
      ],
    },
  ])
  const user = { id: 'A/1?x=1&y;z', account: { number: '__n__' }, tags: [1, true], name: 'Ann' }
  const number = '12345678901234567890'
  handlers['main'] = says(JSON.stringify({ data: user }).replace('"__n__"', number))
  handlers['b'] = says('[{"ref":"é x"}]')
  handlers['c'] = says('{"last":1}')
  const answer = await get(kit.port, '/page/7?q=1;customer=2&Customer=3&z=4&customer%5B%5D=5&customer[x]=6&customers=7')
  assert.deepEqual([answer.status, answer.body], [200, '{"name":"Ann","collection":[{"ref":"é x"}],"last":1}'])
  assert.equal(answer.headers.get('x-bawn-complete'), 'true')
  assert.deepEqual(lines(), [
    'main GET /users/7?q=1%3Bcustomer=2&Customer=3&customer%5B%5D=5&customer[x]=6&customers=7',
    `b GET /by/${number}?q=1%3Bcustomer=2&customers=7&customer=A%2F1%3Fx%3D1%26y%3Bz&page=7&kind=a%20b%26c&list=true`,
    'c GET /%C3%A9%20x/x?q=1%3Bcustomer=2&Customer=3&customer%5B%5D=5&customer[x]=6&customers=7',
  ])

  // What cannot be one segment of a path, or is missing, asks nobody; who is left out leaves out who needs it.
  const unusable = [
    ...['..', '.', '', 'a/b', 'a\\b', 'a%2fb', 'a;b', '\u0000', '\n', 'x'.repeat(1_025)],
    ...[null, {}, [], undefined],
  ]
  for (const bad of unusable) {
    handlers['b'] = says(JSON.stringify([{ ref: bad }]))
    const got = await get(kit.port, '/page/7')
    assert.deepEqual([got.status, got.headers.get('x-bawn-complete')], [200, 'false'], JSON.stringify(bad))
    assert.equal(lines().length, 2, JSON.stringify(bad))
  }
  handlers['b'] = says('{}', 500)
  assert.equal((await get(kit.port, '/page/7')).body, '{"name":"Ann"}')
  assert.equal(lines().length, 2)
  handlers['main'] = says('{}', 500)
  assert.equal(codeOf(await get(kit.port, '/page/7')), 'http.backend_failed')
  assert.deepEqual(lines(), ['main GET /users/7'])
})

test('what each backend gets is made once, and not once more to see whether it can be', async t => {
  let read = 0
  const claims = Object.defineProperty({}, 'tenant', {
    enumerable: true,
    get() {
      read += 1
      return 'acme'
    },
  })
  const mechanism: HttpMechanism = {
    name: 'jwt',
    carries: { headers: [], query: [] },
    authenticate: () => ({
      kind: 'identified',
      identity: createIdentity({
        ...{ id: 'ann', roles: ['staff'], claims, clientId: undefined },
        ...{ mechanism: 'jwt', source: undefined, expiresAt: undefined },
      }),
    }),
    challenge: () => 'Bearer',
  }
  const tenant = { upstream_path: '/{identity.claims.tenant}' }
  const { kit, handlers, lines } = await start(
    t,
    [
      {
        path: '/page',
        allow: ['staff'],
        backends: [
          { upstream: 'main', ...tenant },
          { upstream: 'b', ...tenant },
        ],
      },
      {
        path: '/chain',
        allow: ['staff'],
        sequential: true,
        backends: [
          { upstream: 'main', name: 'first', ...tenant },
          { upstream: 'b', upstream_path: '/{identity.claims.tenant}/{answers.first.id}' },
        ],
      },
    ],
    { mechanisms: [mechanism] },
  )
  handlers['main'] = says('{"id":7}')
  assert.equal((await get(kit.port, '/page')).status, 200)
  assert.deepEqual(lines().sort(), ['b GET /acme', 'main GET /acme'])
  assert.equal(read, 2)
  read = 0
  assert.equal((await get(kit.port, '/chain')).status, 200)
  assert.deepEqual(lines(), ['main GET /acme', 'b GET /acme/7'])
  assert.equal(read, 3, 'what goes by an answer is known only then')
})

test('behind a slow backend, the token that says who asks is made anew when it has run out', async t => {
  const ids: unknown[] = []
  const signed = { header: 'X-Who', signing: 'ours', ttl: '1s' }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = createJwtSigner('ours', signingOptions.parse({ key: 'env:K' }), () =>
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const { kit, handlers } = await start(
    t,
    [
      {
        path: '/chain',
        allow: ['staff'],
        sequential: true,
        identity_headers: { signed },
        backends: [{ upstream: 'main' }, { upstream: 'b' }],
      },
    ],
    { signers: new Map([['ours', signer]]) },
  )
  const note =
    (delayMs: number): Handler =>
    ({ headers }, response) => {
      const payload = String(headers['x-who']).split('.')[1] ?? ''
      ids.push(JSON.parse(Buffer.from(payload, 'base64url').toString()).jti)
      setTimeout(() => says('{}')({ headers } as IncomingMessage, response), delayMs)
    }
  handlers['main'] = note(1_200)
  handlers['b'] = note(0)
  assert.equal((await get(kit.port, '/chain', [alice])).status, 200)
  assert.deepEqual([ids.length, new Set(ids).size], [2, 2])
})

test('a write and what is read after it; only who writes gets the body', async t => {
  const { kit, handlers, seen, lines } = await start(t, [
    {
      path: '/orders',
      methods: ['POST'],
      sequential: true,
      max_json_bytes: 1_000,
      backends: [
        { upstream: 'main', name: 'made' },
        { upstream: 'b', method: 'GET', upstream_path: '/stock/{answers.made.id}', group: 'stock' },
        { upstream: 'c', method: 'PATCH', upstream_path: '/log' },
      ],
    },
    { path: '/one', methods: ['POST', 'DELETE'], backends: [{ upstream: 'main' }, { upstream: 'b', method: 'GET' }] },
  ])
  handlers['main'] = says('{"id":7}', 201)
  handlers['b'] = says('{"left":2}')
  handlers['c'] = says('', 204)
  const sent = ['Content-Type: application/json', 'Content-Language: de', 'If-Match: "1"']
  const answer = await post(kit.port, '/orders', '{"n":1}', sent)
  assert.deepEqual([answer.status, answer.body], [200, '{"id":7,"stock":{"left":2}}'])
  assert.deepEqual(
    seen.map(({ headers, body }) => [
      body,
      ...['content-type', 'content-language', 'content-length', 'transfer-encoding', 'if-match'].map(
        name => headers[name],
      ),
    ]),
    [
      ['{"n":1}', 'application/json', 'de', '7', undefined, '"1"'],
      ['', undefined, undefined, undefined, undefined, undefined],
      ['{"n":1}', 'application/json', 'de', '7', undefined, '"1"'],
    ],
  )
  assert.deepEqual(lines(), ['main POST /orders', 'b GET /stock/7', 'c PATCH /log'])
  assert.equal(answer.headers.get('cache-control'), 'no-store')

  // After a failure nobody else is asked.
  handlers['main'] = says('{}', 409)
  assert.equal(codeOf(await post(kit.port, '/orders', '{}')), 'http.backend_failed')
  assert.deepEqual(lines(), ['main POST /orders'])

  handlers['main'] = says('{"id":7}')
  assert.equal((await post(kit.port, '/one', 'x')).body, '{"id":7,"left":2}')
  const gone = await send(kit.port, 'DELETE /one HTTP/1.1\r\nHost: gate.example\r\n\r\n')
  assert.equal(gone.body, '{"id":7,"left":2}')
  const chunked = 'POST /one HTTP/1.1\r\nHost: gate.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'
  assert.equal((await send(kit.port, chunked)).status, 200)
  assert.deepEqual(seen.map(({ name, line, body }) => `${name} ${line} ${body}`.trim()).sort(), [
    'b GET /one',
    'b GET /one',
    'b GET /one',
    'main DELETE /one',
    'main POST /one abc',
    'main POST /one x',
  ])
  lines()
  // A body over the limit goes to nobody, said or not.
  const long = 'x'.repeat(1_001)
  assert.equal(codeOf(await post(kit.port, '/orders', long)), 'http.body_too_large')
  const inChunks = `POST /orders HTTP/1.1\r\nHost: gate.example\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${long}\r\n0\r\n\r\n`
  assert.equal(codeOf(await send(kit.port, inChunks)), 'http.body_too_large')
  assert.deepEqual(lines(), [])
})

test('what each backend sees of the caller is what the route lets through, or less', async t => {
  const { kit, seen } = await start(t, [
    {
      path: '/a',
      allow: ['staff'],
      request_headers: ['X-A', 'X-B', 'Cookie'],
      query: ['a', 'b'],
      identity_headers: { id: 'X-Who' },
      backends: [
        { upstream: 'main' },
        { upstream: 'b', request_headers: ['x-a'], query: ['b'] },
        { upstream: 'c', request_headers: [], query: [], upstream_query: { who: '{identity.id}' } },
      ],
    },
  ])
  const headers = [alice, 'X-A: 1', 'X-B: 2', 'X-C: 3', 'Cookie: k=v', 'X-Who: root']
  assert.equal((await get(kit.port, '/a?a=1&b=2&c=3&who=root', headers)).status, 200)
  assert.deepEqual(
    seen
      .map(({ name, line, headers: got }) =>
        [name, line, got['x-a'], got['x-b'], got['x-c'], got['cookie'], got['x-who'], got['authorization']].join(' '),
      )
      .sort(),
    ['b GET /a?b=2 1    alice ', 'c GET /a?who=alice     alice ', 'main GET /a?a=1&b=2 1 2  k=v alice '],
  )
})

test('fields of the merged answer are shown as each role may see them, and sealed on the way in', async t => {
  const fields = [
    field('email', [{ route: '/people/{id}', path: ['user', 'email'], carries: 'sealed' }]),
    field('phone', [{ route: '/people/{id}', path: ['phones', '*', 'number'], carries: 'plain' }]),
  ]
  const { kit, handlers, seen } = await start(
    t,
    [
      {
        path: '/people/{id}',
        methods: ['GET', 'POST'],
        allow: ['staff', 'billing'],
        cache_max_age: '1m',
        backends: [
          { upstream: 'main', group: 'user' },
          { upstream: 'b', method: 'GET', collection: true, mapping: { collection: 'phones' }, required: false },
        ],
      },
    ],
    { fields },
  )
  handlers['main'] = says(JSON.stringify({ email: sealed('ann@x'), n: 1 }))
  handlers['b'] = says('[{"number":"555"}]')
  const plain = await get(kit.port, '/people/1', [bob])
  assert.equal(plain.body, '{"user":{"email":"ann@x","n":1},"phones":[{"number":"555"}]}')
  assert.equal(plain.headers.get('cache-control'), 'private, no-store')
  const masked = await get(kit.port, '/people/1', [alice])
  assert.equal(masked.body, '{"user":{"email":"a***","n":1},"phones":[{"number":"5***"}]}')
  assert.deepEqual(
    kit.events.map(({ fields: uses }) => uses?.map(({ field: name, as, count }) => `${name} ${as} ${count}`)),
    [
      ['email plain 1', 'phone plain 1'],
      ['email masked 1', 'phone masked 1'],
    ],
  )
  seen.splice(0)
  const body = '{"user":{"email":"eve@x"}}'
  const made = await post(kit.port, '/people/1', body, [alice, 'Content-Type: application/json'])
  assert.equal(made.status, 200)
  assert.equal(seen.find(({ name }) => name === 'main')?.body, `{"user":{"email":"${sealed('eve@x')}"}}`)
  assert.equal(seen.find(({ name }) => name === 'b')?.body, '')
  assert.deepEqual(
    kit.events.at(-1)?.fields?.map(({ field: name, as }) => `${name} ${as}`),
    ['email sealed', 'email masked', 'phone masked'],
  )
  // What cannot be proved to be what the place says is not shown, whichever backend said it.
  for (const bad of ['{"email":"not sealed"}', '{"email":{"a":"x"}}', '{"Email":"x"}']) {
    handlers['main'] = says(bad)
    const refused = await get(kit.port, '/people/1', [bob])
    assert.ok([500, 502].includes(refused.status), bad)
    assert.doesNotMatch(refused.body, /sealed"|"x"|555/)
  }
  handlers['main'] = says('{"n":1}')
  handlers['b'] = says('[]', 500)
  const partial = await get(kit.port, '/people/1', [bob])
  assert.deepEqual([partial.body, partial.headers.get('x-bawn-complete')], ['{"user":{"n":1}}', 'false'])
})

test('policies see the merged answer, and a login of several backends is signed', async t => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = createJwtSigner(
    'ours',
    signingOptions.parse({ key: 'env:K', issuer: 'https://gate.example', jwks: '/keys' }),
    () => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const backends = [{ upstream: 'main' }, { upstream: 'b', group: 'b' }]
  const { kit, handlers } = await start(
    t,
    [
      { path: '/a', allow: ['authenticated'], response_allow: ['open'], backends },
      {
        path: '/login',
        methods: ['POST'],
        sign: { signing: 'ours', members: ['b'] },
        backends: [...backends.slice(0, 1), { ...backends[1], method: 'GET' }],
      },
    ],
    {
      signers: new Map([['ours', signer]]),
      policies: { open: policyOptions.parse("response.status == 200 && response.body.b.label == 'public'") },
    },
  )
  handlers['main'] = says('{"secret":1}')
  handlers['b'] = says('{"label":"public"}')
  assert.equal((await get(kit.port, '/a', [alice])).body, '{"secret":1,"b":{"label":"public"}}')
  handlers['b'] = says('{"label":"own"}')
  const withheld = await get(kit.port, '/a', [alice])
  assert.deepEqual([withheld.status, codeOf(withheld)], [403, 'policy.withheld'])
  handlers['b'] = says('{"sub":"ann"}')
  const login = await post(kit.port, '/login', '{}')
  const { secret, b } = JSON.parse(login.body)
  assert.equal(secret, 1)
  assert.equal(JSON.parse(Buffer.from(String(b).split('.')[1] ?? '', 'base64url').toString()).sub, 'ann')
  assert.equal(login.headers.get('cache-control'), 'private, no-store')
})

test('limits of time and size are for each backend, and for all together', async t => {
  const slow: Handler = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.write('{"a":')
    const timer = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(timer))
  }
  const two = [{ upstream: 'main' }, { upstream: 'b', required: false }]
  const { kit, handlers, lines } = await start(t, [
    { path: '/each', backends: [two[0], { ...two[1], response_timeout: '100ms' }] },
    { path: '/all', response_timeout: '200ms', sequential: true, backends: two },
    {
      path: '/late',
      methods: ['POST'],
      response_timeout: '100ms',
      sequential: true,
      backends: [{ ...two[1], method: 'GET' }, two[0]],
    },
    { path: '/big', max_json_bytes: 100, backends: [{ ...two[0], max_json_bytes: 80 }, two[1]] },
  ])
  handlers['main'] = says('{"m":1}')
  handlers['b'] = slow
  for (const path of ['/each', '/all']) {
    const answer = await get(kit.port, path)
    assert.deepEqual([answer.body, answer.headers.get('x-bawn-complete')], ['{"m":1}', 'false'], path)
  }
  // When the time is over nobody is asked any more: it would be done, and the answer would say that it was not.
  lines()
  assert.equal(codeOf(await post(kit.port, '/late', '{}')), 'http.backend_failed')
  await get(kit.port, '/each')
  const asked = lines()
  assert.deepEqual([asked[0], asked.includes('main POST /late')], ['b GET /late', false])
  handlers['main'] = slow
  assert.equal(codeOf(await get(kit.port, '/all')), 'http.backend_failed')
  const sized = (bytes: number): string => JSON.stringify({ a: 'x'.repeat(bytes - 8) })
  handlers['main'] = says(sized(80))
  handlers['b'] = says('{"b":1}')
  assert.equal((await get(kit.port, '/big')).headers.get('x-bawn-complete'), 'true')
  handlers['b'] = says(sized(21))
  assert.equal((await get(kit.port, '/big')).headers.get('x-bawn-complete'), 'false')
  handlers['main'] = says(sized(81))
  assert.equal((await get(kit.port, '/big')).status, 502)
})
