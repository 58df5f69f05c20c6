import assert from 'node:assert/strict'
import { type ChildProcess, execFile, execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { createAuthority } from '@bawn/demo/certificates'
import { spawnCompanion } from '@bawn/demo/companion'
import { freePort } from '@bawn/demo/listen'
import { bawn } from './world.ts'

// The example of hints, as a reader has it, on other ports: what its README asks, and what it says comes back.

const folder = mkdtempSync(join(import.meta.dirname, '.hints-'))
const running: ChildProcess[] = []
const env = { ...process.env, ACRA_MASTER_KEY: randomBytes(32).toString('base64') }
const [program, ...first] = bawn
let readme = ''
let gatewayPort = ''
/** Of the listener that the example does not have: the same over TLS. */
let secure = ''

async function start(command: string, args: readonly string[], ready: RegExp): Promise<void> {
  const child = spawnCompanion(command, args, { atOurDeath: 'TERM', cwd: folder, env, stdout: 'pipe' })
  running.push(child)
  let said = ''
  child.stderr?.on('data', bytes => {
    said += bytes
  })
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', bytes => {
      said += bytes
      if (ready.test(said)) resolve()
    })
    child.once('close', () => reject(new Error(`it ended: ${said}`)))
  })
}

before(async () => {
  cpSync(join(import.meta.dirname, '../examples/hints'), folder, { recursive: true })
  const ports: Record<string, number> = { 8080: await freePort(), 3000: await freePort() }
  gatewayPort = String(ports[8080])
  for (const name of ['bawn.yaml', 'orders.ts', 'README.md']) {
    const text = readFileSync(join(folder, name), 'utf8')
    writeFileSync(
      join(folder, name),
      text.replace(/\b(?:8080|3000)\b/g, port => String(ports[port])),
    )
  }
  const authority = createAuthority('hints')
  const { certificate, key } = authority.issue('localhost', 'server', ['localhost'])
  for (const [name, text] of Object.entries({ ca: authority.certificate, certificate, key })) {
    writeFileSync(join(folder, `${name}.pem`), text, { mode: 0o600 })
  }
  const port = await freePort()
  secure = `https://localhost:${port}`
  const listener = `  secure: { door: http, address: 127.0.0.1:${port}, tls: { certificate: certificate.pem, key: key.pem } }`
  const config = join(folder, 'bawn.yaml')
  writeFileSync(config, readFileSync(config, 'utf8').replace(/^ {2}web: .*$/m, `$&\n${listener}`))
  readme = readFileSync(join(folder, 'README.md'), 'utf8')
  await start(process.execPath, ['orders.ts'], /^ready: /m)
  execFileSync(program, [...first, 'keys', 'generate', '--audit'], { cwd: folder, env })
  await start(program, [...first, 'start'], /^listening: web /m)
})

after(async () => {
  for (const child of running.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    child.kill('SIGTERM')
    await ended
  }
  rmSync(folder, { recursive: true, force: true })
})

const asks = (): RegExpExecArray[] => [
  ...readme.matchAll(/^curl -H '([^':]+): ([^']+)' "?(http:[^\s"]+)"?\n```\n(?:\n```json\n(.*)\n)?/gm),
]

test('the backend gives what the policies say, as the README shows', async () => {
  const asked = asks()
  assert.equal(asked.length, readme.match(/^curl /gm)?.length)
  const statuses: number[] = []
  for (const [, name = '', value = '', url = '', wanted] of asked) {
    const answer = await fetch(url, { headers: { [name]: value } })
    const body = await answer.text()
    statuses.push(answer.status)
    if (wanted !== undefined) assert.equal(body, wanted, url)
    else assert.equal(JSON.parse(body).code, 'policy.denied')
  }
  assert.deepEqual(statuses, [200, 200, 200, 403, 401])
})

test('curl is given the same by HTTP/2, whatever hint it sends itself', async () => {
  const { status } = spawnSync('curl', ['--version'])
  assert.equal(status, 0, 'curl is not installed; on Debian: apt-get install curl')
  const forged = JSON.stringify({ rows: { where: 'true', values: {} }, fields: { mail: 'plain' } })
  const statuses: string[] = []
  for (const [, name = '', value = '', url = '', wanted] of asks()) {
    const { pathname, search, port } = new URL(url)
    // The last one goes past the gateway.
    if (port !== gatewayPort) continue
    const { stdout } = await promisify(execFile)('curl', [
      ...['--silent', '--http2', '--cacert', join(folder, 'ca.pem'), '--max-time', '20'],
      ...['--write-out', '\n%{http_version} %{http_code}'],
      ...['X-Bawn-Hints', 'X-Identity'].flatMap(header => ['--header', `${header}: ${forged}`]),
      ...['--header', `${name}: ${value}`, `${secure}${pathname}${search}`],
    ])
    const end = stdout.lastIndexOf('\n')
    const body = stdout.slice(0, end)
    statuses.push(stdout.slice(end + 1))
    if (wanted !== undefined) assert.equal(body, wanted, url)
    else assert.equal(JSON.parse(body).code, 'policy.denied')
  }
  assert.deepEqual(statuses, ['2 200', '2 200', '2 200', '2 403'])
})

test('explaining names the entry, and who none is for', () => {
  const explain = (role: string): string => {
    const args = [...first, 'explain', 'request', 'GET', '/orders/eu', '--role', role]
    try {
      return execFileSync(program, args, { cwd: folder, env, encoding: 'utf8' })
    } catch (error) {
      assert.ok(error instanceof Error && 'stdout' in error)
      return String(error.stdout)
    }
  }
  const wanted = { where: 'region = @region AND owner = @user', values: { region: 'eu', user: 'somebody' } }
  const customer = explain('customer')
  assert.ok(customer.includes(`rows, by hints.rows.1: ${JSON.stringify(wanted)}`), customer)
  assert.match(customer, /field mail: withheld/)
  assert.match(explain('visitor'), /refused, by no entry of hints\.rows: policy\.denied/)
})

test('the trail says what the backend was told of each, and nothing that came with the request', () => {
  const trail = readFileSync(join(folder, 'data/audit.jsonl'), 'utf8')
  const lines: { identity?: { id: string }; resource: string; decision: string; hints?: object }[] = trail
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const asked = lines.filter(({ resource }) => resource === '/orders/{region}')
  const region = { fromRequest: ['region'] }
  const ofAnn = {
    ...{ by: 'hints.rows.1', where: 'region = @region AND owner = @user', values: { user: 'ann' }, ...region },
    fields: { mail: 'withheld' },
  }
  const byEach = [
    [
      'sue',
      'permit',
      { by: 'hints.rows.0', where: 'region = @region', values: {}, ...region, fields: { mail: 'plain' } },
    ],
    ['ann', 'permit', ofAnn],
    ['ann', 'permit', ofAnn],
    ['tom', 'deny', undefined],
  ]
  assert.deepEqual(
    asked.map(({ identity, decision, hints }) => [identity?.id, decision, hints]),
    // By HTTP/1.1 and by HTTP/2.
    [...byEach, ...byEach],
  )
  assert.doesNotMatch(trail, /"eu"|OR '1'/)
})
