import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createPlainServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { openSignature } from '../../outbound/open.ts'
import { outboundCredentialsOptions } from '../../outbound/option.ts'
import type { RequestSignature } from '../../outbound/signature.ts'
import { codeOf, get, post, send, startDoor } from '../kit.test.ts'

const secrets = new Map([
  ['env:ID', 'AKIDEXAMPLE'],
  ['env:KEY', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'],
  ['env:TOKEN', 'a+session/token=='],
])

function signature(more: object = {}): RequestSignature {
  const options = outboundCredentialsOptions.parse({
    kind: 'aws-sigv4',
    region: 'eu-central-1',
    service: 'execute-api',
    access_key_id: 'env:ID',
    secret_access_key: 'env:KEY',
    max_body_bytes: 1_000,
    ...more,
  })
  assert.ok(options.kind === 'aws-sigv4')
  return openSignature(options, { clock: Date.now, secret: name => secrets.get(name) ?? '' })
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)

/** What a service of AWS does with what arrived, written from its description. @returns what is wrong, or nothing */
function verify(request: IncomingMessage, body: Buffer): string | undefined {
  const form =
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/
  const [, day = '', region = '', service = '', names = '', given = ''] =
    form.exec(request.headers.authorization ?? '') ?? []
  if (given === '') return `no signature: ${request.headers.authorization}`
  const date = String(request.headers['x-amz-date'])
  if (!date.startsWith(day) || !/^\d{8}T\d{6}Z$/.test(date)) return 'date'
  const signed = names.split(';')
  for (const name of Object.keys(request.headers)) {
    const has = name === 'host' || name === 'content-type' || name.startsWith('x-amz-')
    if (has && !signed.includes(name)) return `${name} is not signed`
  }
  const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s)
  const segments = path.split('/')
  const canonical = [
    request.method,
    segments.map(service === 's3' ? segment => encode(decodeURIComponent(segment)) : encode).join('/'),
    [...new URLSearchParams(query)]
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort()
      .join('&'),
    ...signed.map(name => {
      const values = request.rawHeaders.filter(
        (_, at) => at % 2 === 1 && request.rawHeaders[at - 1]?.toLowerCase() === name,
      )
      return `${name}:${values.map(value => value.trim().replace(/ +/g, ' ')).join(',')}`
    }),
    '',
    names,
    request.headers['x-amz-content-sha256'] ?? sha256(body),
  ].join('\n')
  if (![undefined, 'UNSIGNED-PAYLOAD', sha256(body)].includes(request.headers['x-amz-content-sha256']?.toString())) {
    return 'body'
  }
  const text = ['AWS4-HMAC-SHA256', date, `${day}/${region}/${service}/aws4_request`, sha256(canonical)].join('\n')
  const key = hmac(hmac(hmac(hmac(`AWS4${secrets.get('env:KEY')}`, day), region), service), 'aws4_request')
  return hmac(key, text).toString('hex') === given ? undefined : `signature of\n${canonical}`
}

interface Seen {
  readonly wrong: string | undefined
  readonly url: string
  readonly host: string
  readonly hash: string | undefined
  readonly token: string | undefined
  readonly length: number
  readonly headers: string
}

async function startService(t: TestContext, tls?: { readonly certificate: string; readonly key: string }) {
  const seen: Seen[] = []
  const listener: RequestListener = async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const body = Buffer.concat(pieces)
    const wrong = verify(request, body)
    seen.push({
      wrong,
      url: `${request.method} ${request.url}`,
      host: String(request.headers.host),
      hash: request.headers['x-amz-content-sha256']?.toString(),
      token: request.headers['x-amz-security-token']?.toString(),
      length: body.length,
      headers: JSON.stringify(request.headers),
    })
    response.writeHead(wrong === undefined ? 200 : 403).end(wrong ?? 'ok')
  }
  const server =
    tls === undefined
      ? createPlainServer(listener)
      : createSecureServer({ cert: tls.certificate, key: tls.key }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { seen, host: `localhost:${port}`, url: `${tls === undefined ? 'http' : 'https'}://localhost:${port}` }
}

