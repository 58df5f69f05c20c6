import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { heard } from '../heard.ts'
import { bawn } from '../world.ts'
import { installPython } from './install.ts'

// A gateway that was started from the command line, towards moto's server, which checks each signature with what its IAM knows of the key:
// callers have no key of their own. npm run test:aws

let folder: string
let cloud: ChildProcess
let gateway: ChildProcess
let direct: string
let keyId: string
let base: string

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bawn-aws-'))
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  cloud = spawn(await installPython(), [join(import.meta.dirname, 'cloud.py')], { stdio: ['pipe', 'pipe', 'pipe'] })
  const { url, id, secret } = JSON.parse(await heard(cloud, /^(\{.*\})\n/m))
  direct = url
  keyId = id
  // From now on each request is judged, from the very first.
  assert.equal((await fetch(`${direct}/moto-api/reset-auth`, { method: 'POST', body: '0' })).status, 200)
  const masterKey = randomBytes(32)
  write('master', masterKey.toString('base64'))
  write('id', id)
  write('secret', secret)
  write('wrong', `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`)
  write('unknown', 'AKIAIOSFODNN7EXAMPLE')
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'gateway' })
  const upstream = (name: string, idFile: string, secretFile: string, region = 'eu-central-1'): string =>
    `  ${name}: { url: "${direct}", credentials: { kind: aws-sigv4, region: ${region}, service: s3, access_key_id: file:${idFile}, secret_access_key: file:${secretFile} } }\n`
  const names = ['right', 'wrong', 'unknown']
  write(
    'bawn.yaml',
    `listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams:
${upstream('right', 'id', 'secret')}${upstream('wrong', 'id', 'wrong')}${upstream('unknown', 'unknown', 'secret')}host_rules: [{ door: http, use: [] }]
routes:
${names
  .map(
    name =>
      `  - { path: "/${name}/orders/*", methods: [GET, HEAD, PUT, DELETE, POST], upstream: ${name}, upstream_path: "/orders/*", allow: [anyone] }\n`,
  )
  .join('')}keys: { store: { kind: directory, path: keys }, master: file:master, client_id: gateway }
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
  for (const child of [gateway, cloud]) {
    if (child === undefined || child.exitCode !== null) continue
    child.removeAllListeners('exit')
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

async function ask(method: string, path: string, body?: Uint8Array<ArrayBuffer>) {
  const answer = await fetch(`${base}${path}`, { method, ...(body === undefined ? {} : { body }) })
  return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }
}

test('nobody gets in past the gateway', async () => {
  const signed = 'SignedHeaders=host;x-amz-content-sha256;x-amz-date'
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${now.slice(0, 8)}/eu-central-1/s3/aws4_request`
  const headers = {
    authorization: `AWS4-HMAC-SHA256 Credential=${keyId}/${scope}, ${signed}, Signature=${'0'.repeat(64)}`,
    'x-amz-date': now,
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
  }
  const answer = await fetch(`${direct}/orders/one`, { method: 'PUT', body: 'x', headers })
  assert.equal(answer.status, 403)
  assert.match(await answer.text(), /SignatureDoesNotMatch/)
})

for (const [what, key] of [
  ['a plain name', 'one'],
  ['folders', 'a/b/c.json'],
  ['blanks and marks', "a b/!$'()*,:@=&+~.txt"],
  ['letters of others', 'ä/€/🔑'],
  ['a percent sign', '50% off'],
] as const) {
  test(`S3 takes, gives and forgets an object through the gateway: ${what}`, async () => {
    const path = `/right/orders/${key.split('/').map(encodeURIComponent).join('/')}`
    const body = randomBytes(70_000)
    const put = await ask('PUT', path, body)
    assert.equal(put.status, 200, String(put.body))
    const got = await ask('GET', path)
    assert.deepEqual([got.status, got.body.equals(body)], [200, true])
    assert.equal((await ask('HEAD', path)).status, 200)
    for (const refused of ['wrong', 'unknown']) {
      const { status, body: document } = await ask('GET', path.replace('right', refused))
      assert.equal(status, 403)
      assert.match(String(document), refused === 'wrong' ? /SignatureDoesNotMatch/ : /InvalidAccessKeyId/)
    }
    assert.equal((await ask('DELETE', path)).status, 204)
    assert.equal((await ask('GET', path)).status, 404)
  })
}

test('a wrong secret writes nothing', async () => {
  const refused = await ask('PUT', '/wrong/orders/never', Buffer.from('x'))
  assert.equal(refused.status, 403)
  assert.match(String(refused.body), /SignatureDoesNotMatch/)
  assert.equal((await ask('GET', '/right/orders/never')).status, 404)
})

test('queries are signed as they are sent', async () => {
  for (const key of ['list/a b', 'list/ä', 'other']) {
    const path = `/right/orders/${key.split('/').map(encodeURIComponent).join('/')}`
    assert.equal((await ask('PUT', path, Buffer.from(key))).status, 200)
  }
  for (const [query, wanted] of [
    ['?tagging', 200],
    ['?response-content-type=text%2Fplain%3B%20charset%3Dutf-8', 200],
    ['?response-content-type=text/plain&x=a+b', 200],
  ] as const) {
    const { status, body } = await ask('GET', `/right/orders/${encodeURIComponent('other')}${query}`)
    assert.equal(status, wanted, `${query}: ${body}`)
  }
})
