import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import { createIdentity } from '../authn/identity.ts'
import { isJsonObject, parseJson } from '../authn/json.ts'
import { createJwtSigner } from '../tokens/jwt-signer.ts'
import { signingOptions } from '../tokens/signing-option.ts'
import { codeOf, field, get, post, send, startDoor, startUpstream } from './kit.test.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signer = createJwtSigner(
  'ours',
  signingOptions.parse({ key: 'env:K', issuer: 'https://gate.example', jwks: '/keys' }),
  () => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
)
const signers = new Map([['ours', signer]])

function opened(token: string): Record<string, unknown> {
  const [header, payload = '', signature = ''] = token.split('.')
  const key = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' } as const
  assert.ok(verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')))
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

test('a login’s claims become tokens, and nothing else of its answer changes', async t => {
  let answer = ''
  let status = 200
  let more: Record<string, string> = {}
  const upstream = await startUpstream(t, (request, response) => {
    more['x-encoding'] = String(request.headers['accept-encoding'])
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'public', ...more }).end(answer)
  })
  const sign = { signing: 'ours', members: ['access_token', 'refresh_token'], ttl: '5m' }
  const kit = await startDoor(t, {
    upstream,
    signers,
    routes: [
      { path: '/login', methods: ['POST'], sign, max_json_bytes: 2_000 },
      { path: '/flat', methods: ['POST'], sign: { ...sign, format: 'json' } },
    ],
  })
  answer =
    '{"access_token":{"sub":"alice","account":12345678901234567890,"roles":["a"]},"expires_in":300,"n":1.50,"__proto__":1}'
  const login = await post(kit.port, '/login', '{}')
  assert.equal(login.status, 200)
  assert.equal(login.headers.get('cache-control'), 'private, no-store')
  assert.equal(login.headers.get('x-encoding'), 'identity')
  assert.match(login.body, /"expires_in":300,"n":1\.50,/)
  const { access_token: token, refresh_token: none } = JSON.parse(login.body)
  assert.equal(none, undefined)
  const claims = opened(token)
  assert.deepEqual([claims['sub'], claims['iss'], claims['roles']], ['alice', 'https://gate.example', ['a']])
  assert.match(Buffer.from(token.split('.')[1], 'base64url').toString(), /"account":12345678901234567890/)
  assert.equal((claims['exp'] as number) - (claims['iat'] as number), 300)

  const flat = JSON.parse(JSON.parse((await post(kit.port, '/flat', '{}')).body).access_token)
  assert.equal(opened(`${flat.protected}.${flat.payload}.${flat.signature}`)['sub'], 'alice')

  for (const bad of [
    '{"expires_in":1}',
    '[]',
    '{"access_token":"text"}',
    '{"access_token":[1]}',
    '{"access_token":null}',
    '{"access_token":{"exp":1}}',
    '{"access_token":{',
    '',
    `{"access_token":{"a":"${'x'.repeat(3_000)}"}}`,
  ]) {
    answer = bad
    const refused = await post(kit.port, '/login', '{}')
    assert.equal(refused.status, 502, bad.slice(0, 40))
    assert.ok(!refused.body.includes('access_token'))
  }
  answer = '{"access_token":{"sub":"alice"}}'
  for (const [name, value] of [
    ['content-encoding', 'gzip'],
    ['content-type', 'text/html'],
  ] as const) {
    more = { [name]: value }
    assert.equal((await post(kit.port, '/login', '{}')).status, 502, value)
  }
  more = {}
  // A wrong password is the login's to say.
  status = 401
  const refused = await post(kit.port, '/login', '{}')
  assert.deepEqual([refused.status, refused.body], [401, answer])
})

