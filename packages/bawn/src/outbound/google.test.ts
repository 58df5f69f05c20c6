import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { everything, get, startDoor, startUpstream } from '../http/kit.test.ts'
import type { OutboundCredentials } from './credentials.ts'
import { openCredentials } from './open.ts'
import { outboundCredentialsOptions } from './option.ts'

// google-auth-library itself asks; what answers are servers of ours, on HTTP.

const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
const privateKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const publicKey = createPublicKey(pair.publicKey.export({ type: 'spki', format: 'pem' }).toString())

interface Asked {
  readonly url: string
  readonly flavor: string | undefined
  readonly form: URLSearchParams
}

async function startGoogle(t: TestContext, answer: (response: ServerResponse, count: number, asked: Asked) => void) {
  const asked: Asked[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = ''
    for await (const piece of request) text += String(piece)
    const flavor = request.headers['metadata-flavor']?.toString()
    const question = { url: `${request.method} ${request.url}`, flavor, form: new URLSearchParams(text) }
    asked.push(question)
    answer(response, asked.length, question)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { asked, host: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const give = (response: ServerResponse, body: unknown, status = 200): void => {
  const type = typeof body === 'string' ? 'text/html' : 'application/json'
  response.writeHead(status, { 'content-type': type, 'metadata-flavor': 'Google' })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

const idToken = (count: number, seconds = 3_600): string =>
  ['{"alg":"RS256"}', JSON.stringify({ n: count, exp: Math.floor(Date.now() / 1000) + seconds }), 'x']
    .map(part => Buffer.from(part).toString('base64url'))
    .join('.')

function open(more: object, account: object | string = '', clock: () => number = Date.now): OutboundCredentials {
  const options = outboundCredentialsOptions.parse({ kind: 'google', insecure_http: true, ...more })
  assert.ok(options.kind === 'google')
  const secret = (): string => (typeof account === 'string' ? account : JSON.stringify(account))
  return openCredentials(options, { clock, secret })
}

const serviceAccount = (host: string) => ({
  type: 'service_account',
  client_email: 'gateway@project.iam.gserviceaccount.com',
  private_key: privateKey,
  private_key_id: 'k1',
  token_uri: `http://${host}/token`,
})

/** What the gateway says of itself, when it is signed by its key. */
function assertionOf({ form }: Asked): Record<string, unknown> {
  assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer')
  const [header = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.')
  assert.ok(verify('sha256', Buffer.from(`${header}.${claims}`), publicKey, Buffer.from(signature, 'base64url')))
  return JSON.parse(Buffer.from(claims, 'base64url').toString())
}

test('a service account gets an access token for scopes: once, kept, and another when the upstream refuses it', async t => {
  const google = await startGoogle(t, (response, count) =>
    give(response, { access_token: `ya29.${count}`, token_type: 'Bearer', expires_in: 3_600 }),
  )
  let now = Date.now()
  const scopes = ['https://www.googleapis.com/auth/cloud-platform', 'https://www.googleapis.com/auth/pubsub']
  const credentials = open({ scopes, credentials: 'file:sa.json' }, serviceAccount(google.host), () => now)
  const first = await Promise.all([credentials.proof(), credentials.proof(), credentials.proof()])
  assert.deepEqual(
    new Set(first.map(({ name, value }) => `${name}: ${value}`)),
    new Set(['Authorization: Bearer ya29.1']),
  )
  assert.equal(google.asked.length, 1)
  const [asked] = google.asked
  assert.ok(asked !== undefined)
  const { iss, scope, aud } = assertionOf(asked)
  assert.deepEqual(
    [iss, scope, aud],
    [serviceAccount('').client_email, scopes.join(' '), 'https://oauth2.googleapis.com/token'],
  )
  assert.equal(credentials.refused(await credentials.proof()), true)
  assert.equal((await credentials.proof()).value, 'Bearer ya29.2')
  now += 3_000_000
  assert.equal((await credentials.proof()).value, 'Bearer ya29.2', 'the old one serves meanwhile')
  while (google.asked.length < 3) await new Promise(resolve => setImmediate(resolve))
})

test('a service account gets an ID token for an audience, until its exp', async t => {
  const google = await startGoogle(t, (response, count) => give(response, { id_token: idToken(count, 100) }))
  let now = Date.now()
  const audience = 'https://service.run.app/path?x=1'
  const credentials = open({ audience, credentials: 'file:sa.json' }, serviceAccount(google.host), () => now)
  const proof = await credentials.proof()
  assert.match(proof.value, /^Bearer eyJ/)
  assert.equal(google.asked.map(assertionOf)[0]?.['target_audience'], audience)
  now += 70_000
  assert.equal(await credentials.proof(), proof)
  now += 28_000
  assert.notEqual((await credentials.proof()).value, proof.value)
})

test('the metadata server gives both kinds', async t => {
  const google = await startGoogle(t, (response, count, { url }) =>
    url.includes('/identity')
      ? give(response, idToken(count))
      : give(response, { access_token: `ya29.m${count}`, token_type: 'Bearer', expires_in: 1_000 }),
  )
  const before = process.env['GCE_METADATA_HOST']
  process.env['GCE_METADATA_HOST'] = google.host
  t.after(() => {
    if (before === undefined) delete process.env['GCE_METADATA_HOST']
    else process.env['GCE_METADATA_HOST'] = before
  })
  assert.equal((await open({ scopes: ['a:r', 'b'], ambient: true }).proof()).value, 'Bearer ya29.m1')
  const identity = await open({
    audience: 'https://a.example',
    ambient: true,
    header: 'X-Serverless-Authorization',
  }).proof()
  assert.match(`${identity.name}: ${identity.value}`, /^X-Serverless-Authorization: Bearer eyJ/)
  const [token = '', id = ''] = google.asked.map(({ url }) => decodeURIComponent(url))
  assert.equal(token, 'GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=a:r,b')
  assert.match(id, /\/service-accounts\/default\/identity\?format=full&audience=https:\/\/a\.example$/)
  assert.deepEqual(new Set(google.asked.map(({ flavor }) => flavor)), new Set(['Google']))
})

const broken: readonly { readonly name: string; readonly answer: (response: ServerResponse) => void }[] = [
  { name: 'an error', answer: response => give(response, { error: 'invalid_grant', error_description: 'no' }, 400) },
  { name: 'an error that Google means to be asked about again', answer: response => give(response, {}, 503) },
  { name: 'a redirect', answer: response => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end() },
  { name: 'no JSON', answer: response => give(response, '<html>') },
  { name: 'no token', answer: response => give(response, {}) },
  {
    name: 'a token with a line break',
    answer: response => give(response, { access_token: 'a\r\nb', id_token: 'a\r\nb' }),
  },
  { name: 'an endless answer', answer: response => void response.end(Buffer.alloc(100_000, 0x20)) },
  { name: 'silence', answer: () => {} },
  { name: 'a cut connection', answer: response => response.destroy() },
]
for (const { name, answer } of broken) {
  test(`no token, asked for once, and nothing of the key in the error: ${name}`, async t => {
    const google = await startGoogle(t, answer)
    for (const kind of [{ audience: 'a' }, { scopes: ['a'] }]) {
      google.asked.length = 0
      const options = { ...kind, credentials: 'file:sa.json', timeout: name === 'silence' ? '200ms' : '5s' }
      const credentials = open(options, serviceAccount(google.host))
      await assert.rejects(
        async () => credentials.proof(),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'outbound.token_unavailable')
          assert.doesNotMatch(
            JSON.stringify([error, error.message, error.cause, String(error.cause)]),
            /PRIVATE|assertion|eyJ/,
          )
          assert.deepEqual(Object.keys(error.cause ?? {}), [])
          return true
        },
      )
      assert.equal(google.asked.length, 1)
    }
  })
}

test('what cannot work stops the start, and says nothing of what it read', () => {
  const good = { kind: 'google', audience: 'a', credentials: 'file:sa.json' }
  const rows: readonly (readonly [string, object, boolean])[] = [
    ['as it should be', {}, true],
    ['scopes', { audience: undefined, scopes: ['a'] }, true],
    ['ambient', { credentials: undefined, ambient: true }, true],
    ['both kinds of token', { scopes: ['a'] }, false],
    ['neither', { audience: undefined }, false],
    ['both sources', { ambient: true }, false],
    ['no source', { credentials: undefined }, false],
    ['a literal key', { credentials: '{"type":"service_account"}' }, false],
    ['an audience that is two parameters', { audience: 'a&b=c' }, false],
    ['another header', { header: 'X-Other' }, false],
  ]
  for (const [name, more, works] of rows) {
    assert.equal(outboundCredentialsOptions.safeParse({ ...good, ...more }).success, works, name)
  }
  const account = serviceAccount('a.example')
  for (const text of [
    '{"hunter2',
    '[]',
    { ...account, type: 'hunter2' },
    { ...account, private_key: undefined },
    { ...account, token_uri: 'hunter2' },
    { ...account, token_uri: 'ftp://hunter2' },
  ]) {
    const made = () => open({ audience: 'a', credentials: 'file:sa.json' }, text)
    assert.throws(made, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'outbound.bad_credentials')
      assert.doesNotMatch(`${error.message} ${error.cause}`, /hunter2|PRIVATE/)
      return true
    })
  }
  const plain = () => open({ audience: 'a', credentials: 'file:sa.json', insecure_http: false }, account)
  assert.throws(plain, { code: 'outbound.bad_credentials' })
})

test('with X-Serverless-Authorization the caller’s Authorization goes on, and a 401 renews the token', async t => {
  const google = await startGoogle(t, (response, count) => give(response, { id_token: idToken(count) }))
  const seen: (readonly [string | undefined, string | undefined])[] = []
  const upstream = await startUpstream(t, (request, response) => {
    const own = request.headers['x-serverless-authorization']?.toString()
    seen.push([request.headers.authorization, own])
    response.writeHead(seen.length === 1 ? 401 : 200).end('ok')
  })
  const more = { audience: 'https://a.example', credentials: 'file:sa.json', header: 'X-Serverless-Authorization' }
  const kit = await startDoor(t, {
    upstream,
    credentials: open(more, serviceAccount(google.host)),
    routes: [{ ...everything, request_headers: ['Authorization'] }],
    use: [],
  })
  const answer = await get(kit.port, '/', ['Authorization: Bearer alice', 'X-Serverless-Authorization: Bearer mine'])
  assert.equal(answer.body, 'ok')
  assert.deepEqual(
    seen.map(([callers]) => callers),
    ['Bearer alice', 'Bearer alice'],
  )
  assert.equal(google.asked.length, 2)
  assert.equal(new Set(seen.map(([, own]) => own)).size, 2)
  assert.ok(seen.every(([, own]) => own?.startsWith('Bearer eyJ')))
})
