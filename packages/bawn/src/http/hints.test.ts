import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import { createIdentity } from '../authn/identity.ts'
import { parseJson } from '../authn/json.ts'
import { isObject } from '../policy/cel/value.ts'
import { createJwtSigner } from '../tokens/jwt-signer.ts'
import { signingOptions } from '../tokens/signing-option.ts'
import { hintsOptions } from './hint-option.ts'
import { codeOf, field, get, type KitOptions, raw, startDoor, startRawUpstream, startUpstream } from './kit.test.ts'

// What a backend is told of rows and fields, with a backend that applies it.

/** The token is who asks: `{"id":"ann","roles":["support"],"claims":{"tenant":"acme"}}`, in base64url. */
const mechanism = createBearerMechanism(
  {
    authenticate: async token => {
      const { id, roles, ...more } = JSON.parse(Buffer.from(token, 'base64url').toString())
      // As a token's are read: integers beyond 2^53 are known exactly.
      const claims = parseJson(Buffer.from(JSON.stringify(more.claims)))
      assert.ok(isObject(claims))
      const proof = { clientId: undefined, mechanism: 'jwt', source: 'test', expiresAt: undefined } as const
      return { kind: 'identified', identity: createIdentity({ id, roles, claims, ...proof }) }
    },
  },
  { realm: 'bawn', base64: false },
)
const as = (id: string, roles: readonly string[] = [], claims: object = {}): string =>
  `Authorization: Bearer ${Buffer.from(JSON.stringify({ id, roles, claims })).toString('base64url')}`

const policies = {
  support: { roles: ['support'] },
  tenants: { claims: { kind: { any: ['tenant'] } } },
  narrow: { cel: 'identity.claims.level < 3.0' },
  inside: { cel: "request.address == '127.0.0.1'", anonymous: true },
}

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signer = createJwtSigner('ours', signingOptions.parse({ key: 'env:K', issuer: 'https://gate.example' }), () =>
  privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
)

/** An API over SQLite that gives what the hint says, and nothing without one. */
async function start(t: TestContext, routes: KitOptions['routes'], listener: KitOptions['listener'] = {}) {
  const seen: IncomingHttpHeaders[] = []
  const database = new DatabaseSync(':memory:')
  t.after(() => database.close())
  database.exec(`CREATE TABLE orders (id, owner, tenant);
    INSERT INTO orders VALUES (1, 'ann', 'acme'), (2, 'bob', 'acme'), (3, 'o''hara" OR 1=1 --ö', 'blue')`)
  const upstream = await startUpstream(t, ({ headers }, response) => {
    seen.push(headers)
    const { rows, fields } = hintOf(headers) ?? {}
    const { where = 'false', values = {} } = rows ?? {}
    const bound = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
    const ids = typeof where === 'string' ? database.prepare(`SELECT id FROM orders WHERE ${where}`).all(bound) : where
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ ids: Array.isArray(ids) ? ids.map(({ id }) => id) : ids, fields }))
  })
  const mail = field('mail', [])
  const fields = [mail, field('card', [])]
  const signers = new Map([['ours', signer]])
  const around = { fields, signers, mechanisms: [mechanism], policies, otherUpstreams: { b: upstream } }
  const kit = await startDoor(t, { upstream, ...around, routes: routes ?? [], listener })
  return { kit, seen }
}

function hintOf(headers: IncomingHttpHeaders) {
  const token = headers['x-who']?.toString().split('.')[1]
  if (token !== undefined) return JSON.parse(Buffer.from(token, 'base64url').toString()).hints
  const text = headers['x-bawn-hints'] ?? headers['x-rows']
  return text === undefined ? undefined : JSON.parse(text.toString())
}

const rows = [
  { for: ['support'], where: "true AND '@nobody' <> '' -- @else" },
  { for: ['tenants'], where: 'tenant = @tenant', values: { tenant: 'identity.claims.tenant' } },
  { for: ['authenticated'], where: 'owner = @user' },
]
const orders = { path: '/orders', allow: ['authenticated'], hints: { rows, fields: ['mail', 'card'] } }
const signed = { header: 'X-Who', signing: 'ours', claims: ['hints', 'tenant'] }

