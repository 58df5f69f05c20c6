import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { CredentialVersion } from '../../packages/bawn/src/accounts/credential-version.ts'
import { connectRedis, type RedisConnection } from '../../packages/bawn/src/redis-connection.ts'
import { tokensUnavailable } from '../../packages/bawn/src/tokens/error.ts'
import { createRandomTokens } from '../../packages/bawn/src/tokens/random.ts'
import { createRedisTokens } from '../../packages/bawn/src/tokens/redis.ts'
import { createRedisRevocations } from '../../packages/bawn/src/tokens/redis-revocations.ts'
import { createSignedTokens, parseSigningKey } from '../../packages/bawn/src/tokens/signed.ts'
import type { TokenManager, TokenSubject } from '../../packages/bawn/src/tokens/token-manager.ts'

// Two gateways' token managers over one real Redis. npm cannot install redis-server, so it is in this suite: npm run test:clients

const failures = { unavailable: tokensUnavailable }
const password = 'a password for the test'
const minute = 60_000
const alice: TokenSubject = {
  id: 'alice',
  roles: ['support'],
  source: 'staff',
  clientId: undefined,
  notAfter: undefined,
}

let folder: string
let port: number
let server: ChildProcess

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  assert(address !== null && typeof address === 'object')
  return address.port
}

