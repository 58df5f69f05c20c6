import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { createAuthority } from './certificates.ts'

test('a server and a client believe each other by certificates of one authority', async () => {
  const authority = createAuthority('demo authority')
  const server = createServer({
    ...pair(authority.issue('server', 'server', ['localhost', '127.0.0.1'])),
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  }).listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const address = server.address()
    assert(typeof address === 'object' && address !== null)
    const seen = once(server, 'secureConnection')
    const client = connect({
      host: '127.0.0.1',
      port: address.port,
      ca: authority.certificate,
      ...pair(authority.issue('billing', 'client')),
    })
    await once(client, 'secureConnect')
    assert.equal(client.authorized, true)
    const [socket] = (await seen) as [TLSSocket]
    assert.equal(socket.getPeerX509Certificate()?.subject, 'CN=billing')
    client.destroy()
    socket.destroy()
  } finally {
    server.close()
  }
})

test('names hosts, is no authority itself, and does not verify under another authority', () => {
  const authority = createAuthority('one')
  const issued = new X509Certificate(authority.issue('server', 'server', ['localhost', '127.0.0.1']).certificate)
  assert.equal(issued.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1')
  assert.equal(issued.ca, false)
  assert.equal(new X509Certificate(authority.certificate).ca, true)
  assert.equal(issued.verify(new X509Certificate(authority.certificate).publicKey), true)
  assert.equal(issued.verify(new X509Certificate(createAuthority('one').certificate).publicKey), false)
})

function pair(from: { readonly certificate: string; readonly key: string }) {
  return { cert: from.certificate, key: from.key }
}
