import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { Certificate } from '@bawn/demo/certificates'
import { probeFiles } from '../packages/bawn/src/config/probe.ts'
import { loadConfiguration } from '../packages/bawn/src/configuration.ts'
import { type Kit, startKit, withClient } from './postgres-kit.ts'
import { doorTlsOfTwo, type NamesKit, startNamesKit } from './server-names-kit.ts'

// A listener with several certificates shows the one for the name that a client asks for, at both doors and with both HTTP engines.

let names: NamesKit
let kit: Kit
before(async () => {
  names = await startNamesKit()
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
})
after(async () => {
  await names.stop()
  await kit.stop()
})

/** CN of the certificate that a listener shows to who asks for this name; `closed` where it shows none. */
async function shown(
  listener: string,
  servername: string | undefined,
  client?: Certificate,
): Promise<string | string[] | undefined> {
  const socket = connectTcp(names.port(listener), '127.0.0.1')
  socket.on('error', () => {})
  if (/sql|postgres/.test(listener)) {
    socket.write(Buffer.from('0000000804d2162f', 'hex'))
    await once(socket, 'data')
  }
  const options: ConnectionOptions = {
    socket,
    ...(servername === undefined ? {} : { servername }),
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
    ca: names.authority.certificate,
    checkServerIdentity: () => undefined,
  }
  const secure = connectTls(options)
  try {
    await once(secure, 'secureConnect')
    if (client !== undefined || listener.startsWith('asking')) {
      // In TLS 1.3 the server looks at the client's certificate when the client has finished: it closes by itself, or waits for more.
      const closed = once(secure, 'close').then(
        () => true,
        () => true,
      )
      secure.on('error', () => {})
      secure.resume()
      secure.write(
        /sql|postgres/.test(listener) ? Buffer.from('0000000804d21630', 'hex') : 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      )
      const answered = once(secure, 'data').then(
        () => false,
        () => true,
      )
      if (await Promise.race([closed, answered])) return 'closed'
    }
    return secure.getPeerCertificate().subject.CN
  } catch {
    return 'closed'
  } finally {
    secure.destroy()
  }
}

const rows: readonly (readonly [asked: string | undefined, cn: string])[] = [
  ['shop.example', 'shop'],
  ['SHOP.example', 'shop'],
  ['a.wild.example', 'wild'],
  ['main.example', 'main'],
  [undefined, 'main'],
]
const unknown = ['wild.example', 'a.b.wild.example', 'other.example', 'shop.example.org', 'localhos']

for (const listener of ['web', 'node', 'sql']) {
  test(`${listener}: the certificate for the name that is asked for, else the listener's own`, async () => {
    for (const [asked, cn] of rows) assert.equal(await shown(listener, asked), `first ${cn}`, asked)
    for (const asked of unknown) assert.equal(await shown(listener, asked), 'first main', asked)
  })
}

for (const listener of ['strict-http', 'strict-postgres']) {
  test(`${listener}: a name that no certificate is for gets no connection`, async () => {
    for (const [asked, cn] of rows) assert.equal(await shown(listener, asked), `first ${cn}`, asked)
    for (const asked of unknown) assert.equal(await shown(listener, asked), 'closed', asked)
  })
}

for (const listener of ['asking-http', 'asking-postgres']) {
  test(`${listener}: clients are asked for their certificates under every name`, async () => {
    const good = names.clients.issue('machine', 'client')
    const bad = names.authority.issue('machine', 'client')
    for (const [asked, cn] of rows) {
      assert.equal(await shown(listener, asked, good), `first ${cn}`, asked)
      assert.equal(await shown(listener, asked, bad), 'closed', asked)
      assert.equal(await shown(listener, asked), 'closed', asked)
    }
  })
}

test('SCRAM is bound to the certificate that was shown', async () => {
  const tls = doorTlsOfTwo(kit.authority)
  const door = await kit.listen({ tls })
  const believing = await kit.listen({ tls: { ...tls, clientCa: kit.authority.certificate } })
  const asked = ['shop.example', 'SHOP.example', 'localhost', 'other.example', undefined]
  for (const [{ address }, servername] of asked.flatMap(name => [[door, name] as const, [believing, name] as const])) {
    const ssl = {
      ca: kit.authority.certificate,
      checkServerIdentity: () => undefined,
      ...(servername === undefined ? {} : { servername }),
    }
    // pg names the host to the server unless it is an address. Bound to another certificate, the proof would be refused.
    const config = kit.client('billy', { host: '127.0.0.1', port: address.port, ssl, enableChannelBinding: true })
    assert.equal(
      await withClient(config, async client => (await client.query('select 1 as one')).rows[0].one),
      1,
      servername,
    )
  }
})

/** What `bawn check` finds wrong, with line and column. */
async function problemsOf(file: string): Promise<readonly string[]> {
  const loaded = await loadConfiguration(file)
  const problems = loaded.kind === 'invalid' ? loaded.problems : probeFiles(loaded.config, loaded.source, {})
  return problems
    .filter(({ level }) => level === 'error')
    .map(({ line, column, message }) => `:${line}:${column}: ${message}`)
}

test('names that the certificate does not have, and names twice, are refused with their line', async () => {
  const configuration = (certificates: string): string => `listeners:
  web:
    door: http
    address: 127.0.0.1:0
    tls:
      certificate: main.crt
      key: main.key
      certificates:
        - ${certificates}
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`
  const file = join(names.folder, 'wrong.yaml')
  for (const [certificates, says] of [
    [
      '{ names: [shop.example, shop.example.org], certificate: shop.crt, key: shop.key }',
      /:9:35: .*shop\.crt is no certificate for shop\.example\.org/,
    ],
    ['{ names: ["*.shop.example"], certificate: shop.crt, key: shop.key }', /is no certificate for \*\.shop\.example/],
    ['{ names: [wild.example], certificate: wild.crt, key: wild.key }', /is no certificate for wild\.example/],
    [
      '{ names: [shop.example, Shop.example], certificate: shop.crt, key: shop.key }',
      /certificates\[0\] has Shop\.example already/,
    ],
    ['{ names: ["10.0.0.1*"], certificate: shop.crt, key: shop.key }', /must be a host name/],
    ['{ names: [shop.example], certificate: none.crt, key: shop.key }', /there is no file/],
  ] as const) {
    writeFileSync(file, configuration(certificates))
    assert.match((await problemsOf(file)).join('\n'), says)
  }
  writeFileSync(
    file,
    configuration(
      '{ names: [exact.wild.example, "*.wild.example", b.wild.example], certificate: wild.crt, key: wild.key }',
    ),
  )
  assert.deepEqual(await problemsOf(file), [])
})

test('all of them are renewed by a reload; a key that does not fit is refused', async () => {
  names.put('second')
  assert.equal((await names.server.reload()).kind, 'reloaded')
  for (const listener of ['web', 'node', 'sql']) {
    for (const [asked, cn] of rows) assert.equal(await shown(listener, asked), `second ${cn}`, `${listener} ${asked}`)
  }
  writeFileSync(join(names.folder, 'shop.key'), names.authority.issue('x', 'server').key)
  const refused = await names.server.reload()
  assert.equal(refused.kind, 'refused')
  assert.match(JSON.stringify(refused), /TLS files of listener/)
  assert.equal(await shown('web', 'shop.example'), 'second shop')
})