async function startRedis(): Promise<void> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--requirepass', password]
  server = spawn('redis-server', [...settings, '--appendonly', 'yes', '--appendfsync', 'always'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  for await (const piece of server.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    said += String(piece)
    if (said.includes('Ready to accept connections')) break
  }
  assert.match(said, /Ready to accept connections/)
  server.stdout?.resume()
}

async function stopRedis(): Promise<void> {
  server.kill('SIGKILL')
  if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
}

before(async () => {
  const { status } = spawnSync('redis-server', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'redis-server is not installed; on Debian: apt-get install redis-server')
  folder = mkdtempSync(join(tmpdir(), 'bawn-redis-'))
  port = await freePort()
  await startRedis()
})
after(async () => {
  await stopRedis()
  rmSync(folder, { recursive: true, force: true })
})

function connection(prefix: string): Promise<RedisConnection> {
  return connectRedis(
    { url: `redis://127.0.0.1:${port}/1`, user: undefined, password, ca: undefined, prefix },
    failures,
  )
}

type Make = (prefix: string, clock: () => number) => Promise<TokenManager>

const limits = { perSubject: 3, inAll: 5 }
const random: Make = async (prefix, clock) =>
  createRandomTokens(
    { name: 'redis', ttlMs: 15 * minute, renew: true, lifetimeMs: 60 * minute, limits },
    createRedisTokens(await connection(prefix)),
    clock,
  )
const signed: Make = async (prefix, clock) =>
  createSignedTokens(
    {
      name: 'signed',
      ttlMs: 15 * minute,
      issuer: 'bawn',
      keys: [parseSigningKey(Buffer.alloc(32, 7).toString('base64'))],
    },
    createRedisRevocations(await connection(prefix), clock),
    clock,
  )

/** Redis ends keys by its own clock, so ours goes on from the real time. */
async function twoNodes(t: TestContext, make: Make) {
  let ahead = 0
  const clock = (): number => Date.now() + ahead
  const prefix = t.name.replace(/[^a-z]+/g, '-')
  const [one, other] = [await make(prefix, clock), await make(prefix, clock)]
  t.after(() => Promise.all([one.close(), other.close()]))
  const pass = (ms: number): void => {
    ahead += ms
  }
  return { one, other, pass }
}

for (const [kind, make] of Object.entries({ random, signed })) {
  test(`${kind}: a token of one node is good at the other, until its end`, async t => {
    const { one, other, pass } = await twoNodes(t, make)
    const password = new CredentialVersion('first')
    const { token, validUntil } = await one.issue(alice, password)
    const { isIssuedFor, issuedAt: _, mark = '', ...verified } = (await other.verify(token, 'alice')) ?? {}
    assert.deepEqual(verified, { subject: alice, validUntil, renewed: false })
    // Each node reads the account's version for itself.
    const versions = [new CredentialVersion('first'), new CredentialVersion('second'), undefined]
    assert.deepEqual(
      versions.map(version => isIssuedFor?.(version)),
      [true, false, false],
    )
    assert.equal(await other.verify(token, 'bob'), undefined)
    assert.equal((await one.issue(alice, password)).token, token)
    assert.notEqual((await one.issue(alice, new CredentialVersion('second'))).token, token)
    assert.equal(await one.isGood?.(mark), true)
    pass(15 * minute)
    assert.equal(await other.verify(token, 'alice'), undefined)
    assert.equal(await one.isGood?.(mark), false)
  })

  test(`${kind}: revoked at one node, worth nothing at the other at its next use`, async t => {
    const { one, other } = await twoNodes(t, make)
    const tokens = [await one.issue(alice), await other.issue(alice)].map(issued => issued.token)
    const bob = await one.issue({ ...alice, id: 'bob' })
    const marks: string[] = []
    for (const token of tokens) marks.push((await other.verify(token, undefined))?.mark ?? assert.fail())
    await one.revoke('alice')
    for (const mark of marks) assert.equal(await other.isGood?.(mark), false)
    for (const token of tokens) {
      for (const node of [one, other]) assert.equal(await node.verify(token, undefined), undefined)
    }
    assert(await other.verify(bob.token, undefined))
    const again = await one.issue(alice)
    assert(again.isNew)
    assert(await other.verify(again.token, undefined))
    await other.revokeAll()
    for (const { token } of [bob, again]) assert.equal(await one.verify(token, undefined), undefined)
    assert(await one.verify((await other.issue(alice)).token, undefined))
  })

  test(`${kind}: killed and started again, Redis has lost neither tokens nor revocations`, async t => {
    const { one, other } = await twoNodes(t, make)
    const kept = await one.issue(alice)
    const mark = (await one.verify(kept.token, undefined))?.mark ?? assert.fail()
    const ended = await one.issue({ ...alice, id: 'bob' })
    await one.revoke('bob')
    await stopRedis()
    await assert.rejects(other.verify(kept.token, undefined), { code: 'tokens.unavailable' })
    await assert.rejects(async () => other.isGood?.(mark), { code: 'tokens.unavailable' })
    await assert.rejects(one.issue({ ...alice, id: 'carol' }), { code: 'tokens.unavailable' })
    await startRedis()
    const fresh = await make(t.name.replace(/[^a-z]+/g, '-'), Date.now)
    assert(await fresh.verify(kept.token, undefined))
    assert.equal(await fresh.isGood?.(mark), true)
    assert.equal(await fresh.verify(ended.token, undefined), undefined)
    await fresh.close()
  })
}

test('random: renewed by use, listed, and bounded per subject and in all', async t => {
  const { one, other, pass } = await twoNodes(t, random)
  const first = await one.issue(alice)
  pass(5 * minute)
  const renewed = await other.verify(first.token, undefined)
  assert.equal(renewed?.renewed, true)
  assert((renewed?.validUntil ?? 0) >= first.validUntil + 5 * minute - 1)
  for (const role of ['b', 'c', 'd']) await one.issue({ ...alice, roles: [role] })
  assert.equal(await other.verify(first.token, undefined), undefined)
  for (const id of ['bob', 'carol']) await one.issue({ ...alice, id })
  await assert.rejects(one.issue({ ...alice, id: 'dave' }), { code: 'tokens.full' })
  assert.deepEqual((await other.list())?.map(({ subject }) => subject.id).sort(), [
    'alice',
    'alice',
    'alice',
    'bob',
    'carol',
  ])
  assert.equal(await other.revoke('alice'), 3)
  assert.equal(await other.revoke('alice'), 0)
})

test('signed: a list of revocations that was lost revives nothing', async t => {
  const { one, other } = await twoNodes(t, signed)
  const { token } = await one.issue(alice)
  await one.revoke('alice')
  const raw = await connection('x')
  await raw.run(client => client.flushdb())
  await raw.close()
  assert.equal(await other.verify(token, undefined), undefined)
  const again = await one.issue(alice)
  assert(again.isNew)
  assert(await other.verify(again.token, undefined))
})

test('whoever takes the files of Redis has no token', async t => {
  const { one } = await twoNodes(t, random)
  const { token } = await one.issue(alice)
  const raw = await connection('x')
  await raw.run(client => client.save())
  await raw.close()
  const dump = readFileSync(join(folder, 'dump.rdb'))
  assert(dump.includes('alice'))
  assert(!dump.includes(token) && !dump.includes(token.slice('bawn_token_'.length)))
  assert(!dump.includes(Buffer.from(token.slice('bawn_token_'.length), 'base64url')))
})

test('a wrong password is an error without it', async () => {
  const wrong = { url: `redis://127.0.0.1:${port}`, user: undefined, password: 'wrong-one', ca: undefined, prefix: 'x' }
  const redis = await connectRedis(wrong, failures)
  await assert.rejects(
    redis.run(client => client.get('x')),
    (error: Error) => {
      assert('code' in error && error.code === 'tokens.unavailable')
      assert(!JSON.stringify([error.message, String(error.cause)]).includes('wrong-one'))
      return true
    },
  )
  await redis.close()
})
