import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Authority, type Certificate, createAuthority } from '@bawn/demo/certificates'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import type { DoorTls } from '../packages/bawn/src/postgres/tls.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'

// A gateway whose listeners have several certificates, for the tests of which one is shown. No tests in here.

export interface NamesKit {
  readonly folder: string
  readonly server: RunningServer
  readonly authority: Authority
  /** Of clients. */
  readonly clients: Authority
  /** Issues the three certificates anew, with this in front of their CN. */
  put(prefix: string): void
  port(listener: string): number
  stop(): Promise<void>
}

const hosts = {
  main: ['localhost', 'main.example', '127.0.0.1'],
  shop: ['shop.example'],
  wild: ['*.wild.example', 'exact.wild.example'],
} as const

/** `web` and `node` are the two HTTP engines, `sql` is PostgreSQL; `strict` refuses unknown names, `asking` wants certificates of clients. */
export async function startNamesKit(): Promise<NamesKit> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-names-'))
  const authority = createAuthority('servers')
  const clients = createAuthority('clients')
  const file = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  const put = (prefix: string): void => {
    for (const [name, names] of Object.entries(hosts)) {
      const { certificate, key } = authority.issue(`${prefix} ${name}`, 'server', names)
      file(`${name}.crt`, certificate)
      file(`${name}.key`, key)
    }
  }
  put('first')
  const masterKey = randomBytes(32)
  file('master', masterKey.toString('base64'))
  file('clients.crt', clients.certificate)
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })
  const tls = (more: string): string => `tls:
      certificate: main.crt
      key: main.key
      certificates:
        - { names: [shop.example], certificate: shop.crt, key: shop.key }
        - { names: ["*.Wild.example"], certificate: wild.crt, key: wild.key }
      ${more}`
  const listener = (name: string, door: string, more: string): string =>
    `  ${name}:\n    ${door}\n    address: 127.0.0.1:0\n    ${tls(more)}\n`
  file(
    'bawn.yaml',
    `listeners:
${listener('web', 'door: http', '')}${listener('node', 'door: http\n    engine: node-http', '')}${listener('sql', 'door: postgres', '')}
${['http', 'postgres'].map(door => listener(`strict-${door}`, `door: ${door}`, 'unknown_name: refuse')).join('')}
${['http', 'postgres'].map(door => listener(`asking-${door}`, `door: ${door}`, 'client_ca: clients.crt\n      client_certificate: required')).join('')}
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-keys }
audit: { file: audit.jsonl }
`,
  )
  const server = await startServer({ configPath: join(folder, 'bawn.yaml'), log: () => {}, clock: Date.now })
  return {
    folder,
    server,
    authority,
    clients,
    put,
    port: name => Number(server.addresses[name]?.split(':').at(-1)),
    async stop() {
      await server.close(0)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** TLS of a PostgreSQL listener with a certificate for `shop.example` beside its own for `localhost`. */
export function doorTlsOfTwo(authority: Authority): DoorTls {
  const issue = (name: string): Certificate => authority.issue(name, 'server', [name, '127.0.0.1'])
  const own = issue('localhost')
  return {
    ...own,
    clientCa: undefined,
    clientCertificate: 'off',
    serverNames: {
      certificates: [{ names: ['shop.example'], ...issue('shop.example') }],
      unknownName: 'default',
      fallback: new X509Certificate(own.certificate),
    },
  }
}
