import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createAuthority } from '@bawn/demo/certificates'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { startServer } from '../packages/bawn/src/server.ts'

// A certificate that was renewed on disk is shown after a reload, at both doors; one that cannot be used leaves the old one in force.

const folder = mkdtempSync(join(tmpdir(), 'bawn-renewal-'))
after(() => rmSync(folder, { recursive: true }))
const masterKey = randomBytes(32)
writeFileSync(join(folder, 'master'), masterKey.toString('base64'), { mode: 0o600 })
generateAuditKey({ path: join(folder, 'keys'), masterKey })
generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
const configPath = join(folder, 'bawn.yaml')
writeFileSync(
  configPath,
  `listeners:
  web: { door: http, address: 127.0.0.1:0, tls: { certificate: web.pem, key: web.key } }
  sql: { door: postgres, address: 127.0.0.1:0, tls: { certificate: web.pem, key: web.key } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
)

const authority = createAuthority('Renewals')
function putCertificate(name: string): void {
  const { certificate, key } = authority.issue(name, 'server', ['localhost'])
  writeFileSync(join(folder, 'web.pem'), certificate)
  writeFileSync(join(folder, 'web.key'), key, { mode: 0o600 })
}

/** The CN of the certificate that a listener shows. */
async function shown(address: string | undefined, door: 'http' | 'postgres'): Promise<unknown> {
  const socket = connectTcp(Number(address?.split(':')[1]), '127.0.0.1')
  if (door === 'postgres') {
    socket.write(Buffer.from('0000000804d2162f', 'hex'))
    await once(socket, 'data')
  }
  const secure = connectTls({ socket, servername: 'localhost', ca: authority.certificate, ALPNProtocols: [] })
  await once(secure, 'secureConnect')
  const { subject } = secure.getPeerCertificate()
  secure.destroy()
  return subject.CN
}

test('a renewed certificate is shown after a reload, and a broken one is refused', async () => {
  putCertificate('first')
  const server = await startServer({ configPath, log: () => {}, clock: Date.now })
  try {
    const names = async () => [
      await shown(server.addresses['web'], 'http'),
      await shown(server.addresses['sql'], 'postgres'),
    ]
    assert.deepEqual(await names(), ['first', 'first'])
    putCertificate('second')
    assert.equal((await server.reload()).kind, 'reloaded')
    assert.deepEqual(await names(), ['second', 'second'])
    const other = authority.issue('other', 'server', ['localhost'])
    writeFileSync(join(folder, 'web.key'), other.key)
    const refused = await server.reload()
    assert.equal(refused.kind, 'refused')
    assert.match(JSON.stringify(refused), /TLS files of listener web/)
    assert.deepEqual(await names(), ['second', 'second'])
  } finally {
    await server.close(0)
  }
})
