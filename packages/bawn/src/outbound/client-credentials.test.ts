import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { openCredentials } from './open.ts'
import { type ClientCredentialsOptions, outboundCredentialsOptions } from './option.ts'

interface Asked {
  readonly authorization: string | undefined
  readonly form: URLSearchParams
}

/** A token endpoint that says what the test says. */
async function startEndpoint(
  t: TestContext,
  answer: (asked: Asked, response: ServerResponse, count: number) => void,
): Promise<{ readonly url: string; readonly asked: Asked[] }> {
  const asked: Asked[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = ''
    for await (const piece of request) text += String(piece)
    const question = { authorization: request.headers.authorization, form: new URLSearchParams(text) }
    asked.push(question)
    answer(question, response, asked.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`, asked }
}

const give = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function options(url: string, more: object = { client_secret: 'env:S' }): ClientCredentialsOptions {
  const parsed = outboundCredentialsOptions.parse({
    kind: 'client-credentials',
    token_url: url,
    insecure_http: true,
    client_id: 'ga:te',
    ...more,
  })
  assert.ok(parsed.kind === 'client-credentials')
  return parsed
}

test('a token is fetched once for all who wait, kept, and renewed before its end while it goes on serving', async t => {
  const { url, asked } = await startEndpoint(t, (_asked, response, count) =>
    give(response, { access_token: `t${count}`, token_type: 'Bearer', expires_in: 100 }),
  )
  let now = 1_000_000
  const credentials = openCredentials(options(url), { clock: () => now, secret: () => 's e:cret' })
  const first = await Promise.all([credentials.proof(), credentials.proof(), credentials.proof()])
  assert.deepEqual(new Set(first.map(({ value }) => value)), new Set(['Bearer t1']))
  assert.equal(asked.length, 1)
  assert.equal(asked[0]?.authorization, `Basic ${Buffer.from('ga%3Ate:s+e%3Acret').toString('base64')}`)
  assert.deepEqual([...(asked[0]?.form ?? [])], [['grant_type', 'client_credentials']])
  now += 79_000
  assert.ok(!(credentials.proof() instanceof Promise))
  assert.equal(asked.length, 1)
  now += 2_000
  const old = credentials.proof()
  assert.ok(!(old instanceof Promise) && old.value === 'Bearer t1', 'the old one serves meanwhile')
  while (asked.length < 2) await new Promise(resolve => setImmediate(resolve))
  now += 94_000
  assert.equal((await credentials.proof()).value, 'Bearer t2')
})

test('what the options say is in the form', async t => {
  const { url, asked } = await startEndpoint(t, (_asked, response) =>
    give(response, { access_token: 't', token_type: 'bearer' }),
  )
  const more = {
    client_secret: 'env:S',
    authentication: 'post',
    scopes: ['a:r', 'b'],
    audience: 'api',
    resource: 'https://api.example',
    parameters: { tenant: 'x' },
  }
  await openCredentials(options(url, more), { clock: Date.now, secret: () => 'secret' }).proof()
  assert.equal(asked[0]?.authorization, undefined)
  assert.deepEqual(Object.fromEntries(asked[0]?.form ?? []), {
    tenant: 'x',
    grant_type: 'client_credentials',
    scope: 'a:r b',
    audience: 'api',
    resource: 'https://api.example',
    client_id: 'ga:te',
    client_secret: 'secret',
  })
})

for (const [alg, pair, hash] of [
  ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'],
  ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256'],
  ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384'],
  ['EdDSA', generateKeyPairSync('ed25519'), null],
] as const) {
  test(`private_key_jwt with ${alg}: who the gateway is, signed, for this endpoint, once`, async t => {
    const { url, asked } = await startEndpoint(t, (_asked, response) =>
      give(response, { access_token: 't', token_type: 'Bearer', expires_in: 1 }),
    )
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    let now = 1_700_000_000_000
    const credentials = openCredentials(options(url, { private_key: 'file:k', key_id: 'k1' }), {
      clock: () => now,
      secret: () => pem,
    })
    await credentials.proof()
    now += 60_000
    await credentials.proof()
    const seen = asked.map(({ form }) => {
      assert.equal(form.get('client_assertion_type'), 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
      const [header = '', claims = '', signature = ''] = (form.get('client_assertion') ?? '').split('.')
      const key = createPublicKey(pair.publicKey.export({ type: 'spki', format: 'pem' }).toString())
      const valid = verify(
        hash,
        Buffer.from(`${header}.${claims}`),
        { key, dsaEncoding: 'ieee-p1363' },
        Buffer.from(signature, 'base64url'),
      )
      assert.ok(valid)
      assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg, typ: 'JWT', kid: 'k1' })
      return JSON.parse(Buffer.from(claims, 'base64url').toString())
    })
    assert.deepEqual([seen[0].iss, seen[0].sub, seen[0].aud, seen[0].exp - seen[0].iat], ['ga:te', 'ga:te', url, 60])
    assert.notEqual(seen[0].jti, seen[1].jti)
  })
}

const broken: readonly { name: string; answer: (response: ServerResponse) => void }[] = [
  { name: 'an error', answer: response => give(response, { error: 'invalid_client' }, 401) },
  { name: 'a redirect', answer: response => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end() },
  { name: 'no JSON', answer: response => response.end('<html>') },
  { name: 'a list', answer: response => give(response, []) },
  { name: 'no token', answer: response => give(response, { token_type: 'Bearer' }) },
  {
    name: 'a token with a line break',
    answer: response => give(response, { access_token: 'a\r\nX: y', token_type: 'Bearer' }),
  },
  { name: 'another type of token', answer: response => give(response, { access_token: 't', token_type: 'mac' }) },
  { name: 'an endless answer', answer: response => void response.end(Buffer.alloc(100_000, 0x20)) },
  { name: 'silence', answer: () => {} },
  { name: 'a cut connection', answer: response => response.destroy() },
]
for (const row of broken) {
  test(`no token, and a pause before the next try: ${row.name}`, async t => {
    const { url, asked } = await startEndpoint(t, (_asked, response) => row.answer(response))
    let now = 0
    const more = { client_secret: 'env:S', timeout: '200ms' }
    const credentials = openCredentials(options(url, more), { clock: () => now, secret: () => 's3cr3t' })
    await assert.rejects(async () => credentials.proof(), { code: 'outbound.token_unavailable' })
    assert.throws(() => credentials.proof(), { code: 'outbound.token_unavailable' })
    assert.equal(asked.length, 1)
    now += 1_000
    await assert.rejects(
      async () => credentials.proof(),
      (error: Error) => !`${error.message}`.includes('s3cr3t'),
    )
    assert.equal(asked.length, 2)
  })
}

test('a token that was refused is fetched anew, once for all whom it was refused to', async t => {
  const { url, asked } = await startEndpoint(t, (_asked, response, count) =>
    give(response, { access_token: `t${count}`, token_type: 'Bearer' }),
  )
  const credentials = openCredentials(options(url), { clock: Date.now, secret: () => 's' })
  const old = await credentials.proof()
  assert.equal(credentials.refused(old), true)
  const next = await credentials.proof()
  assert.equal(credentials.refused(old), true)
  assert.equal(await credentials.proof(), next)
  assert.equal(asked.length, 2)
})

test('options that cannot work stop the start', () => {
  const good = { kind: 'client-credentials', token_url: 'https://id.example/token', client_id: 'a' }
  const rows: readonly (readonly [string, object, boolean])[] = [
    ['a secret', { client_secret: 'env:S' }, true],
    ['a key', { private_key: 'file:k' }, true],
    ['neither', {}, false],
    ['both', { client_secret: 'env:S', private_key: 'file:k' }, false],
    ['plain HTTP', { client_secret: 'env:S', token_url: 'http://id.example/' }, false],
    ['a literal secret', { client_secret: 'hunter2' }, false],
  ]
  for (const [name, more, works] of rows) {
    assert.equal(outboundCredentialsOptions.safeParse({ ...good, ...more }).success, works, name)
  }
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' })
  for (const key of ['no key', String(short)]) {
    const made = () =>
      openCredentials(options('http://a/', { private_key: 'file:k' }), { clock: () => 0, secret: () => key })
    assert.throws(made, { code: 'outbound.bad_credentials' })
  }
})
