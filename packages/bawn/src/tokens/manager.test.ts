import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import { CredentialVersion } from '../accounts/credential-version.ts'
import { createMemoryTokenStore } from './memory.ts'
import { createRandomTokens, type RandomTokenOptions } from './random.ts'
import { createSignedTokens, parseSigningKey } from './signed.ts'
import { openSqliteTokens } from './sqlite.ts'
import { openSqliteRevocations } from './sqlite-revocations.ts'
import type { TokenStore } from './store.ts'
import type { TokenManager, TokenSubject, VerifiedToken } from './token-manager.ts'

const minute = 60_000
const alice: TokenSubject = {
  id: 'alice',
  roles: ['support'],
  source: 'staff',
  clientId: undefined,
  notAfter: undefined,
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'bawn-tokens-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const originOf = (jti: string) => ({ kind: 'token' as const, issuer: 'https://idp', jti, sub: 'a-1', issuedAt: 1_000 })

/** A clock that the test moves. */
function clock(): { readonly now: () => number; pass(ms: number): void } {
  let at = 1_800_000_000_000
  return {
    now: () => at,
    pass: ms => {
      at += ms
    },
  }
}

const defaults: RandomTokenOptions = {
  name: 'test',
  ttlMs: 15 * minute,
  renew: false,
  lifetimeMs: 60 * minute,
  limits: { perSubject: 3, inAll: 5 },
}
const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const secret = Buffer.alloc(32, 7).toString('base64')

interface Nodes {
  readonly one: TokenManager
  readonly other: TokenManager
  readonly pass: (ms: number) => void
}
type Make = (t: TestContext, options?: Partial<RandomTokenOptions>) => Nodes

const overStore =
  (open: (t: TestContext, now: number) => readonly [TokenStore, TokenStore]): Make =>
  (t, options) => {
    const time = clock()
    const [first, second] = open(t, time.now())
    const made = [first, second].map(store => createRandomTokens({ ...defaults, ...options }, store, time.now))
    return nodes(t, made, time.pass)
  }
const signedBy =
  (key: string): Make =>
  (t, options) => {
    const time = clock()
    const path = join(folder(t), 'tokens.db')
    const ttlMs = options?.ttlMs ?? defaults.ttlMs
    const made = [0, 1].map(() =>
      createSignedTokens(
        { name: 'signed', ttlMs, issuer: 'bawn', keys: [parseSigningKey(key)] },
        openSqliteRevocations(path, time.now()),
        time.now,
      ),
    )
    return nodes(t, made, time.pass)
  }
function nodes(t: TestContext, made: readonly TokenManager[], pass: Nodes['pass']): Nodes {
  const [one, other] = made
  assert(one && other)
  t.after(() => Promise.all([one.close(), other.close()]))
  return { one, other, pass }
}

/** What a session would keep of the token. */
async function marked(node: TokenManager, token: string): Promise<string> {
  const mark = (await node.verify(token, undefined))?.mark
  assert(mark !== undefined && mark !== '')
  return mark
}

/** What a token says of its subject and its time. */
function said(verified: VerifiedToken | undefined) {
  assert(verified)
  const { subject, validUntil, renewed } = verified
  return { subject, validUntil, renewed }
}

const random: Readonly<Record<string, Make>> = {
  memory: overStore(() => {
    const store = createMemoryTokenStore()
    return [store, store]
  }),
  sqlite: overStore((t, now) => {
    const path = join(folder(t), 'tokens.db')
    return [openSqliteTokens(path, now), openSqliteTokens(path, now)]
  }),
}
const all: Readonly<Record<string, Make>> = {
  ...random,
  'signed EdDSA': signedBy(pem),
  'signed HS256': signedBy(secret),
}

for (const [kind, make] of Object.entries(all)) {
  test(`${kind}: a token says who, at every node, until its end`, async t => {
    const { one, other, pass } = make(t)
    const subject = { ...alice, clientId: 'ab'.repeat(64), origin: originOf('o-1') }
    const { token, validUntil, isNew } = await one.issue(subject)
    assert(isNew)
    assert.match(token, /^[\x21-\x7e]+$/)
    for (const node of [one, other]) {
      assert(node.recognizes(token))
      assert.deepEqual(said(await node.verify(token, undefined)), { subject, validUntil, renewed: false })
      assert.deepEqual((await node.verify(token, 'alice'))?.subject, subject)
      assert.equal(await node.verify(token, 'bob'), undefined)
    }
    pass(15 * minute - 1)
    assert(await other.verify(token, 'alice'))
    pass(1)
    assert.equal(await one.verify(token, 'alice'), undefined)
    assert.equal(await other.verify(token, 'alice'), undefined)
  })

  test(`${kind}: the running token is given again while half of it is left, and to nobody else`, async t => {
    const { one, pass } = make(t)
    const first = await one.issue(alice)
    assert.deepEqual(await one.issue({ ...alice }), { ...first, isNew: false })
    for (const other of [
      { ...alice, id: 'bob' },
      { ...alice, origin: originOf('o-1') },
      { ...alice, origin: originOf('o-2') },
      { ...alice, origin: { kind: 'api-key', hash: 'sha256:00' } as const },
      { ...alice, roles: ['support', 'billing'] },
      { ...alice, source: 'corp' },
      { ...alice, clientId: 'cd'.repeat(64) },
    ]) {
      const issued = await one.issue(other)
      assert(issued.isNew && issued.token !== first.token)
      await one.revoke(other.id === 'bob' ? 'bob' : 'nobody')
    }
    pass(8 * minute)
    const second = await one.issue(alice)
    assert(second.isNew && second.token !== first.token)
  })

  test(`${kind}: what is revoked at one node is worth nothing at the next use, at both`, async t => {
    const { one, other } = make(t)
    const mine = [await one.issue(alice), await other.issue(alice)].map(({ token }) => token)
    const { token: bobs } = await one.issue({ ...alice, id: 'bob' })
    for (const token of mine) assert(await one.verify(token, undefined))
    await other.revoke('alice')
    for (const token of mine) {
      for (const node of [one, other]) assert.equal(await node.verify(token, undefined), undefined)
    }
    assert(await other.verify(bobs, 'bob'))
    const again = await one.issue(alice)
    assert(again.isNew && !mine.includes(again.token))
    assert(await other.verify(again.token, 'alice'))
    await one.revokeAll()
    for (const node of [one, other]) {
      assert.equal(await node.verify(bobs, undefined), undefined)
      assert.equal(await node.verify(again.token, undefined), undefined)
    }
    assert(await other.verify((await one.issue(alice)).token, 'alice'))
  })

  test(`${kind}: a token that was verified can be asked about at every node, until it is revoked or ends`, async t => {
    const { one, other, pass } = make(t)
    const mark = await marked(one, (await one.issue(alice)).token)
    const bobs = await marked(other, (await one.issue({ ...alice, id: 'bob' })).token)
    const isGood = (of: string) => Promise.all([one, other].map(node => node.isGood?.(of)))
    assert.deepEqual([await isGood(mark), await isGood(bobs)].flat(), [true, true, true, true])
    await other.revoke('alice')
    assert.deepEqual([await isGood(mark), await isGood(bobs)].flat(), [false, false, true, true])
    const again = await marked(one, (await one.issue(alice)).token)
    assert.deepEqual(await isGood(again), [true, true])
    assert.deepEqual(await isGood(mark), [false, false], 'it stays gone')
    await one.revokeAll()
    assert.deepEqual([await isGood(again), await isGood(bobs)].flat(), [false, false, false, false])
    const last = await marked(one, (await one.issue(alice)).token)
    pass(15 * minute - 1)
    assert.deepEqual(await isGood(last), [true, true])
    pass(1)
    assert.deepEqual(await isGood(last), [false, false])
  })

  test(`${kind}: the mark of a token is no token, and what is no mark is of no good one`, async t => {
    const { one, other } = make(t)
    const { token } = await one.issue(alice)
    const mark = await marked(one, token)
    assert(!mark.includes(token) && !mark.includes(token.slice(-43)))
    for (const text of [mark, `bawn_token_${mark}`]) assert.equal(await one.verify(text, undefined), undefined)
    assert.equal(await marked(other, token), mark, 'after a reload it means the same')
    for (const text of ['', token, mark.slice(1), `${mark}x`, '{}', 'null', '[]', `{"header":"a","epoch":1e99}`]) {
      assert.equal(await one.isGood?.(text), false, text)
    }
  })

  test(`${kind}: no token outlives the proof that it was issued for`, async t => {
    const { one, other, pass } = make(t, { renew: true })
    const now = 1_800_000_000_000
    const short = { ...alice, notAfter: now + 5 * minute }
    const { token, validUntil } = await one.issue(short)
    assert.equal(validUntil, now + 5 * minute)
    assert.equal((await one.issue(short)).isNew, false)
    const longer = await one.issue({ ...alice, notAfter: now + 10 * minute })
    assert(longer.isNew && longer.validUntil === now + 10 * minute)
    pass(4 * minute)
    assert.equal((await other.verify(token, undefined))?.validUntil, now + 5 * minute)
    pass(minute)
    assert.equal(await other.verify(token, undefined), undefined)
    await assert.rejects(one.issue(short), { code: 'tokens.expired_proof' })
  })

  test(`${kind}: a token knows for which password it was issued, at every node, and is not given again for another`, async t => {
    const { one, other, pass } = make(t, { renew: true })
    const [old, now] = [new CredentialVersion('plain pencil'), new CredentialVersion('plain crayon')]
    const { token } = await one.issue(alice, old)
    const isFor = async (node: TokenManager, text: string, version: CredentialVersion | undefined) =>
      (await node.verify(text, undefined))?.isIssuedFor(version)
    for (const node of [one, other]) {
      assert.deepEqual(
        [await isFor(node, token, old), await isFor(node, token, now), await isFor(node, token, undefined)],
        [true, false, false],
      )
    }
    assert.equal((await one.issue(alice, old)).token, token)
    const [first, second] = await Promise.all([one.issue(alice, now), one.issue(alice, old)])
    assert.notEqual(first?.token, second?.token)
    const changed = await one.issue(alice, now)
    assert.notEqual(changed.token, token)
    assert.equal(await isFor(other, changed.token, now), true)
    const { token: without } = await one.issue(alice)
    assert.deepEqual(
      [await isFor(other, without, undefined), await isFor(other, without, now)],
      [true, false],
      'one that was issued without says so',
    )
    // Renewed, where the kind does that, it is still the one of the old password.
    pass(3 * minute)
    assert.deepEqual([await isFor(other, token, old), await isFor(other, token, now)], [true, false])
  })

  test(`${kind}: whoever asks many times at once gets one token`, async t => {
    const { one } = make(t)
    const issued = await Promise.all(Array.from({ length: 30 }, () => one.issue(alice)))
    assert.equal(new Set(issued.map(({ token }) => token)).size, 1)
    assert.equal(issued.filter(({ isNew }) => isNew).length, 1, 'issued once')
    for (const { token } of issued) assert.notEqual(await one.verify(token, 'alice'), undefined)
    const other = { ...alice, roles: [] }
    const [first, second] = await Promise.all([one.issue(alice), one.issue(other)])
    assert.notEqual(first?.token, second?.token)
  })

  test(`${kind}: what is no token of ours is worth nothing, whatever it is`, async t => {
    const { one } = make(t)
    const { token } = await one.issue(alice)
    const middle = Math.floor(token.length / 2)
    for (const text of [
      '',
      'bawn_',
      '.',
      '..',
      `${token} `,
      `${token}=`,
      token.slice(0, -1),
      token.slice(1),
      token.toUpperCase(),
      `${token.slice(0, middle)}${token[middle] === 'A' ? 'B' : 'A'}${token.slice(middle + 1)}`,
      'x'.repeat(100_000),
      '\u0000',
      'eyJhbGciOiJub25lIn0.e30.',
    ]) {
      assert.equal(await one.verify(text, undefined), undefined, JSON.stringify(text.slice(0, 60)))
    }
    for (let cut = 0; cut < token.length; cut++)
      assert.equal(await one.verify(token.slice(0, cut), undefined), undefined)
  })
}

for (const [kind, make] of Object.entries(random)) {
  test(`${kind}: use moves the end where the manager renews, never beyond the lifetime, and seldom writes`, async t => {
    const { one, other, pass } = make(t, { renew: true })
    const { token, validUntil } = await one.issue(alice)
    pass(minute)
    assert.deepEqual(said(await other.verify(token, undefined)), { subject: alice, validUntil, renewed: false })
    pass(minute)
    assert.deepEqual(said(await other.verify(token, undefined)), {
      subject: alice,
      validUntil: validUntil + 2 * minute,
      renewed: true,
    })
    assert.equal((await one.verify(token, undefined))?.renewed, false)
    let last = 0
    for (let step = 0; step < 10; step++) {
      pass(10 * minute)
      last = (await one.verify(token, undefined))?.validUntil ?? last
    }
    assert.equal(last, validUntil + 45 * minute)
    assert.equal(await one.verify(token, undefined), undefined)
  })

  test(`${kind}: asking whether a token is good is no use of it: nothing is renewed`, async t => {
    const { one, other, pass } = make(t, { renew: true })
    const { token, validUntil } = await one.issue(alice)
    const mark = await marked(one, token)
    for (let step = 0; step < 14; step++) {
      pass(minute)
      assert.equal(await other.isGood?.(mark), true)
    }
    assert.equal((await one.list())?.[0]?.validUntil, validUntil)
    assert.equal((await one.verify(token, undefined))?.renewed, true)
    pass(5 * minute)
    assert.equal(await other.isGood?.(mark), true, 'a use elsewhere has moved the end')
    pass(10 * minute)
    assert.equal(await other.isGood?.(mark), false)
  })

  test(`${kind}: one more than a subject may have ends its first; one more than all is refused`, async t => {
    const { one, other, pass } = make(t)
    const tokens: string[] = []
    for (const role of ['a', 'b', 'c', 'd']) {
      tokens.push((await one.issue({ ...alice, roles: [role] })).token)
      pass(1000)
    }
    const good = await Promise.all(tokens.map(async token => (await other.verify(token, undefined)) !== undefined))
    assert.deepEqual(good, [false, true, true, true])
    for (const id of ['bob', 'carol']) await one.issue({ ...alice, id })
    await assert.rejects(one.issue({ ...alice, id: 'dave' }), { code: 'tokens.full' })
    assert.equal((await one.list())?.length, 5)
    assert(!JSON.stringify(await one.list()).includes('bawn_'))
    pass(15 * minute)
    assert((await one.issue({ ...alice, id: 'dave' })).isNew)
    assert.equal((await other.list())?.length, 1)
    assert.equal(await other.revoke('dave'), 1)
    assert.equal(await other.revoke('dave'), 0)
  })
}

test('sqlite: the file is its owner’s alone and holds nothing that can be used as a token', async t => {
  const path = folder(t)
  const store = openSqliteTokens(join(path, 'tokens.db'), Date.now())
  const manager = createRandomTokens(defaults, store, Date.now)
  const tokens = [await manager.issue(alice), await manager.issue({ ...alice, id: 'bob' })].map(({ token }) => token)
  const files = readdirSync(path)
  assert(files.includes('tokens.db-wal'))
  for (const name of files) {
    assert.equal(statSync(join(path, name)).mode & 0o777, 0o600, name)
    const bytes = readFileSync(join(path, name))
    for (const token of tokens) {
      const raw = Buffer.from(token.slice('bawn_token_'.length), 'base64url')
      assert(!bytes.includes(token) && !bytes.includes(token.slice(5)) && !bytes.includes(raw), name)
    }
    // Every text in the file, tried as a token.
    for (const [found] of bytes.toString('latin1').matchAll(/[A-Za-z0-9_-]{43}/g)) {
      assert.equal(await manager.verify(`bawn_token_${found}`, undefined), undefined)
    }
  }
  await manager.close()
})

test('what is kept of a password’s version, or stands in a token, is no digest that could be guessed from', async t => {
  const version = new CredentialVersion('plain pencil')
  const store = createMemoryTokenStore()
  const manager = createRandomTokens(defaults, store, Date.now)
  const kept: (string | undefined)[] = []
  for (const id of ['alice', 'bob']) {
    await manager.issue({ ...alice, id }, version)
    await manager.issue({ ...alice, id, roles: [] }, version)
  }
  for (const { credential } of await store.list(Date.now())) kept.push(credential)
  assert.equal(new Set(kept).size, 4, 'two with one password cannot be told by it')
  assert(kept.every(text => /^[A-Za-z0-9_-]{22}$/.test(text ?? '')))
  assert.deepEqual(
    [JSON.stringify({ version }), String(inspect(version, { depth: 9 }))],
    ['{"version":{}}', 'CredentialVersion {}'],
  )
  const signed = createSignedTokens(
    { name: 'signed', ttlMs: minute, issuer: 'bawn', keys: [parseSigningKey(secret)] },
    openSqliteRevocations(join(folder(t), 'tokens.db'), 0),
    Date.now,
  )
  const { token } = await signed.issue(alice, version)
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  assert.match(claims.cred, /^[A-Za-z0-9_-]{22}$/)
  assert(!kept.includes(claims.cred))
  await signed.close()
})

test('sqlite: killed at any instant, every token that was given out is there, and every revoked one is not', async t => {
  const path = join(folder(t), 'tokens.db')
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'issuing.fixture.ts'), path, String(round)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const given: string[] = []
    const revoked: string[] = []
    let last: string | undefined
    for await (const line of createInterface({ input: child.stdout })) {
      const [what, text = ''] = line.split(' ')
      if (what === 'issued') last = text
      else if (what === 'kept') given.push(last ?? '')
      else if (what === 'revoked') revoked.push(last ?? '')
      if (given.length === 20) {
        child.kill('SIGKILL')
        break
      }
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    const manager = createRandomTokens(defaults, openSqliteTokens(path, Date.now()), Date.now)
    assert.equal(given.length, 20)
    assert(revoked.length > 5)
    for (const token of given) assert(await manager.verify(token, undefined))
    for (const token of revoked) assert.equal(await manager.verify(token, undefined), undefined)
    await manager.close()
  }
})