test('what arrives is signed as it arrived: prefix, path, query, headers and body', async t => {
  const service = await startService(t)
  const kit = await startDoor(t, {
    upstream: `${service.url}/stage%20one`,
    upstreamDeps: { signature: signature({ session_token: 'env:TOKEN' }) },
  })
  const forged = ['Authorization: Bearer alice', 'X-Amz-Date: 20000101T000000Z', 'X-Amz-Security-Token: mine']
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['/', []],
    ['/a/b%20c/(d)+e,f', forged],
    ['/q?b=2&a=1&a=0&c&space=a+b&more=%7e%c3%a4&list[]=1&eq=a=b&empty=', ['Content-Type:   text/plain;  charset=x']],
    ['/%C3%A4%20%25', ['X-Amz-Meta-A: 1', 'X-Amz-Meta-A: 2', 'Range: bytes=0-1']],
  ]
  for (const [target, headers] of rows) {
    const answer = await get(kit.port, target, headers)
    assert.equal(answer.body, 'ok')
  }
  assert.equal((await post(kit.port, '/p', 'body äö', ['Content-Type: text/plain'])).body, 'ok')
  assert.equal((await post(kit.port, '/p', 'body without a type')).body, 'ok')
  const chunked = 'POST /p HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n'
  assert.equal((await send(kit.port, chunked)).body, 'ok')
  assert.deepEqual(new Set(service.seen.map(({ token }) => token)), new Set(['a+session/token==']))
  assert.deepEqual(new Set(service.seen.map(({ host }) => host)), new Set([service.host]))
  assert.equal(service.seen[1]?.url, 'GET /stage%20one/a/b%20c/(d)+e,f')
  assert.equal(service.seen.at(-1)?.length, 7)
  assert.ok(service.seen.every(({ headers }) => !headers.includes('mine') && !headers.includes('EXAMPLEKEY')))
})

test('each of several servers gets a signature for its own name, another try too', async t => {
  const good = await startService(t)
  const other = await startService(t)
  const kit = await startDoor(t, {
    upstream: good.url,
    upstreamOptions: { url: undefined, urls: [good.url, `${other.url}/v2`, 'http://127.0.0.1:1'], retries: 1 },
    upstreamDeps: { signature: signature() },
  })
  for (let at = 0; at < 9; at++) assert.equal((await post(kit.port, '/x', `body ${at}`)).body, 'ok')
  assert.equal(good.seen.length + other.seen.length, 9)
  assert.ok(other.seen.length > 0 && other.seen.every(({ host, url }) => host === other.host && url === 'POST /v2/x'))
  assert.ok(good.seen.length > 0 && good.seen.every(({ host, url }) => host === good.host && url === 'POST /x'))
})

test('a body over the limit is refused before anything is sent; a query that cannot be signed, too', async t => {
  const service = await startService(t)
  const kit = await startDoor(t, { upstream: service.url, upstreamDeps: { signature: signature() } })
  const long = 'x'.repeat(1_001)
  const chunked = `POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${long}\r\n0\r\n\r\n`
  for (const answer of [await post(kit.port, '/', long), await send(kit.port, chunked)]) {
    assert.deepEqual([answer.status, codeOf(answer)], [413, 'http.body_too_large'])
  }
  const unsignable = await get(kit.port, '/?a=%ff')
  assert.deepEqual([unsignable.status, codeOf(unsignable)], [400, 'outbound.unsignable'])
  assert.equal(service.seen.length, 0)
  assert.equal((await post(kit.port, '/', 'x'.repeat(1_000))).body, 'ok')
})

test('S3 takes a body of any length over TLS, and names are spelled as S3 reads them', async t => {
  const authority = createAuthority('an authority')
  const service = await startService(t, authority.issue('localhost', 'server', ['localhost']))
  const kit = await startDoor(t, {
    upstream: `${service.url}/bucket`,
    upstreamOptions: { ca: 'ca.pem' },
    upstreamDeps: { readFile: () => authority.certificate, signature: signature({ service: 's3' }) },
  })
  assert.equal((await post(kit.port, '/a+b (c)'.replace(' ', '%20'), 'x'.repeat(200_000))).body, 'ok')
  assert.equal((await get(kit.port, '/list?prefix=a%2Bb&list-type=2')).body, 'ok')
  assert.deepEqual(
    service.seen.map(({ url, hash, length }) => [url, hash === sha256('') ? 'empty' : hash, length]),
    [
      ['POST /bucket/a%2Bb%20%28c%29', 'UNSIGNED-PAYLOAD', 200_000],
      ['GET /bucket/list?prefix=a%2Bb&list-type=2', 'empty', 0],
    ],
  )
})

test('a 401 is the gateway’s failure, a 403 may be about the caller’s wish and passes', async t => {
  for (const [status, expected] of [
    [401, 502],
    [403, 403],
  ] as const) {
    const server = createPlainServer((_request, response) => response.writeHead(status).end('no'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      server.close()
      server.closeAllConnections()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const kit = await startDoor(t, { upstream: url, upstreamDeps: { signature: signature() } })
    const answer = await get(kit.port, '/')
    assert.equal(answer.status, expected)
    if (expected === 502) assert.equal(codeOf(answer), 'outbound.refused')
    else assert.equal(answer.body, 'no')
  }
})
