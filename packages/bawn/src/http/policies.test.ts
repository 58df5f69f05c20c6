import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBearerMechanism, type TokenJudge } from '../authn/bearer.ts'
import { createIdentity } from '../authn/identity.ts'
import { policyOptions } from '../policy/option.ts'
import { get, post, startDoor, startUpstream } from './kit.test.ts'

// Policies as a client meets them: real requests, through the door.

const tokens: Readonly<
  Record<string, { readonly roles?: readonly string[]; readonly claims: Record<string, unknown> }>
> = {
  ann: { claims: { sub: 'ann', scope: 'orders:read', department: 'IT', level: 3, tags: ['a', 'b'] } },
  bob: {
    roles: ['support'],
    claims: { sub: 'bob', scp: ['orders:read', 'orders:write'], 'https://example.org/tenant': 'acme' },
  },
  odd: { claims: { sub: 7, scope: { a: 1 }, department: null, tags: 'a', realm: ['x'] } },
}
const judge: TokenJudge = {
  authenticate: token => {
    const known = Object.hasOwn(tokens, token) ? tokens[token] : undefined
    if (known === undefined) return { kind: 'rejected', reason: 'untrusted' }
    const { roles = [], claims } = known
    const proof = { clientId: undefined, mechanism: 'jwt', source: 'corp', expiresAt: undefined } as const
    return { kind: 'identified', identity: createIdentity({ id: token, roles, claims, ...proof }) }
  },
}
const mechanisms = [createBearerMechanism(judge, { realm: 'bawn', base64: false })]

const policies = Object.fromEntries(
  Object.entries({
    own: "identity.claims.sub == resource.path.customer || 'support' in identity.roles",
    reads: { scopes: ['orders:read'] },
    writes: { scopes: { all: ['orders:read', 'orders:write'] } },
    it: { claims: { department: ['IT', 'HR'] } },
    acme: { claims: { 'https://example.org/tenant': 'acme' } },
    tagged: { claims: { tags: { all: ['a', 'b'] } } },
    both: { roles: { any: ['support', 'admin'] }, cel: "request.method == 'GET'" },
    tenant: "request.headers['x-tenant'] == 'acme' && request.query.page == '1'",
    lan: { cel: "request.address == '127.0.0.1' && !request.secure", anonymous: true },
    level: 'identity.claims.level >= 3',
    missing: 'identity.claims.nothing.at.all == 1',
    huge: 'identity.claims.tags.all(a, identity.claims.tags.all(b, a == b))',
    spoofed: "request.headers.exists(name, name == 'x-user-id') || request.headers['x-user-id'] == 'root'",
    public_answer: "response.status == 200 && response.body.label == 'public'",
    small_status: { cel: 'response.status < 300', anonymous: true },
    json_type: "response.headers['content-type'].startsWith('application/json')",
  }).map(([name, policy]) => [name, policyOptions.parse(policy)]),
)

