import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { type Certificate, createAuthority } from '@bawn/demo/certificates'
import { createKeySet } from './jwks.ts'
import { fetchTrusted, type TlsTrust } from './tls-fetch.ts'
import { allKeys } from './token-forge.fixture.ts'

const authority = createAuthority('the issuer’s own')
const other = createAuthority('somebody else')
const server = authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])
const folder = mkdtempSync(join(tmpdir(), 'bawn-tls-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const fileOf = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const ca = fileOf('ca.pem', authority.certificate)
const otherCa = fileOf('other.pem', other.certificate)

const pinOf = ({ certificate }: { readonly certificate: string }): string =>
  createHash('sha256')
    .update(new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')

/** @returns its URL, and how many requests it has seen */
async function startIssuer(t: TestContext, certificate: Certificate, listener: RequestListener) {
  const state = { requests: 0, url: '' }
  // The chain, as servers send it: with the authority.
  const cert = certificate.certificate + authority.certificate
  const issuer = createServer({ cert, key: certificate.key }, (request, response) => {
    state.requests++
    listener(request, response)
  }).listen(0, '127.0.0.1')
  await once(issuer, 'listening')
  t.after(() => {
    issuer.close()
    issuer.closeAllConnections()
  })
  state.url = `https://localhost:${(issuer.address() as AddressInfo).port}/jwks`
  return state
}

const keys: RequestListener = (_, response) => response.end(JSON.stringify(allKeys))
const get = (url: string, trust: Partial<TlsTrust>, maxBytes = 100_000) =>
  fetchTrusted(new URL(url), { ca: undefined, pins: undefined, ...trust }, {}, AbortSignal.timeout(5_000), maxBytes)

test('only the named authority and the pinned keys may answer, and nobody else is sent a request', async t => {
  const issuer = await startIssuer(t, server, keys)
  const good: readonly Partial<TlsTrust>[] = [
    { ca },
    { ca, pins: [pinOf(server)] },
    { ca, pins: [pinOf(other), pinOf(authority)] },
  ]
  for (const trust of good) assert.equal(JSON.parse(String(await get(issuer.url, trust))).keys.length, 6)
  assert.equal(issuer.requests, good.length)
  const bad: readonly Partial<TlsTrust>[] = [
    {},
    { ca: otherCa },
    { ca, pins: [pinOf(other)] },
    { ca, pins: ['A'.repeat(43)] },
    // A pin vouches for no certificate: the authority has to.
    { pins: [pinOf(server)] },
    { ca: join(folder, 'absent.pem') },
  ]
  for (const trust of bad) await assert.rejects(get(issuer.url, trust))
  assert.equal(issuer.requests, good.length)
})

test('another name, and a client’s certificate, are refused', async t => {
  const names = await startIssuer(t, authority.issue('x', 'server', ['elsewhere.example']), keys)
  await assert.rejects(get(names.url, { ca }))
  const client = await startIssuer(t, authority.issue('localhost', 'client', ['localhost']), keys)
  await assert.rejects(get(client.url, { ca }))
  assert.deepEqual([names.requests, client.requests], [0, 0])
})

test('redirects, other statuses, long and cut bodies are errors', async t => {
  const answers: readonly RequestListener[] = [
    (_, response) => response.writeHead(302, { location: '/jwks' }).end(),
    (_, response) => response.writeHead(500).end('{}'),
    (_, response) => response.writeHead(204).end(),
    (_, response) => response.end('x'.repeat(100_001)),
    (_, response) => response.writeHead(200, { 'content-length': '100' }).end('short', () => response.destroy()),
    request => request.socket.destroy(),
  ]
  for (const [at, answer] of answers.entries()) {
    const issuer = await startIssuer(t, server, answer)
    await assert.rejects(get(issuer.url, { ca }), Error, `answer ${at}`)
    assert.equal(issuer.requests, 1)
  }
})

test('a key set of an issuer is fetched under its ca and pins', async t => {
  const issuer = await startIssuer(t, server, keys)
  const options = { name: 'corp', insecure_http: false, key_id: 'kid', refresh: 1, stale: 1 } as const
  const surroundings = { fetch: assert.fail, clock: () => 1_000 }
  const set = createKeySet({ ...options, jwks: issuer.url, ca, pins: [pinOf(authority)] }, surroundings)
  assert.equal((await set.load()).keys.length, 6)
  const wrong = createKeySet({ ...options, jwks: issuer.url, ca, pins: [pinOf(other)] }, surroundings)
  await assert.rejects(wrong.load(), { code: 'authn.issuer_unreachable' })
})