test('a backend learns who is asking from a token that nobody else can make', async t => {
  const seen: (string | undefined)[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(request.headers['x-who']?.toString())
    response.end()
  })
  const kit = await startDoor(t, {
    upstream,
    signers,
    routes: [
      {
        path: '/a',
        allow: ['authenticated'],
        identity_headers: { signed: { header: 'X-Who', signing: 'ours', ttl: '30s' } },
      },
      { path: '/open' },
    ],
  })
  const alice = 'Authorization: Bearer alice'
  assert.equal((await get(kit.port, '/a', [alice, 'X-Who: forged'])).status, 200)
  const claims = opened(seen[0] ?? '')
  assert.deepEqual([claims['sub'], claims['aud'], claims['roles']], ['alice', 'main', ['staff', 'support']])
  assert.ok((claims['exp'] as number) - (claims['iat'] as number) <= 31)
  await get(kit.port, '/open', ['X-Who: forged'])
  assert.equal(seen[1], undefined)
})

test('anybody gets the public keys, and nothing else', async t => {
  const upstream = await startUpstream(t, (_, response) => response.end('upstream'))
  const kit = await startDoor(t, {
    upstream,
    keySets: new Map([['/keys', Buffer.from(JSON.stringify(signer.jwks))]]),
    hostRules: { match: () => ({ kind: 'none' }) },
  })
  const keys = await get(kit.port, '/keys')
  assert.equal(keys.status, 200)
  assert.equal(keys.headers.get('content-type'), 'application/jwk-set+json')
  const [key] = JSON.parse(keys.body).keys
  assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  const head = await send(kit.port, 'HEAD /keys HTTP/1.1\r\nHost: gate.example\r\n\r\n')
  assert.deepEqual([head.status, head.body], [200, ''])
  const posted = await post(kit.port, '/keys', '{}')
  assert.deepEqual(
    [posted.status, codeOf(posted), posted.headers.get('allow')],
    [405, 'http.method_not_allowed', 'GET, HEAD'],
  )
  assert.equal((await get(kit.port, '/keys/x')).status, 403)
})

test('signing and fields on one route stop the start', async t => {
  const fields = [field('mail', [{ route: '/login', path: ['m'], carries: 'plain' }])]
  const routes = [{ path: '/login', methods: ['POST'], sign: { signing: 'ours', members: ['t'] } }]
  await assert.rejects(startDoor(t, { upstream: 'http://127.0.0.1:9', signers, fields, routes }), {
    code: 'http.bad_route',
  })
})

test('claims of the caller’s token go along, exactly, and the login has no say in them', async t => {
  const upstream = await startUpstream(t, (_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end('{"access_token":{"sub":"alice","tenant":"forged","absent":"forged","n":1.50}}')
  })
  const mechanism = createBearerMechanism(
    {
      authenticate: async token => {
        const claims = parseJson(Buffer.from(token, 'base64url'))
        assert.ok(isJsonObject(claims))
        const proof = { clientId: undefined, mechanism: 'jwt', source: 'test', expiresAt: undefined } as const
        return { kind: 'identified', identity: createIdentity({ id: 'alice', roles: [], claims, ...proof }) }
      },
    },
    { realm: 'bawn', base64: false },
  )
  const sign = { signing: 'ours', members: ['access_token'], claims: ['tenant', 'account', 'absent'] }
  const kit = await startDoor(t, {
    ...{ upstream, signers, mechanisms: [mechanism] },
    routes: [{ path: '/exchange', methods: ['GET'], allow: ['anyone'], sign }],
  })
  const caller = (text: string): string => `Authorization: Bearer ${Buffer.from(text).toString('base64url')}`
  const asked = async (...lines: string[]): Promise<string> => {
    const { status, body } = await get(kit.port, '/exchange', lines)
    assert.equal(status, 200, body)
    const token: string = JSON.parse(body).access_token
    opened(token)
    return Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  }
  const claims = await asked(caller('{"tenant":"acme","account":9007199254740993,"other":1}'))
  assert.match(claims, /"tenant":"acme","account":9007199254740993/)
  assert.match(claims, /"n":1\.50/)
  assert.doesNotMatch(claims, /forged|other/)
  assert.doesNotMatch(await asked(), /forged|tenant|absent/)
  const long = await get(kit.port, '/exchange', [caller(`{"tenant":"${'x'.repeat(5_000)}"}`)])
  assert.deepEqual([long.status, codeOf(long)], [503, 'tokens.claims_too_long'])
})
