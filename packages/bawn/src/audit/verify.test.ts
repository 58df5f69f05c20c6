import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import type { AuditEvent } from './event.ts'
import { openAuditTrail } from './trail.ts'
import { describeVerification, verifyAudit } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-verify-'))
after(() => rmSync(folder, { recursive: true }))

const key = createSecretKey(Buffer.alloc(32, 7))
const identity = createIdentity({
  id: 'alice',
  roles: ['support'],
  claims: {},
  clientId: undefined,
  mechanism: 'jwt',
  source: 'corp',
  expiresAt: undefined,
})

function request(i: number): AuditEvent {
  return {
    kind: 'request',
    requestId: `r${i}`,
    door: 'http',
    identity,
    address: '127.0.0.1',
    action: 'GET',
    resource: '/orders/*',
    fields: [{ field: 'email', as: 'masked', count: i }],
    decision: 'permit',
    rule: 'staff',
  }
}

let made = 0
/** Writes a trail of some lines; the heads after each of them. */
async function write(lines: number): Promise<{ path: string; bytes: Buffer; heads: readonly string[] }> {
  const path = join(folder, `${made++}.jsonl`)
  const trail = openAuditTrail({ file: path, key, fsync: 'interval', clock: () => 1_767_323_045_000 + made })
  const heads: string[] = []
  for (let i = 1; i <= lines; i++) {
    trail.emit(request(i))
    trail.commit()
    heads.push(trail.head)
  }
  await trail.close()
  return { path, bytes: readFileSync(path), heads }
}

test('a trail verifies and says its head', async () => {
  const { path, heads } = await write(3)
  const result = await verifyAudit(path, key)
  assert.deepEqual(result, { kind: 'intact', lines: 3, head: heads[2], tornBytes: 0 })
  assert.match(describeVerification(result), /^intact: 3 lines, head [0-9a-f]{64}$/)
})

test('an empty trail is intact', async () => {
  const { path } = await write(0)
  assert.deepEqual(await verifyAudit(path, key), { kind: 'intact', lines: 0, head: '0'.repeat(64), tornBytes: 0 })
})

test('every edit of one byte is found and its line named', async () => {
  const { path, bytes } = await write(3)
  let line = 1
  for (let i = 0; i < bytes.length; i++) {
    const original = bytes[i] ?? 0
    for (const changed of [original ^ 1, original ^ 0x20, 0x0a]) {
      if (changed === original) continue
      const copy = Buffer.from(bytes)
      copy[i] = changed
      writeFileSync(path, copy)
      const result = await verifyAudit(path, key)
      assert.ok(result.kind === 'broken' && result.line === line, `byte ${i} to ${changed}: ${JSON.stringify(result)}`)
    }
    if (original === 0x0a) line++
  }
})

test('every cut is found against the head', async () => {
  const { path, bytes, heads } = await write(2)
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length))
    const alone = await verifyAudit(path, key)
    assert.equal(alone.kind, 'intact')
    const result = await verifyAudit(path, key, { head: heads[1] })
    assert.ok(result.kind === 'broken' && result.reason === 'head-missing', `cut at ${length}`)
  }
})

test('a head noted earlier is found in a trail that has grown', async () => {
  const { path, heads } = await write(3)
  assert.equal((await verifyAudit(path, key, { head: heads[0] })).kind, 'intact')
  assert.equal((await verifyAudit(path, key, { head: heads[0]?.toUpperCase() })).kind, 'intact')
  assert.equal((await verifyAudit(path, key, { head: 'f'.repeat(64) })).kind, 'broken')
})

const damages: readonly {
  name: string
  line: number
  reason: string
  damage: (lines: readonly string[]) => readonly (string | undefined)[]
}[] = [
  { name: 'a removed first line', line: 1, reason: 'out-of-order', damage: l => l.slice(1) },
  { name: 'a removed line', line: 2, reason: 'out-of-order', damage: l => [l[0], l[2], l[3]] },
  { name: 'two swapped lines', line: 2, reason: 'out-of-order', damage: l => [l[0], l[2], l[1], l[3]] },
  { name: 'a repeated line', line: 3, reason: 'out-of-order', damage: l => [l[0], l[1], l[1], l[2], l[3]] },
  {
    name: 'a removed line with the numbers put right',
    line: 2,
    reason: 'edited',
    damage: l => [l[0], l[2]?.replace('"n":3', '"n":2')],
  },
  { name: 'an empty line', line: 2, reason: 'malformed', damage: l => [l[0], '', l[1]] },
  { name: 'a carriage return', line: 2, reason: 'malformed', damage: l => [l[0], `${l[1]}\r`] },
  {
    name: 'a mac in capitals',
    line: 1,
    reason: 'malformed',
    damage: l => [l[0]?.replace(/"mac":"[0-9a-f]+/, m => `"mac":${m.slice(6).toUpperCase()}`)],
  },
]

for (const row of damages) {
  test(`${row.name} is found`, async () => {
    const { path, bytes } = await write(4)
    const lines = bytes.toString().split('\n').slice(0, -1)
    writeFileSync(
      path,
      row
        .damage(lines)
        .map(line => `${line}\n`)
        .join(''),
    )
    const result = await verifyAudit(path, key)
    assert.deepEqual(result, { kind: 'broken', line: row.line, reason: row.reason })
    assert.match(describeVerification(result), new RegExp(`^broken at line ${row.line}: `))
  })
}

test('another key fails at the first line', async () => {
  const { path } = await write(2)
  const result = await verifyAudit(path, createSecretKey(Buffer.alloc(32, 8)))
  assert.deepEqual(result, { kind: 'broken', line: 1, reason: 'edited' })
})

test('a torn tail is reported apart', async () => {
  const { path, bytes, heads } = await write(2)
  appendFileSync(path, '{"n":3,"at":"2026')
  assert.deepEqual(await verifyAudit(path, key), { kind: 'intact', lines: 2, head: heads[1], tornBytes: 17 })
  writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(262_144, 0x20)]))
  assert.deepEqual(await verifyAudit(path, key), { kind: 'broken', line: 3, reason: 'malformed' })
})

test('a file that is not there is an error and not an intact trail', async () => {
  await assert.rejects(verifyAudit(join(folder, 'none'), key), { code: 'audit.unwritable' })
})

test('lines across the pieces of a read come out the same', async () => {
  const { path, heads } = await write(1500)
  assert.deepEqual(await verifyAudit(path, key), { kind: 'intact', lines: 1500, head: heads[1499], tornBytes: 0 })
})
