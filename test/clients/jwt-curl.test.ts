import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { CompactEncrypt, exportJWK, SignJWT } from 'jose'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { createAuthority } from '../../packages/demo/src/certificates.ts'
import { type OpenId, startOpenId } from '../../packages/demo/src/openid.ts'
import { heard } from '../heard.ts'
import { bawn } from '../world.ts'

// Tokens of a certified provider and of jose, brought by curl to a gateway that was started from the command line: signed with a public key or a
// secret, encrypted to the gateway, with keys from a URL that only our own authority vouches for. npm cannot install curl: npm run test:clients

let folder: string
let gateway: ChildProcess
let base: string
let provider: OpenId
let partner: OpenId
const closing: Server[] = []

const people = [{ id: 'alice', roles: ['staff'], secret: 'wonderland' }]
const decryption = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const signing = generateKeyPairSync('ed25519')
const secret = randomBytes(32)
const partnerSecret = randomBytes(48)

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(server)
  return (server.address() as AddressInfo).port
}

before(async () => {
  const { status } = spawnSync('curl', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'curl is not installed; on Debian: apt-get install curl')
  const upstream = await listen(
    createHttpServer((request, response) => response.end(`for ${request.headers['x-user']}`)),
  )
  // The provider encrypts to the gateway's public key.
  provider = await startOpenId({
    audience: 'shop',
    people,
    jwt: {
      sign: { alg: 'ES256' },
      encrypt: { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', key: decryption.publicKey, kid: 'gate' },
    },
  })
  // This one shares a secret with it.
  partner = await startOpenId({
    audience: 'shop',
    people,
    jwt: { sign: { alg: 'HS384', key: createSecretKey(partnerSecret) } },
  })
  // Keys of the third are behind a certificate of our own.
  const authority = createAuthority('our own')
  const { certificate, key } = authority.issue('localhost', 'server', ['localhost'])
  const keys = { keys: [{ ...(await exportJWK(signing.publicKey)), kid: 'ed' }] }
  const keyServer = createHttpsServer({ cert: certificate, key }, (_, response) => response.end(JSON.stringify(keys)))
  const keyPort = await listen(keyServer)

  folder = mkdtempSync(join(tmpdir(), 'bawn-jwt-'))
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  const masterKey = randomBytes(32)
  write('master', masterKey.toString('base64'))
  write('gate.jwk', JSON.stringify({ ...(await exportJWK(decryption.privateKey)), kid: 'gate', use: 'enc' }))
  write('rsa.pem', String(rsa.privateKey.export({ format: 'pem', type: 'pkcs8' })))
  write('secret', secret.toString('hex'))
  write('partner.secret', partnerSecret.toString('base64'))
  write('ca.pem', authority.certificate)
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-fields' })
  write(
    'bawn.yaml',
    `listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams: { main: { url: "http://127.0.0.1:${upstream}" } }
issuers:
  corp:
    { issuer: "${provider.issuer}", audience: [shop], jwks: "${provider.jwksUrl}", insecure_http: true, typ: at+jwt,
      decryption: { keys: [file:gate.jwk] } }
  partner: { issuer: "${partner.issuer}", audience: [shop], secret: file:partner.secret, algorithms: [HS384] }
  scripts: { issuer: scripts, audience: [shop], secret: file:secret, secret_encoding: hex }
  inside:
    { issuer: inside, audience: [shop], jwks: "https://localhost:${keyPort}/", ca: ca.pem,
      decryption: { keys: [file:rsa.pem], algorithms: [RSA-OAEP-256] } }
host_rules: [{ door: http, use: [jwt] }]
policies: { staff: { roles: [staff] } }
routes: [{ path: /orders, methods: [GET], upstream: main, allow: [staff], identity_headers: { id: X-User } }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  const [program, ...args] = bawn
  gateway = spawn(program, [...args, 'start', '--config', join(folder, 'bawn.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  base = `http://${await heard(gateway, /^listening: web \(http\) on (\S+)\n/m)}`
})
after(async () => {
  if (gateway?.exitCode === null) {
    gateway.removeAllListeners('exit')
    gateway.kill('SIGTERM')
    await once(gateway, 'exit')
  }
  await provider?.close()
  await partner?.close()
  for (const server of closing) server.close()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

/** Status, and what came. */
async function curl(token: string): Promise<readonly [status: string, body: string]> {
  const args = ['-sS', '-w', '\n%{http_code}', '--oauth2-bearer', token, `${base}/orders`]
  const { stdout } = await promisify(execFile)('curl', args)
  const end = stdout.lastIndexOf('\n')
  return [stdout.slice(end + 1), stdout.slice(0, end)]
}

const seconds = (): number => Math.floor(Date.now() / 1000)
const claims = (iss: string) => ({ iss, aud: 'shop', sub: 'bob', roles: ['staff'], exp: seconds() + 60 })
const signed = (iss: string, alg: string, key: KeyObject, header: object = {}): Promise<string> =>
  new SignJWT(claims(iss)).setProtectedHeader({ alg, ...header }).sign(key)
const sealed = (text: string, alg: string, key: KeyObject, header: object = {}): Promise<string> =>
  new CompactEncrypt(Buffer.from(text)).setProtectedHeader({ alg, enc: 'A256GCM', cty: 'JWT', ...header }).encrypt(key)

test('curl: a token that the provider signed and encrypted to the gateway', async () => {
  const token = await provider.token('alice')
  assert.equal(token.split('.').length, 5)
  assert.deepEqual(await curl(token), ['200', 'for alice'])
  assert.deepEqual(await curl(token), ['200', 'for alice'])
  const [header = '', key = '', iv = '', text = '', tag = ''] = token.split('.')
  const changed = `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`
  assert.equal((await curl([header, key, iv, changed, tag].join('.')))[0], '401')
})

test('curl: a token that the provider signed with a secret', async () => {
  assert.deepEqual(await curl(await partner.token('alice')), ['200', 'for alice'])
})

test('curl: tokens of jose, signed with a secret, with Ed25519, and encrypted besides', async () => {
  const hmac = createSecretKey(secret)
  assert.deepEqual(await curl(await signed('scripts', 'HS256', hmac)), ['200', 'for bob'])
  const inner = await signed('inside', 'EdDSA', signing.privateKey, { kid: 'ed' })
  assert.deepEqual(await curl(inner), ['200', 'for bob'])
  assert.deepEqual(await curl(await sealed(inner, 'RSA-OAEP-256', rsa.publicKey)), ['200', 'for bob'])
})

test('curl: every bad token has the same answer', async () => {
  const hmac = createSecretKey(secret)
  const inner = await signed('inside', 'EdDSA', signing.privateKey, { kid: 'ed' })
  const good = await signed('scripts', 'HS256', hmac)
  const publicPem = String(signing.publicKey.export({ format: 'pem', type: 'spki' }))
  const bad = [
    await signed('scripts', 'HS256', createSecretKey(randomBytes(32))),
    await signed('scripts', 'HS512', hmac),
    await signed('inside', 'HS256', hmac),
    await signed('inside', 'HS256', createSecretKey(Buffer.from(publicPem)), { kid: 'ed' }),
    good.replace(/[^.]*$/, ''),
    good.replace(/^[^.]*/, Buffer.from('{"alg":"none"}').toString('base64url')),
    await sealed(inner, 'RSA-OAEP', rsa.publicKey),
    await sealed(inner, 'ECDH-ES+A256KW', decryption.publicKey, { kid: 'gate' }),
    await sealed(good, 'RSA-OAEP-256', rsa.publicKey),
    await sealed(inner, 'RSA-OAEP-256', rsa.publicKey, { zip: 'DEF' }),
    await sealed(inner, 'RSA-OAEP-256', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey),
    await sealed(JSON.stringify(claims('inside')), 'RSA-OAEP-256', rsa.publicKey),
  ]
  const answers = new Set<string>()
  for (const token of bad) {
    const [status, body] = await curl(token)
    answers.add(`${status} ${body.replace(/"(request_?[iI]d|instance)":"[^"]*"/g, '')}`)
  }
  assert.equal(answers.size, 1, [...answers].join('\n'))
  assert.match([...answers].join(), /^401 .*authn\.failed/)
})
