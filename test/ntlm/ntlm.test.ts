import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { generateAuditKey, generateKeys } from '../../packages/bawn/src/keys/generate.ts'
import { openHandshake } from '../../packages/bawn/src/outbound/open.ts'
import { outboundCredentialsOptions } from '../../packages/bawn/src/outbound/option.ts'
import { heard } from '../heard.ts'
import { bawn } from '../world.ts'

// A gateway that was started from the command line, towards an acceptor that somebody else wrote (pyspnego), with curl --ntlm beside it: npm run test:ntlm

const here = import.meta.dirname
const run = promisify(execFile)
let folder: string
let acceptor: ChildProcess
let gateway: ChildProcess
let direct: string
let base: string

/** Python with pyspnego, installed once. */
async function python(): Promise<string> {
  const place = join(import.meta.dirname, '../../node_modules/.cache/ntlm-0.12.4')
  const whole = join(place, 'whole')
  if (!existsSync(whole)) {
    rmSync(place, { recursive: true, force: true })
    mkdirSync(place, { recursive: true })
    await run('python3', ['-m', 'venv', place])
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
    await run(join(place, 'bin/python'), [...args, '-r', join(here, 'requirements.txt')])
    writeFileSync(whole, '')
  }
  return join(place, 'bin/python')
}

before(async () => {
  for (const [program, args, debian] of [
    ['curl', ['--version'], 'curl'],
    ['python3', ['-c', 'import venv, ensurepip'], 'python3-venv'],
  ] as const) {
    const { status } = spawnSync(program, args, { stdio: 'ignore' })
    assert.equal(status, 0, `${program} does not work; on Debian: apt-get install ${debian}`)
  }
  folder = mkdtempSync(join(tmpdir(), 'bawn-ntlm-'))
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  write('users', 'CORP:gateway:Pass word 1\n')
  acceptor = spawn(await python(), [join(here, 'acceptor.py')], {
    env: { ...process.env, NTLM_USER_FILE: join(folder, 'users') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  direct = `http://127.0.0.1:${await heard(acceptor, /^(\d+)\n/)}`
  const masterKey = randomBytes(32)
  write('master', masterKey.toString('base64'))
  write('right', 'Pass word 1')
  write('wrong', 'Pass word 2')
  generateAuditKey({ path: join(folder, 'keys'), masterKey })
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'gateway' })
  write(
    'bawn.yaml',
    `listeners: { web: { door: http, address: "127.0.0.1:0" } }
upstreams:
  right: { url: "${direct}", credentials: { kind: ntlm, user: 'CORP\\gateway', password: file:right }, max_connections: 4 }
  wrong: { url: "${direct}", credentials: { kind: ntlm, user: 'CORP\\gateway', password: file:wrong } }
host_rules: [{ door: http, use: [] }]
routes:
  - { path: /right, methods: [GET, POST], upstream: right, allow: [anyone] }
  - { path: /wrong, methods: [GET, POST], upstream: wrong, allow: [anyone] }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: gateway }
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
  for (const child of [gateway, acceptor]) {
    if (child?.exitCode !== null) continue
    child.removeAllListeners('exit')
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

/** Status, and what came. */
async function curl(...args: readonly string[]): Promise<readonly [status: string, body: string]> {
  const { stdout } = await run('curl', ['-sS', '--noproxy', '*', '-w', '\n%{http_code}', ...args])
  const end = stdout.lastIndexOf('\n')
  return [stdout.slice(end + 1), stdout.slice(0, end)]
}

test('the acceptor knows curl, and does not know it by another password', async () => {
  assert.deepEqual(await curl('--ntlm', '-u', 'CORP\\gateway:Pass word 1', '-d', 'abc', `${direct}/right`), [
    '200',
    'CORP\\gateway POST 3 NTLM',
  ])
  assert.equal((await curl('--ntlm', '-u', 'CORP\\gateway:Pass word 2', `${direct}/right`))[0], '401')
})

test('the acceptor knows the gateway, for callers that say nothing', async () => {
  assert.deepEqual(await curl('-d', 'abc', `${base}/right`), ['200', 'CORP\\gateway POST 3 NTLM'])
  // The connection is known by now: nothing goes along.
  assert.deepEqual(await curl(`${base}/right`), ['200', 'CORP\\gateway GET 0 '])
  const many = await Promise.all(Array.from({ length: 24 }, (_, at) => curl('-d', 'x'.repeat(at + 1), `${base}/right`)))
  for (const [at, [status, body]] of many.entries()) {
    assert.equal(status, '200')
    assert.ok(body.startsWith(`CORP\\gateway POST ${at + 1} `), body)
  }
})

test('by another password it does not, and the caller learns no more than that', async () => {
  const [status, body] = await curl(`${base}/wrong`)
  assert.equal(status, '502')
  assert.equal(JSON.parse(body).code, 'outbound.refused')
})

test('messages have the fields that those of curl have', async t => {
  // Without names and without a time: nothing in it but four bytes that end the list of them.
  const challenge = Buffer.alloc(56)
  challenge.write('NTLMSSP\0\x02', 'latin1')
  challenge.writeUInt32LE(0x00888205, 20)
  challenge.writeUInt16LE(4, 40)
  challenge.writeUInt16LE(4, 42)
  challenge.writeUInt32LE(52, 44)
  const asked = `NTLM ${challenge.toString('base64')}`
  const messages: Buffer[] = []
  const server = createServer((request, response) => {
    const message = Buffer.from(request.headers.authorization?.slice(5) ?? '', 'base64')
    messages.push(message)
    const isFirst = message[8] === 1
    if (isFirst) response.writeHead(401, { 'www-authenticate': asked })
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  await curl('--ntlm', '-u', 'CORP\\gateway:Pass word 1', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  const [first, third] = messages
  assert.ok(first !== undefined && third !== undefined && messages.length === 2)

  const options = outboundCredentialsOptions.parse({ kind: 'ntlm', user: 'CORP\\gateway', password: 'env:P' })
  assert.ok(options.kind === 'ntlm')
  const attempt = openHandshake(options, { clock: Date.now, secret: () => 'Pass word 1' }).begin()
  const ourFirst = Buffer.from(attempt.first.slice(5), 'base64')
  const ourThird = Buffer.from(attempt.reply([asked]).slice(5), 'base64')
  // curl offers OEM text where we offer Unicode, and says so in its first message; the third is Unicode in both.
  assert.deepEqual([first.length, first.readUInt32LE(12)], [32, 0x00088206])
  assert.deepEqual([ourFirst.length, ourFirst.readUInt32LE(12)], [32, 0x00088205])
  const field = (message: Buffer, at: number): Buffer =>
    message.subarray(message.readUInt32LE(at + 4), message.readUInt32LE(at + 4) + message.readUInt16LE(at))
  for (const at of [28, 36]) assert.deepEqual(field(ourThird, at), field(third, at))
  for (const at of [12, 20]) assert.equal(field(ourThird, at).length, field(third, at).length)
})
