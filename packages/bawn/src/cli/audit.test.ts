import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { openAuditTrail } from '../audit/trail.ts'
import { createIdentity } from '../authn/identity.ts'
import { openDirectoryKeystore } from '../keys/directory.ts'
import { describeLine } from './audit.ts'
import { run } from './main.ts'

const cwd = mkdtempSync(join(tmpdir(), 'bawn-audit-'))
after(() => rmSync(cwd, { recursive: true }))
const master = Buffer.alloc(32, 7)
writeFileSync(join(cwd, 'master'), master.toString('base64'), { mode: 0o600 })
writeFileSync(
  join(cwd, 'bawn.yaml'),
  `listeners: { desk: { door: admin, address: 127.0.0.1:0 } }
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop_fields }
audit: { file: audit.jsonl }
`,
)

async function bawn(...args: string[]) {
  let output = ''
  const take = (text: string): void => {
    output += text
  }
  const terminal = { stdin: Readable.from([]), out: take, err: take, env: {}, cwd, now: () => 0 }
  return { status: await run(args, terminal), output }
}

const identity = createIdentity({
  id: 'alice',
  roles: ['support'],
  claims: {},
  clientId: undefined,
  mechanism: 'jwt',
  source: 'corp',
  expiresAt: undefined,
})

test('a trail is verified, printed, and found out when a byte of it changes', async () => {
  assert.equal((await bawn('keys', 'generate', '--client-id', 'shop_fields')).status, 0)
  const key = openDirectoryKeystore({ path: join(cwd, 'keys'), masterKey: master }).audit()
  const file = join(cwd, 'audit.jsonl')
  const trail = openAuditTrail({ file, key, fsync: 'interval', clock: () => Date.UTC(2026, 0, 2) })
  for (let number = 1; number <= 3; number++) {
    trail.emit({
      kind: 'request',
      requestId: `r${number}`,
      door: 'http',
      identity: number === 2 ? undefined : identity,
      claimedName: number === 2 ? 'mallory\u001b[2J' : undefined,
      address: '127.0.0.1',
      action: 'GET',
      resource: '/customers',
      fields: number === 1 ? [{ field: 'email', as: 'masked', count: 2 }] : [],
      decision: number === 2 ? 'deny' : 'permit',
      rule: 'staff',
    })
  }
  trail.commit()
  const { head } = trail
  await trail.close()

  assert.deepEqual(await bawn('audit', 'verify'), { status: 0, output: `intact: 3 lines, head ${head}\n` })
  assert.equal((await bawn('audit', 'verify', '--head', head)).status, 0)
  assert.deepEqual(JSON.parse((await bawn('audit', 'verify', '--json')).output), {
    file,
    kind: 'intact',
    lines: 3,
    head,
    tornBytes: 0,
  })
  assert.equal((await bawn('audit', 'verify', '--head', 'abc')).status, 2)

  const tail = await bawn('audit', 'tail')
  assert.equal(
    tail.output,
    [
      '2026-01-02T00:00:00.000Z  http  request  alice  GET  /customers  [email masked ×2]  permit  by staff',
      '2026-01-02T00:00:00.000Z  http  request  (mallory\\u{1b}[2J?)  GET  /customers  deny  by staff',
      '2026-01-02T00:00:00.000Z  http  request  alice  GET  /customers  permit  by staff',
      '',
    ].join('\n'),
  )
  assert.equal((await bawn('audit', 'tail', '-n', '1')).output.split('\n').length, 2)
  assert.equal((await bawn('audit', 'tail', '--json')).output, readFileSync(file, 'utf8'))

  const lines = readFileSync(file, 'utf8').split('\n')
  writeFileSync(join(cwd, 'forged.jsonl'), [lines[0], lines[1]?.replace('deny', 'dony'), lines[2], ''].join('\n'))
  const forged = await bawn('audit', 'verify', 'forged.jsonl')
  assert.equal(forged.status, 1)
  assert.match(forged.output, /^error: audit\.broken_chain: .*forged\.jsonl: broken at line 2: it was edited/)
  writeFileSync(join(cwd, 'cut.jsonl'), [lines[0], lines[1], ''].join('\n'))
  assert.equal((await bawn('audit', 'verify', 'cut.jsonl')).status, 0)
  assert.match((await bawn('audit', 'verify', 'cut.jsonl', '--head', head)).output, /the end was cut off/)
  assert.match((await bawn('audit', 'verify', 'none.jsonl')).output, /^error: audit\.unwritable: cannot read/)
  assert.match((await bawn('audit', 'tail', 'none.jsonl')).output, /^error: cli\.failed: .* \(ENOENT/)
})

test('a line that is none is printed as such', () => {
  for (const line of ['', 'x', '1', 'null', '[]', '{}', '{"identity":7,"fields":[1]}', '\u001b']) {
    assert.equal(typeof describeLine(line), 'string')
    assert.ok(!describeLine(line).includes('\u001b'))
  }
})