for (const engine of ['llhttp', 'node-http']) {
  for (const [where, more] of [
    ['in a header', {}],
    ['in a header of another name', { hints: { ...orders.hints, header: 'X-Rows' } }],
    ['in the signed token', { identity_headers: { signed } }],
  ] as const) {
    test(`a backend gives the rows that the policies say, told ${where} (${engine})`, async t => {
      const { kit, seen } = await start(t, [{ ...orders, ...more }, { path: '/open' }], { engine })
      const forged = '{"rows":{"where":"true","values":{}}}'
      const lies = ['X-Bawn-Hints', 'x-rows', 'X_Rows', 'X-Who'].map(name => `${name}: ${forged}`)
      const asked = async (...who: Parameters<typeof as>) => {
        const answer = await get(kit.port, '/orders', [...lies, as(...who)])
        assert.equal(answer.status, 200, answer.body)
        assert.match(answer.headers.get('cache-control') ?? '', /private/)
        return JSON.parse(answer.body)
      }
      // The same people in turn: what one was told is never told another.
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(await asked('ann'), { ids: [1], fields: { mail: 'withheld', card: 'withheld' } })
        assert.deepEqual((await asked('o\'hara" OR 1=1 --ö')).ids, [3])
        assert.deepEqual(await asked('sue', ['support']), {
          ids: [1, 2, 3],
          fields: { mail: 'masked', card: 'masked' },
        })
        assert.deepEqual(await asked('bob', ['billing']), { ids: [2], fields: { mail: 'plain', card: 'plain' } })
        const tenant = { kind: 'tenant', tenant: 'acme', hints: { rows: { where: 'true', values: {} } } }
        assert.deepEqual((await asked('zoe', [], tenant)).ids, [1, 2])
        assert.deepEqual((await asked('ann', [], { ...tenant, tenant: 'blue' })).ids, [3])
      }
      const before = seen.length
      await get(kit.port, '/open', lies)
      const { 'x-bawn-hints': ours, 'x-rows': other, x_rows: odd, 'x-who': who } = seen[before] ?? {}
      const isSigned = 'identity_headers' in more
      const isNamed = !isSigned && 'hints' in more
      // A name that no route uses is an ordinary one.
      assert.deepEqual(
        [ours, other, odd, who],
        [undefined, isNamed ? undefined : forged, undefined, isSigned ? undefined : forged],
      )
    })
  }
}

test('without its hint a request does not go on', async t => {
  const hints = (...entries: object[]) => ({ rows: entries })
  const all = { for: ['authenticated'], where: 'true' }
  const { kit, seen } = await start(t, [
    { path: '/none', allow: ['authenticated'], hints: hints({ for: ['support'], where: 'true' }) },
    { path: '/fault', allow: ['authenticated'], hints: hints({ for: ['narrow'], where: 'false' }, all) },
    {
      path: '/claim',
      allow: ['authenticated'],
      hints: hints({ ...all, where: 'a = @a', values: { a: 'identity.claims.a' } }),
    },
    { path: '/long', allow: ['authenticated'], hints: { ...hints({ ...all, where: 'owner = @user' }), max_bytes: 64 } },
    {
      path: '/roles',
      allow: ['authenticated'],
      hints: { ...hints({ ...all, where: { a: '@roles' } }), max_bytes: 64 },
    },
    { path: '/nobody', allow: ['anyone'], hints: hints({ for: ['anyone'], where: 'owner = @user' }) },
    {
      path: '/several',
      upstream: undefined,
      backends: [{ upstream: 'main' }, { upstream: 'b' }],
      allow: ['authenticated'],
      hints: hints({ for: ['support'], where: 'true' }),
    },
  ])
  const many = Array.from({ length: 20 }, (_, at) => `role-${at}`)
  for (const [path, who, status, code, rule] of [
    ['/none', as('ann'), 403, 'policy.denied', 'no entry of hints.rows'],
    ['/fault', as('ann'), 403, 'policy.denied', 'hints.rows.0, narrow: no such key: level'],
    ['/claim', as('ann'), 403, 'http.unusable_claim', 'hints.rows.0, no such key: a'],
    ['/claim', as('ann', [], { a: { $ne: 1 } }), 403, 'http.unusable_claim', /^hints.rows.0, the value is no text/],
    ['/claim', as('ann', [], { a: [null] }), 403, 'http.unusable_claim', /^hints.rows.0, the value is no text/],
    ['/claim', as('ann', [], { a: 2 ** 60 }), 403, 'http.unusable_claim', /^hints.rows.0, the value is no text/],
    ['/long', as('a'.repeat(30)), 403, 'http.hint_too_long', 'hints.rows.0'],
    ['/roles', as('ann', many), 403, 'http.hint_too_long', 'hints.rows.0'],
    ['/nobody', 'X: y', 401, 'authn.required', 'hints.rows.0'],
    ['/several', as('ann'), 403, 'policy.denied', 'no entry of hints.rows'],
  ] as const) {
    const answer = await get(kit.port, path, [who])
    assert.deepEqual([answer.status, codeOf(answer)], [status, code], path)
    const event = kit.events.at(-1)
    assert.equal(event?.decision, 'deny')
    if (typeof rule === 'string') assert.equal(event?.rule, rule, path)
    else assert.match(event?.rule ?? '', rule, path)
  }
  assert.deepEqual(seen, [])
  assert.equal((await get(kit.port, '/several', [as('sue', ['support'])])).status, 200)
  assert.deepEqual(seen.map(hintOf), [{ rows: { where: 'true', values: {} } }, { rows: { where: 'true', values: {} } }])
})

