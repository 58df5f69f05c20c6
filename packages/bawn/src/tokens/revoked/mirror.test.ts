import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { TokenError } from '../error.ts'
import type { RevokedTarget } from './entry.ts'
import type { Presented } from './list.ts'
import { createRevokedTokens } from './mirror.ts'
import { openSqliteRevoked } from './sqlite.ts'

const hour = 3_600_000
const nobody: Presented = {
  issuer: undefined,
  claim: () => undefined,
  apiKey: undefined,
  issuedAt: undefined,
  apiKeyHash: undefined,
  isDerived: false,
}
const bearing = (claims: Record<string, unknown>, more: Partial<Presented> = {}): Presented => ({
  ...nobody,
  claim: name => claims[name],
  ...more,
})
const by = (claim: string, value: string, issuer?: string): RevokedTarget => ({ kind: 'claim', claim, value, issuer })

function world(t: TestContext, maxEntries = 1_000) {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-revoked-'))
  const path = join(folder, 'revocations.db')
  const time = { clock: 1_800_000_000_000, now: 0 }
  const closing: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of closing) await close()
    rmSync(folder, { recursive: true, force: true })
  })
  const open = () => {
    const store = openSqliteRevoked(path, maxEntries)
    const options = { keepMs: hour, staleMs: 10_000, clock: () => time.clock, now: () => time.now }
    const node = createRevokedTokens(store, options)
    closing.push(node.close)
    return node
  }
  return { open, time, path }
}

test('what a revocation is about, and what it is not', async t => {
  const node = world(t).open()
  await node.load()
  const at = 1_800_000_000_000
  await node.revoke({ target: by('sub', 'jane') })
  await node.revoke({ target: by('uid', '4.20e1') })
  await node.revoke({ target: by('groups', 'leavers', 'https://id.example') })
  await node.revoke({ target: by('team', 'red'), notBefore: at - 100 })
  await node.revoke({ target: by('late', 'yes'), notBefore: at - 100 })
  await node.revoke({ target: { kind: 'issuer', issuer: 'https://old.example' }, notBefore: at })
  await node.revoke({ target: { kind: 'api-key', name: 'nightly' } })
  const rows: readonly (readonly [name: string, presented: Presented, revoked: boolean])[] = [
    ['its value', bearing({ sub: 'jane' }), true],
    ['another value', bearing({ sub: 'Jane' }), false],
    ['the value of another claim', bearing({ name: 'jane' }), false],
    ['a number, however it was typed', bearing({ uid: 42 }), true],
    ['the text of a number', bearing({ uid: '42' }), true],
    ['a member of a list, at its issuer', bearing({ groups: [1, 'leavers'] }, { issuer: 'https://id.example' }), true],
    ['and at another', bearing({ groups: ['leavers'] }, { issuer: 'https://other.example' }), false],
    ['an object is no value', bearing({ sub: { jane: 1 } }), false],
    ['a list within a list is none', bearing({ groups: [['leavers']] }, { issuer: 'https://id.example' }), false],
    ['issued before', bearing({ team: 'red' }, { issuedAt: at - 101 }), true],
    ['issued then', bearing({ team: 'red' }, { issuedAt: at - 100 }), false],
    ['issued nobody knows when', bearing({ team: 'red' }), true],
    [
      'of ours, issued after the instant and before the revocation',
      bearing({ team: 'red' }, { issuedAt: at - 1, isDerived: true }),
      true,
    ],
    ['of ours, issued since', bearing({ team: 'red' }, { issuedAt: at, isDerived: true }), false],
    ['of the issuer, before', { ...nobody, issuer: 'https://old.example', issuedAt: at - 1 }, true],
    ['of the issuer, afterwards', { ...nobody, issuer: 'https://old.example', issuedAt: at }, false],
    ['the key', { ...nobody, apiKey: 'nightly' }, true],
    ['another key', { ...nobody, apiKey: 'nightly2' }, false],
    ['nothing', nobody, false],
  ]
  for (const [name, presented, revoked] of rows) assert.equal(node.has(presented), revoked, name)
})

test('it counts as long as it is kept, and API keys for good', async t => {
  const { open, time } = world(t)
  const node = open()
  await node.load()
  await node.revoke({ target: by('sub', 'jane') })
  await node.revoke({ target: by('sub', 'pat'), keepMs: 5 * hour })
  await node.revoke({ target: { kind: 'api-key', name: 'nightly' } })
  time.clock += hour
  const known = (): boolean[] =>
    [bearing({ sub: 'jane' }), bearing({ sub: 'pat' }), { ...nobody, apiKey: 'nightly' }].map(node.has)
  assert.deepEqual(known(), [false, true, true])
  assert.equal(node.list().length, 2)
  time.clock += 1_000 * hour
  assert.deepEqual(known(), [false, false, true])
  const later = open()
  await later.load()
  assert.equal(later.list().length, 1)
})

test('no more than so many, and one that ran out makes room', async t => {
  const { open, time } = world(t, 2)
  const node = open()
  await node.load()
  await node.revoke({ target: by('sub', 'a') })
  await node.revoke({ target: by('sub', 'b') })
  await node.revoke({ target: by('sub', 'b'), keepMs: 2 * hour })
  await assert.rejects(node.revoke({ target: by('sub', 'c') }), { code: 'tokens.full' })
  time.clock += hour
  await node.revoke({ target: by('sub', 'c') })
  assert.equal(node.list().length, 2)
})

test('before the list was read, and when it was not read for too long, nothing is known', async t => {
  const { open, time } = world(t)
  const node = open()
  assert.throws(() => node.has(nobody), TokenError)
  assert.equal(node.failure(), 'the revocations were not read yet')
  await node.load()
  assert.equal(node.has(nobody), false)
  time.now += 10_001
  assert.throws(() => node.has(nobody), { code: 'tokens.unavailable' })
})

test('a file that was lost gets back what each node knows, and what was restored stays so', async t => {
  const { open, path } = world(t)
  const [one, other] = [open(), open()]
  for (const node of [one, other]) await node.load()
  await one.revoke({ target: by('sub', 'jane') })
  await other.revoke({ target: by('sub', 'pat') })
  await one.revoke({ target: by('sub', 'ruth') })
  await other.load()
  assert.equal(await other.restore(by('sub', 'ruth')), true)
  assert.equal(await other.restore(by('sub', 'ruth')), false)
  for (const node of [one, other]) await node.load()
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
  await one.load()
  const late = open()
  for (const node of [one, other, late]) await node.load()
  for (const node of [one, other, late]) {
    const known = ['jane', 'pat', 'ruth'].map(sub => node.has(bearing({ sub })))
    assert.deepEqual(known, [true, true, false])
  }
})