async function start(t: Parameters<typeof startDoor>[0], answer = '{"label":"public","secret":"s3cret"}') {
  const seen: string[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`)
    const [, , label] = (request.url ?? '').split('/')
    const type = label === 'text' ? 'text/plain' : 'application/json'
    const body = label === 'secret' ? '{"label":"secret","secret":"s3cret"}' : answer
    response.writeHead(label === 'teapot' ? 418 : 200, { 'Content-Type': type })
    response.end(body)
  })
  const allowed = Object.keys(policies).filter(name => !['public_answer', 'small_status', 'json_type'].includes(name))
  const routes = [
    ...allowed.map(name => ({
      path: `/${name}/{customer}`,
      methods: ['GET', 'POST'],
      upstream: 'main',
      allow: [name],
    })),
    {
      path: '/answers/{label}',
      methods: ['GET', 'POST'],
      upstream: 'main',
      allow: ['authenticated'],
      response_allow: ['public_answer'],
    },
    {
      path: '/statuses/{label}',
      methods: ['GET'],
      upstream: 'main',
      allow: ['anyone'],
      response_allow: ['small_status'],
    },
    {
      path: '/types/{label}',
      methods: ['GET'],
      upstream: 'main',
      allow: ['authenticated'],
      response_allow: ['json_type'],
    },
  ]
  const kit = await startDoor(t, { upstream, routes, policies, mechanisms })
  return { ...kit, seen }
}

const table: readonly (readonly [
  what: string,
  who: string | undefined,
  target: string,
  status: number,
  headers?: readonly string[],
])[] = [
  ['one’s own', 'ann', '/own/ann', 200],
  ['somebody else’s', 'ann', '/own/bob', 403],
  ['a role instead', 'bob', '/own/ann', 200],
  ['a claim of another type is not equal', 'odd', '/own/7', 403],
  ['nobody is asked to identify', undefined, '/own/ann', 401],
  ['a scope, in a text', 'ann', '/reads/1', 200],
  ['a scope, in a list', 'bob', '/reads/1', 200],
  ['a scope of a wrong shape is none', 'odd', '/reads/1', 403],
  ['a scope of two is missing', 'ann', '/writes/1', 403],
  ['all scopes', 'bob', '/writes/1', 200],
  ['a claim among those wanted', 'ann', '/it/1', 200],
  ['a claim that is missing', 'bob', '/it/1', 403],
  ['a claim that is null', 'odd', '/it/1', 403],
  ['a claim called by a URL', 'bob', '/acme/1', 200],
  ['all of a list', 'ann', '/tagged/1', 200],
  ['a text where a list is wanted', 'odd', '/tagged/1', 403],
  ['a role and an expression', 'bob', '/both/1', 200],
  ['an expression without the role', 'ann', '/both/1', 403],
  ['a header and a parameter', 'ann', '/tenant/1?page=1', 200, ['X-Tenant: acme']],
  ['without the header', 'ann', '/tenant/1?page=1', 403],
  ['the header twice', 'ann', '/tenant/1?page=1', 403, ['X-Tenant: acme', 'X-Tenant: other']],
  ['the parameter twice', 'ann', '/tenant/1?page=1&page=2', 403, ['X-Tenant: acme']],
  ['the parameter twice, once encoded', 'ann', '/tenant/1?page=1&%70age=2', 403, ['X-Tenant: acme']],
  ['the address, of who is not identified', undefined, '/lan/1', 200],
  ['a number of JSON', 'ann', '/level/1', 200],
  ['a number that is missing', 'bob', '/level/1', 403],
  ['what has no answer', 'ann', '/missing/1', 403],
  ['an identity header from a caller is not there', 'ann', '/spoofed/1', 403, ['X-User-Id: root']],
]

test('policies decide about requests', async t => {
  const { port, seen, events } = await start(t)
  for (const [what, who, target, status, headers = []] of table) {
    const before = seen.length
    const answer = await get(port, target, [...headers, ...(who === undefined ? [] : [`Authorization: Bearer ${who}`])])
    assert.equal(answer.status, status, what)
    assert.equal(
      seen.length - before,
      status === 200 ? 1 : 0,
      `${what}: the upstream is asked only where it is permitted`,
    )
  }
  const rules = events.map(event => ('rule' in event ? event.rule : ''))
  assert(rules.includes('missing: no such key: nothing'), 'what has no answer is in the trail, with the policy’s name')
  assert(rules.includes('own') && rules.includes('no policy of own permits'))
})

test('a scope that is missing is told (RFC 6750)', async t => {
  const { port } = await start(t)
  const challenge = async (who: string, target: string) =>
    (await get(port, target, [`Authorization: Bearer ${who}`])).headers.get('www-authenticate')
  const base = 'Bearer realm="bawn", error="insufficient_scope"'
  assert.equal(await challenge('ann', '/writes/1'), `${base}, scope="orders:read orders:write"`)
  assert.equal(await challenge('odd', '/reads/1'), `${base}, scope="orders:read"`)
  assert.equal(await challenge('ann', '/both/1'), base)
})

test('an answer that may not be shown does not leave', async t => {
  const { port, events } = await start(t)
  const ann = ['Authorization: Bearer ann']
  assert.equal((await get(port, '/answers/public', ann)).body, '{"label":"public","secret":"s3cret"}')
  for (const target of ['/answers/secret', '/answers/text', '/answers/teapot', '/types/text']) {
    const answer = await get(port, target, ann)
    assert.equal(answer.status, 403, target)
    assert.match(answer.body, /"policy\.withheld"/)
    assert.doesNotMatch(answer.body, /s3cret/)
  }
  assert.equal((await post(port, '/answers/secret', '{}', ann)).status, 403)
  assert.equal((await get(port, '/statuses/any')).status, 200)
  assert.equal((await get(port, '/statuses/teapot')).status, 403)
  assert.equal((await get(port, '/types/any', ann)).status, 200)
  const rules = events.map(event => ('rule' in event ? event.rule : ''))
  assert(rules.includes('public_answer: the answer’s body is no JSON that can be read'))
})

for (const [what, document] of [
  ['deep', '['.repeat(100_000)],
  ['deep and closed', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
  ['a member twice', '{"label":"public","label":"secret"}'],
  ['__proto__', '{"__proto__":{"label":"public"}}'],
  ['nothing', ''],
  ['cut', '{"label":"public"'],
  ['a list', '[{"label":"public"}]'],
] as const) {
  test(`an answer that is ${what} permits nothing`, async t => {
    const { port } = await start(t, document)
    const answer = await get(port, '/answers/other', ['Authorization: Bearer ann'])
    assert.equal(answer.status, 403)
    assert.doesNotMatch(answer.body, /label/)
  })
}

test('an answer beyond max_json_bytes is refused before it is decided', async t => {
  const { port } = await start(t, JSON.stringify({ label: 'public', filler: 'x'.repeat(9_000_000) }))
  assert.equal((await get(port, '/answers/other', ['Authorization: Bearer ann'])).status, 502)
})

test('a policy sees no header that goes no further than the gateway', async t => {
  const tenants: unknown[] = []
  const upstream = await startUpstream(t, (request, response) => {
    tenants.push(request.headers['x-tenant'])
    response.end('here')
  })
  const cels = {
    named: "request.headers['x-tenant'] == 'acme'",
    listed: "request.headers.exists(name, name == 'x-tenant')",
  }
  for (const [name, cel] of Object.entries(cels)) {
    const { port } = await startDoor(t, {
      upstream,
      mechanisms,
      policies: { [name]: policyOptions.parse({ cel, anonymous: true }) },
      routes: [{ path: '/*', allow: [name] }],
    })
    assert.equal((await get(port, '/a', ['X-Tenant: acme'])).status, 200)
    assert.equal((await get(port, '/a', ['X-Tenant: acme', 'Connection: X-Tenant'])).status, 401, name)
  }
  assert.deepEqual(tenants, ['acme', 'acme'])
})
