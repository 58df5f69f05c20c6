import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import { type Certificate, createAuthority } from '@bawn/demo/certificates'
import { codeOf, get, parse, startDoor, startUpstream } from './kit.test.ts'

const authority = createAuthority('the tests')
const other = createAuthority('somebody else')
const server = authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])

/** An HTTPS upstream. @returns the URL that a configuration names it by */
async function startSecureUpstream(
  t: TestContext,
  certificate: Certificate,
  names: (string | false | null)[],
): Promise<string> {
  const upstream = createServer({ cert: certificate.certificate, key: certificate.key }, (request, response) => {
    names.push('servername' in request.socket ? (request.socket.servername as string | false) : null)
    response.end('over TLS')
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.after(() => {
    upstream.close()
    upstream.closeAllConnections()
  })
  return `https://localhost:${(upstream.address() as AddressInfo).port}`
}

test('an upstream over TLS is verified: authority and name', async t => {
  const names: (string | false | null)[] = []
  const good = await startSecureUpstream(t, server, names)
  const trusting = { upstreamOptions: { ca: 'ca.pem' }, upstreamDeps: { readFile: () => authority.certificate } }
  const kit = await startDoor(t, { upstream: good, ...trusting })
  assert.equal((await get(kit.port, '/')).body, 'over TLS')
  const byAddress = await startDoor(t, { upstream: good.replace('localhost', '127.0.0.1'), ...trusting })
  assert.equal((await get(byAddress.port, '/')).body, 'over TLS')
  assert.deepEqual(names, ['localhost', false])

  const refused: readonly (readonly [string, string, typeof trusting | object])[] = [
    ['the system’s authorities', good, {}],
    ['another authority', good, { ...trusting, upstreamDeps: { readFile: () => other.certificate } }],
    [
      'another name',
      await startSecureUpstream(t, authority.issue('x', 'server', ['elsewhere.example']), names),
      trusting,
    ],
    [
      'a client’s certificate',
      await startSecureUpstream(t, authority.issue('localhost', 'client', ['localhost']), names),
      trusting,
    ],
  ]
  for (const [name, upstream, options] of refused) {
    const strict = await startDoor(t, { upstream, ...options })
    assert.equal(codeOf(await get(strict.port, '/')), 'http.upstream_unreachable', name)
  }
  assert.equal(names.length, 2)
})

async function ask(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: authority.certificate, ...options })
  const pieces: Buffer[] = []
  socket.on('data', bytes => pieces.push(bytes))
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  await new Promise(resolve => socket.once('close', resolve))
  return Buffer.concat(pieces).toString('latin1')
}

test('a listener over TLS says so to the upstream and to host rules, and drops bad client certificates', async t => {
  const upstream = await startUpstream(t, (request, response) =>
    response.end(String(request.headers['x-forwarded-proto'])),
  )
  const client = authority.issue('billing', 'client')
  const stranger = other.issue('billing', 'client')
  const tls = { certificate: server.certificate, key: server.key, clientCa: authority.certificate }
  const transports: boolean[] = []
  const hostRules = {
    match: (arrival: { readonly tls: boolean }) => {
      transports.push(arrival.tls)
      return { kind: 'matched' as const, rule: 'tls', use: [] }
    },
  }
  const pair = (of: Certificate): ConnectionOptions => ({ cert: of.certificate, key: of.key })
  const rows = [
    { asks: 'off', none: true, good: true, bad: true },
    { asks: 'optional', none: true, good: true, bad: false },
    { asks: 'required', none: false, good: true, bad: false },
  ] as const
  for (const row of rows) {
    const kit = await startDoor(t, { upstream, hostRules, tls: { ...tls, clientCertificate: row.asks } })
    for (const [expected, options] of [
      [row.none, {}],
      [row.good, pair(client)],
      [row.bad, pair(stranger)],
    ] as const) {
      const text = await ask(kit.port, options)
      if (expected) assert.deepEqual([parse(text).status, parse(text).body], [200, 'https'], row.asks)
      else assert.equal(text, '', row.asks)
    }
  }
  assert.deepEqual([...new Set(transports)], [true])
})