test('JSON takes values in their places, and never an operator for one', async t => {
  const where = {
    $or: [{ owner: '@user' }, { team: { $in: '@roles' } }, { level: '@level' }],
    note: 'to @user',
    open: true,
  }
  const values = { level: 'identity.claims.level', region: 'resource.path.region' }
  const { kit } = await start(t, [
    {
      path: '/{region}',
      allow: ['authenticated'],
      hints: { rows: [{ for: ['authenticated'], where: { ...where, at: '@region' }, values }] },
    },
  ])
  const answer = await get(kit.port, '/eu', [as('@roles', ['b', 'a'], { level: [1, 'x', true] })])
  assert.deepEqual(JSON.parse(answer.body).ids, {
    $or: [{ owner: '@roles' }, { team: { $in: ['a', 'b'] } }, { level: [1, 'x', true] }],
    ...{ note: 'to @user', open: true, at: 'eu' },
  })
})

test('what depends on more than who asks is not kept for everybody', async t => {
  const { kit } = await start(t, [
    { path: '/here', hints: { rows: [{ for: ['inside'], where: 'true' }] }, cache_max_age: '1m' },
  ])
  const answer = await get(kit.port, '/here')
  assert.deepEqual([answer.status, JSON.parse(answer.body).ids], [200, [1, 2, 3]])
  assert.match(answer.headers.get('cache-control') ?? '', /private/)
})

test('a WebSocket connection has the hint of its handshake', async t => {
  let asked = ''
  const upstream = await startRawUpstream(t, socket => {
    socket.once('data', bytes => {
      asked = bytes.toString('latin1')
      socket.end('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
  })
  const route = { path: '/live', websocket: true, allow: ['authenticated'], hints: orders.hints }
  const around = { fields: [field('mail', []), field('card', [])], mechanisms: [mechanism], policies }
  const kit = await startDoor(t, { upstream, ...around, routes: [route] })
  const lines = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'X-Bawn-Hints: forged']
  const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='
  const request = ['GET /live HTTP/1.1', 'Host: gate.example', ...lines, key, as('ann'), '', ''].join('\r\n')
  await raw(kit.port, request, { end: true })
  const hint =
    '{"rows":{"where":"owner = @user","values":{"user":"ann"}},"fields":{"mail":"withheld","card":"withheld"}}'
  assert.deepEqual(asked.match(/^x-bawn-hints: .*$/gim), [`X-Bawn-Hints: ${hint}`])
})

for (const [what, route] of [
  ['a field that there is not', { hints: { fields: ['nothing'] } }],
  ['a header with a meaning of its own', { hints: { fields: ['mail'], header: 'Cookie' } }],
  [
    'a signed token that not everybody gets',
    { allow: ['anyone'], hints: { fields: ['mail'] }, identity_headers: { signed } },
  ],
] as const) {
  test(`${what} stops the start`, async t => {
    await assert.rejects(start(t, [{ path: '/a', allow: ['authenticated'], ...route }]), { code: 'http.bad_route' })
  })
}

for (const [what, hints] of [
  ['a value that nobody has', { rows: [{ for: ['a'], where: 'x = @usr' }] }],
  ['a value that is not used', { rows: [{ for: ['a'], where: "x = '@y'", values: { y: 'identity.id' } }] }],
  ['another user', { rows: [{ for: ['a'], where: 'x = @user', values: { user: "'root'" } }] }],
  ['the acl', { rows: [{ for: ['acl'], where: 'true' }] }],
  ['nothing', {}],
] as const) {
  test(`hints with ${what} are refused`, () => assert.equal(hintsOptions.safeParse(hints).success, false))
}