test('signed: a token of a key or an issuer that is believed no more is good no more', async t => {
  const path = join(folder(t), 'tokens.db')
  const manager = (issuer: string, ...[key, ...former]: readonly [string, ...string[]]) => {
    const keys = [parseSigningKey(key), ...former.map(parseSigningKey)] as const
    const signed = { name: 'signed', ttlMs: minute, issuer, keys }
    return createSignedTokens(signed, openSqliteRevocations(path, 0), () => minute)
  }
  const rows = [manager('bawn', pem), manager('bawn', secret, pem), manager('bawn', secret), manager('other', pem)]
  const [first] = rows
  assert(first !== undefined)
  const mark = await marked(first, (await first.issue(alice)).token)
  assert.deepEqual(await Promise.all(rows.map(row => row.isGood?.(mark))), [true, true, false, false])
  await Promise.all(rows.map(row => row.close()))
})

test('a store that cannot be asked is no answer', async t => {
  const path = join(folder(t), 'tokens.db')
  const made = [
    createRandomTokens(defaults, openSqliteTokens(path, 0), () => 0),
    createSignedTokens(
      { name: 'signed', ttlMs: minute, issuer: 'bawn', keys: [parseSigningKey(secret)] },
      openSqliteRevocations(path, 0),
      () => 0,
    ),
  ]
  for (const manager of made) {
    const mark = await marked(manager, (await manager.issue(alice)).token)
    await manager.close()
    await assert.rejects(async () => manager.isGood?.(mark), { code: 'tokens.unavailable' })
  }
})

test('sqlite: a file of a newer version, or of somebody else, is left alone', async t => {
  const path = join(folder(t), 'tokens.db')
  const { DatabaseSync } = await import('node:sqlite')
  const file = new DatabaseSync(path)
  file.exec('PRAGMA user_version = 99')
  file.close()
  assert.throws(() => openSqliteTokens(path, 0), { code: 'tokens.newer_schema' })
  assert.throws(() => openSqliteTokens(folder(t), 0), { code: 'tokens.unavailable' })
})
