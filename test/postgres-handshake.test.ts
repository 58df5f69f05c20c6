import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import pg from 'pg'
import { TestAuthority } from '../packages/bawn/src/authn/revocation/authority.fixture.ts'
import { createScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import type { DatabaseState } from '../packages/bawn/src/postgres/state.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildSslRequest, buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { type Kit, password, RawClient, rules, startKit, withClient } from './postgres-kit.ts'

// What a login costs is kept low by work that is done once for many. Here is what may not come of that.

let kit: Kit
before(async () => {
  kit = await startKit(
    "create table people (id int primary key, name text, email bytea, photo bytea); create role app login superuser password 'first'",
  )
})
after(() => kit.stop())
beforeEach(() => rules.clear())

/** Shakes hands behind SSLRequest. */
async function shake(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTcp(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(buildSslRequest())
  await once(socket, 'data')
  const secure = connectTls({ servername: 'localhost', ca: kit.authority.certificate, ...options, socket })
  secure.on('error', () => {})
  await once(secure, 'secureConnect')
  return secure
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: no session is resumed, each client proves its certificate anew`, async () => {
    const { port } = kit.door.address
    const versions = { minVersion: version, maxVersion: version }
    const first = await shake(port, versions)
    let session = first.getSession()
    first.on('session', ticket => {
      session = ticket
    })
    // What is refused in the startup packet is answered: tickets have come before.
    first.write(Buffer.from('0000000800ff0000', 'hex'))
    first.resume()
    await once(first, 'close')
    const second = await shake(port, { ...versions, ...(session === undefined ? {} : { session }) })
    assert.equal(second.isSessionReused(), false)
    second.destroy()
  })
}

test('AES-128 comes first, and what a client insists on is still there', async () => {
  for (const { options, agreed } of [
    { options: {}, agreed: 'TLS_AES_128_GCM_SHA256' },
    { options: { ciphers: 'TLS_AES_256_GCM_SHA384' }, agreed: 'TLS_AES_256_GCM_SHA384' },
    { options: { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }, agreed: 'TLS_CHACHA20_POLY1305_SHA256' },
    {
      options: { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' },
      agreed: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    },
  ] as const) {
    const secure = await shake(kit.door.address.port, options)
    assert.equal(secure.getCipher().standardName, agreed)
    secure.destroy()
  }
})

test('issuers that the listener believes are shown with its certificate, and SCRAM is bound to the certificate alone', async () => {
  const root = new TestAuthority('root')
  const middle = new TestAuthority('middle', root)
  const { pem: certificate, key } = middle.issue('localhost', { usage: 'server' })
  const rows = [
    { name: 'the certificate alone', certificate, believed: [middle, root] },
    { name: 'with its issuer', certificate: certificate + middle.issued.pem, believed: [middle, root] },
    { name: 'nobody is believed', certificate: certificate + middle.issued.pem, believed: [] },
  ]
  for (const row of rows) {
    const clientCa = row.believed.length === 0 ? undefined : row.believed.map(({ issued }) => issued.pem).join('')
    const tls = { certificate: row.certificate, key, clientCa, clientCertificate: 'off' as const }
    const door = await kit.listen({ tls })
    const ssl = { ca: root.issued.pem, checkServerIdentity: () => undefined }
    const secure = await shake(door.address.port, ssl)
    const chain = new Set<string>()
    for (let at = secure.getPeerCertificate(true); at && !chain.has(at.fingerprint256); at = at.issuerCertificate) {
      chain.add(at.fingerprint256)
    }
    secure.destroy()
    // A client adds the root, which it has itself.
    assert.equal(chain.size, 3, row.name)
    const config = kit.client('billy', { port: door.address.port, ssl, enableChannelBinding: true })
    assert.equal(await withClient(config, async client => (await client.query('select 1 as a')).rows[0].a), 1, row.name)
  }
})

/** Logs in by SCRAM in clear, and reads to the end of the greeting or to the refusal. */
async function login(port: number, database: string): Promise<RawClient> {
  rules.set('billy', { kind: 'matched', rule: 'test', use: ['scram'] })
  const raw = await RawClient.connect(port)
  const nonce = randomBytes(18).toString('base64')
  const offered = ['SCRAM-SHA-256']
  const scram = createScramCredential(password).start({ offered, tls: false, channelBinding: undefined, nonce })
  raw.socket.write(
    buildStartupMessage([
      ['user', 'billy'],
      ['database', database],
    ]),
  )
  await raw.until(() => raw.letters() === 'R')
  const initial = new MessageBuilder().begin(front.password).cstring('SCRAM-SHA-256')
  raw.socket.write(initial.int32(scram.first.length).bytes(scram.first).end().take())
  await raw.until(() => raw.letters() === 'RR')
  const proof = await scram.respond(raw.messages()[1]?.body.subarray(4) ?? Buffer.alloc(0))
  raw.socket.write(new MessageBuilder().begin(front.password).bytes(proof).end().take())
  await raw.until(() => /[EZ]/.test(raw.letters()))
  const final = raw.messages()[2]
  assert.equal(final?.body.readInt32BE(0), 12)
  scram.finish(final.body.subarray(4))
  return raw
}

test('the door proves itself before it lets a client in, and before it refuses one that has proven itself', async () => {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const closed: DatabaseState = { ...shop, name: 'closed', gate: createGate([], {}) }
  const lost: DatabaseState = { ...shop, name: 'lost', upstream: { ...shop.upstream, port: 1, tls: undefined } }
  const databases = new Map([
    ['shop', shop],
    ['closed', closed],
    ['lost', lost],
  ])
  const door = await kit.listen({ tls: undefined }, { databases })
  for (const [database, letters] of [
    ['shop', /^RRRR(?:S|N)+KZ$/],
    ['closed', /^RRRE$/],
    ['lost', /^RRRE$/],
    ['nowhere', /^RRRE$/],
  ] as const) {
    const raw = await login(door.address.port, database)
    assert.match(raw.letters(), letters, database)
    raw.socket.destroy()
  }
})

test('a password that was changed holds at once: keys are kept for the password and the salt that they are of', async () => {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const by = (secret: string) => {
    const upstream = { ...shop.upstream, user: 'app', password: secret }
    return { ...kit.state, databases: new Map([['shop', { ...shop, upstream }]]) }
  }
  const door = await kit.listen({}, by('first'))
  const enter = async (): Promise<string> => {
    try {
      const config = kit.client('billy', { port: door.address.port })
      return await withClient(config, async client => (await client.query('select current_user as name')).rows[0].name)
    } catch (error) {
      assert.ok(error instanceof pg.DatabaseError)
      return error.code ?? ''
    }
  }
  for (let times = 0; times < 3; times += 1) assert.equal(await enter(), 'app')
  // The same password with another salt.
  await kit.direct("alter role app password 'first'")
  assert.equal(await enter(), 'app')
  await kit.direct("alter role app password 'second'")
  const refused = await enter()
  assert.notEqual(refused, 'app')
  door.swap(by('second'))
  for (let times = 0; times < 2; times += 1) assert.equal(await enter(), 'app')
  door.swap(by('first'))
  assert.equal(await enter(), refused)
  await kit.direct("alter role app password 'first'")
  assert.equal(await enter(), 'app')
})
