import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer } from 'node:tls'
import { day, type Issued, TestAuthority } from './authority.fixture.ts'
import { chainOf, parseAuthorities, withIssuers } from './chain.ts'

const now = Date.now()
const root = new TestAuthority('root')
const namesake = new TestAuthority('root')
const middle = new TestAuthority('middle', root)
const below = new TestAuthority('below', middle)
const expired = new TestAuthority('expired', root, {
  notBefore: new Date(now - 2 * day),
  notAfter: new Date(now - 1000),
})
const leaf = root.issue('app')
const deep = below.issue('app')

const chain = (of: Issued, anchors: readonly TestAuthority[]): string | undefined =>
  chainOf(of.certificate, parseAuthorities([anchors.map(({ issued }) => issued.pem).join('some words\n')]), now)
    ?.map(({ subject }) => subject.replace('CN=', ''))
    .join(' ')

const rows: readonly {
  readonly name: string
  readonly leaf: Issued
  readonly anchors: readonly TestAuthority[]
  readonly expect: string | undefined
}[] = [
  { name: 'signed by the root', leaf, anchors: [root], expect: 'app root' },
  { name: 'several roots', leaf, anchors: [namesake, new TestAuthority('other'), root], expect: 'app root' },
  { name: 'a namesake of the root', leaf, anchors: [namesake], expect: undefined },
  { name: 'intermediate authorities', leaf: deep, anchors: [below, root, middle], expect: 'app below middle root' },
  { name: 'one of them is missing', leaf: deep, anchors: [below, root], expect: undefined },
  { name: 'the root is missing', leaf: deep, anchors: [below, middle], expect: undefined },
  { name: 'an authority that has expired', leaf: expired.issue('app'), anchors: [expired, root], expect: undefined },
  { name: 'believed by itself', leaf: root.issued, anchors: [root], expect: 'root' },
  { name: 'nobody is believed', leaf, anchors: [], expect: undefined },
  {
    name: 'a forgery in the name of the root',
    leaf: root.issue('app', { signWith: namesake.issued.privateKey }),
    anchors: [root],
    expect: undefined,
  },
]
for (const row of rows) test(row.name, () => assert.equal(chain(row.leaf, row.anchors), row.expect))

const shown: readonly {
  readonly name: string
  readonly text: string
  readonly anchors: readonly TestAuthority[]
  readonly expect: string
}[] = [
  { name: 'its issuers', text: deep.pem, anchors: [root, middle, below], expect: 'app below middle root' },
  { name: 'no issuer that is not believed', text: deep.pem, anchors: [root, below], expect: 'app' },
  { name: 'no namesake', text: leaf.pem, anchors: [namesake], expect: 'app' },
  { name: 'a chain as it is', text: deep.pem + below.issued.pem, anchors: [root, middle, below], expect: 'app below' },
  { name: 'a certificate that signs itself, alone', text: root.issued.pem, anchors: [root], expect: 'root' },
]
for (const row of shown) {
  test(`a server shows ${row.name}`, () => {
    const text = withIssuers(row.text, row.anchors.map(({ issued }) => issued.pem).join(''), now)
    const names = text.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
    assert.equal(names.map(pem => new X509Certificate(pem).subject.replace('CN=', '')).join(' '), row.expect)
    assert.equal(withIssuers(row.text, undefined, now), row.text)
  })
}

test('a client’s certificate is no authority for another', () => {
  const { pem } = leaf
  const signedByLeaf = root.issue('app', { signWith: leaf.privateKey })
  assert.equal(chainOf(signedByLeaf.certificate, parseAuthorities([root.issued.pem, pem]), now), undefined)
})

test('authorities that cross-sign each other end somewhere', () => {
  const first = new TestAuthority('first')
  const second = new TestAuthority('second', first)
  const third = new TestAuthority('third', second)
  assert.equal(chain(third.issue('app'), [second, third]), undefined)
  assert.equal(chain(third.issue('app'), [third, second, first]), 'app third second first')
})

test('an authority that cannot be read is refused', () => {
  const bad = root.issued.pem.replace(/\n.{8}/, '\nAAAAAAAA')
  assert.throws(() => parseAuthorities([bad]), { code: 'authn.bad_certificate' })
  assert.deepEqual(parseAuthorities(['no certificate']), { roots: [], intermediates: [] })
})

test('what a server sent stands on the way', async () => {
  const server = middle.issue('localhost', { usage: 'server', hosts: ['localhost'] })
  const listener = createServer({ key: server.key, cert: server.pem + middle.issued.pem }, socket => socket.end())
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const socket = connect({ port: (listener.address() as AddressInfo).port, host: 'localhost', ca: root.issued.pem })
  await once(socket, 'secureConnect')
  const peer = socket.getPeerX509Certificate() ?? assert.fail('no certificate')
  const found = chainOf(peer, parseAuthorities([root.issued.pem]), now)
  assert.deepEqual(
    found?.map(({ subject }) => subject),
    ['CN=localhost', 'CN=middle', 'CN=root'],
  )
  socket.destroy()
  listener.close()
})
