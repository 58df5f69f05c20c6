import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { type DownloadRequest, download, parseHttpUrl } from './download.ts'

const seen: string[] = []
const server = createServer((request, response) => void answer(request, response))
/** Another host, as far as anybody can tell. */
const elsewhere = createServer((_, response) => {
  seen.push('elsewhere')
  response.end('elsewhere')
})
const urlOf = (of: typeof server, path = '') => `http://127.0.0.1:${(of.address() as AddressInfo).port}${path}`

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? ''
  let body = ''
  for await (const chunk of request) body += chunk
  seen.push(`${request.method} ${path}${body === '' ? '' : ` ${request.headers['content-type']} ${body}`}`)
  const redirect = /^\/redirect\/([0-9]+)\/(.*)$/.exec(path)
  if (redirect !== null) {
    const [, status, to = ''] = redirect
    response
      .writeHead(Number(status), { location: to === 'elsewhere' ? urlOf(elsewhere) : decodeURIComponent(to) })
      .end()
  } else if (path === '/loop') response.writeHead(302, { location: '/loop' }).end()
  else if (path === '/large') response.end(Buffer.alloc(5_000))
  else if (path === '/endless') {
    const write = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    }
    response.on('drain', write)
    write()
  } else if (path === '/slow') response.write('a')
  else if (path === '/silent') return
  else if (path === '/missing') response.writeHead(404).end('missing')
  else response.end(`answer ${body}`)
}

before(async () => {
  for (const one of [server, elsewhere]) {
    one.listen(0, '127.0.0.1')
    await once(one, 'listening')
  }
})
after(() => {
  for (const one of [server, elsewhere]) {
    one.closeAllConnections()
    one.close()
  }
})

async function get(
  path: string,
  options: Partial<DownloadRequest> = {},
  closing = new AbortController(),
): Promise<string> {
  const request = { accept: 'x/y', maxBytes: 1_000, timeoutMs: 5_000, isPermitted: () => false, ...options }
  const url = /^\w+:/.test(path) ? path : urlOf(server, path)
  return download({ url, ...request }, fetch, closing.signal).then(
    bytes => Buffer.from(bytes).toString(),
    (error: Error) => error.message,
  )
}

const post = { body: { bytes: new TextEncoder().encode('question'), type: 'application/ocsp-request' } }
const rows: readonly {
  readonly name: string
  readonly path: string
  readonly options?: Partial<DownloadRequest>
  readonly expect: string | RegExp
}[] = [
  { name: 'GET', path: '/', expect: 'answer ' },
  { name: 'POST', path: '/', options: post, expect: 'answer question' },
  { name: 'another status', path: '/missing', expect: 'status 404' },
  { name: 'too large', path: '/large', expect: 'more than 1000 bytes' },
  { name: 'as large as it may be', path: '/large', options: { maxBytes: 5_000 }, expect: /^\0{5000}$/ },
  { name: 'without an end', path: '/endless', expect: 'more than 1000 bytes' },
  { name: 'no answer', path: '/silent', options: { timeoutMs: 50 }, expect: /timeout/ },
  { name: 'an answer that stops', path: '/slow', options: { timeoutMs: 50 }, expect: /timeout/ },
  { name: 'nobody listens', path: 'http://127.0.0.1:1/', expect: 'fetch failed' },
  { name: 'a redirect on the same host', path: '/redirect/302/%2Ffound', expect: 'answer ' },
  { name: 'a redirect elsewhere', path: '/redirect/302/elsewhere', expect: /^it redirects to 127\.0\.0\.1:[0-9]+$/ },
  {
    name: 'a redirect elsewhere that is permitted',
    path: '/redirect/302/elsewhere',
    options: { isPermitted: () => true },
    expect: 'elsewhere',
  },
  { name: 'redirects without an end', path: '/loop', expect: 'it redirects more than 3 times' },
  {
    name: 'a redirect to a file',
    path: '/redirect/302/file%3A%2F%2F%2Fetc%2Fpasswd',
    options: { isPermitted: () => true },
    expect: 'it redirects to what is no http or https URL',
  },
  { name: 'a POST that is repeated', path: '/redirect/307/%2Ffound', options: post, expect: 'answer question' },
  { name: 'a POST that would become a GET', path: '/redirect/302/%2Ffound', options: post, expect: 'status 302' },
  { name: 'a file', path: 'file:///etc/passwd', expect: /no http or https URL/ },
  { name: 'data', path: 'data:text/plain,x', expect: /no http or https URL/ },
  { name: 'LDAP', path: 'ldap://127.0.0.1/cn=x', expect: /no http or https URL/ },
  { name: 'a password', path: 'http://u:p@127.0.0.1/', expect: /no http or https URL/ },
]
for (const row of rows) {
  test(row.name, async () => {
    const found = await get(row.path, row.options)
    if (typeof row.expect === 'string') assert.equal(found, row.expect)
    else assert.match(found, row.expect)
  })
}

test('nobody was asked who must not be', async () => {
  seen.length = 0
  await get('/redirect/302/elsewhere')
  await get('/redirect/302/%2Ffound', post)
  assert.deepEqual(seen, [
    'GET /redirect/302/elsewhere',
    'POST /redirect/302/%2Ffound application/ocsp-request question',
  ])
})

test('stopping ends what is under way', async () => {
  const closing = new AbortController()
  const found = get('/silent', {}, closing)
  closing.abort(new Error('the gateway is stopping'))
  assert.equal(await found, 'the gateway is stopping')
})

test('addresses', () => {
  for (const good of ['http://a', 'HTTPS://a.example:8080/x?y', 'http://[::1]:80/']) assert.ok(parseHttpUrl(good), good)
  for (const bad of ['', 'a.example', '//a', 'ftp://a', 'http://', 'javascript:x', 'http://u@a']) {
    assert.equal(parseHttpUrl(bad), undefined, bad)
  }
})
