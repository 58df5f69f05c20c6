import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { CredentialVersion } from './credential-version.ts'
import { deriveDigestVerifiers, digestAlgorithms, digestHash } from './digest-verifier.ts'
import { deriveScramVerifier, isPasswordOf } from './scram-verifier.ts'
import type { Account, ScramVerifier, WritableAccountStore } from './store.ts'
import { deriveVerifiers, isVerifiedBy, parseVerifier, type StoredVerifier, type Verifiers } from './verifier.ts'

// What every store that Bawn writes does alike: run with each of them by its own test file.

export interface StoreUnderTest {
  readonly kind: string
  /** An empty store; each call of what it returns opens it once more, as another node does, and closes it after the test. */
  empty(t: TestContext): Promise<(clock?: () => number) => Promise<WritableAccountStore>>
  /** Does it write down when an account was made, and when its password was set? */
  readonly keepsTimes: boolean
  /** Is an update one step for its server? FerretDB looks first and writes then. */
  readonly updatesAtOnce: boolean
  /** Does it keep what digest needs, and know a password from the same one made anew? */
  readonly keepsDigest: boolean
}

const weak = await deriveScramVerifier('pencil', randomBytes(16), 64)
const strong = await deriveVerifiers('correct horse')
const bcrypt = parseVerifier('$2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS')

const none = { scram: undefined, password: undefined } as const
const alice: Account = { name: 'alice', roles: ['support'], scram: weak, locked: false }
const noThread = { derive: () => Promise.reject(new Error('no thread')), close: async () => {} }

/** Texts that are nobody's name, and that other layers may take for something else. */
const oddNames = [
  'Alice',
  'ALICE',
  'alice ',
  ' alice',
  '',
  'alice\0',
  'alice\u200b',
  'alic\u0065\u0301',
  '\ud800',
  'alice\ud800',
  "' OR 1=1 --",
  "alice'; DROP TABLE account; --",
  '{"$gt":""}',
  '[object Object]',
  '$where',
  '%',
  'alic_',
  'nobody',
  '__proto__',
  'a'.repeat(129),
  'a'.repeat(200_000),
]

export function storeBehaviours({ kind, empty, keepsTimes, updatesAtOnce, keepsDigest }: StoreUnderTest): void {
  const behaviour = (
    what: string,
    work: (open: (clock?: () => number) => Promise<WritableAccountStore>) => Promise<void>,
  ): void => {
    test(`${kind}: ${what}`, async t => work(await empty(t)))
  }

  behaviour('what was added is found after closing and opening', async open => {
    const first = await open()
    await first.add(alice)
    await first.add({ name: 'Zoë@example.org', roles: [], ...none, locked: true })
    const decoySecret = await first.decoySecret?.()
    assert.equal(decoySecret?.length, 32)
    await first.close()
    const second = await open()
    const found = await second.find('alice')
    assert.deepEqual(found?.roles, ['support'])
    assert.equal(found?.locked, false)
    assert.equal(await verifies(found?.scram, 'pencil'), true)
    assert.equal(await verifies(found?.scram, 'crayon'), false)
    const listed = (await second.list()).map(account => [account.name, account.locked])
    assert.deepEqual(listed, [
      ['Zoë@example.org', true],
      ['alice', false],
    ])
    assert.deepEqual(await second.decoySecret?.(), decoySecret)
  })

  behaviour('a name is found exactly; every other text is unknown, and no failure', async open => {
    const store = await open()
    await store.add(alice)
    for (const name of oddNames) assert.equal(await store.find(name), undefined, JSON.stringify(name.slice(0, 40)))
    for (const name of oddNames) assert.equal((await store.decoy(name))?.name, 'alice')
    for (const name of oddNames) await assert.rejects(store.setLocked(name, true), { code: 'accounts.not_found' })
    assert.equal((await store.find('alice'))?.locked, false)
  })

  behaviour('names that read like syntax are names like others', async open => {
    const store = await open()
    const names = ['$where', "o'hara", 'a"b\\c', '{"$gt":""}', '%_', 'nobody', '__proto__', '名前', '😀']
    for (const name of names) await store.add({ ...alice, name, roles: ['r'] })
    for (const name of names) assert.equal((await store.find(name))?.name, name)
    assert.deepEqual((await store.list()).map(({ name }) => name).sort(), [...names].sort())
    for (const name of names) await store.remove(name)
    assert.deepEqual(await store.list(), [])
  })

  behaviour('a taken name, a bad name and a bad role are refused', async open => {
    const store = await open()
    await store.add(alice)
    await assert.rejects(store.add({ ...alice, roles: ['admin'] }), { code: 'accounts.exists' })
    assert.deepEqual((await store.find('alice'))?.roles, ['support'])
    for (const name of ['', 'a\nb', 'a'.repeat(129), 'a\u202eb', '\ud800', 'a\0b']) {
      await assert.rejects(store.add({ ...alice, name }), { code: 'accounts.invalid' })
    }
    await assert.rejects(store.add({ ...alice, name: 'eve', roles: ['not a role'] }), { code: 'accounts.invalid' })
    await assert.rejects(store.setRoles('alice', ['']), { code: 'accounts.invalid' })
    assert.equal((await store.list()).length, 1)
  })

  behaviour('a change at one node holds at the next look of another', async open => {
    const [writer, reader] = [await open(), await open()]
    await writer.add(alice)
    assert.equal((await reader.find('alice'))?.locked, false)
    await writer.setRoles('alice', ['b', 'a', 'b'])
    await writer.setLocked('alice', true)
    const other = await deriveScramVerifier('crayon', randomBytes(16), 64)
    await writer.setVerifier('alice', { scram: other, password: undefined })
    const found = await reader.find('alice')
    assert.deepEqual(found?.roles, ['a', 'b'])
    assert.equal(found?.locked, true)
    assert.equal(await verifies(found?.scram, 'crayon'), true)
    await reader.setLocked('alice', false)
    assert.equal((await writer.find('alice'))?.locked, false)
    await writer.remove('alice')
    assert.equal(await reader.find('alice'), undefined)
  })

  behaviour('changing who is not there says so', async open => {
    const store = await open()
    const changes = [
      store.setVerifier('bob', { scram: weak, password: undefined }),
      store.setRoles('bob', []),
      store.setLocked('bob', true),
      store.remove('bob'),
    ]
    await Promise.all(changes.map(change => assert.rejects(change, { code: 'accounts.not_found' })))
    assert.equal(await upgrade(store, { ...alice, name: 'bob' }, strong), false)
    assert.deepEqual(await store.list(), [])
  })

  behaviour('of nodes that add one name at once, one succeeds', async open => {
    const nodes = await Promise.all([open(), open(), open()])
    const results = await Promise.allSettled(
      nodes.flatMap((node, at) => [1, 2].map(n => node.add({ ...alice, roles: [`of-${at}-${n}`] }))),
    )
    const failures = results.filter(result => result.status === 'rejected')
    assert.equal(failures.length, 5)
    for (const { reason } of failures) assert.equal(reason.code, 'accounts.exists')
    assert.equal((await nodes[0]?.list())?.length, 1)
  })

  behaviour('both verifiers are kept as they are; a password in clear never is', async open => {
    const store = await open()
    await store.add({ ...alice, password: bcrypt })
    await store.add({ ...alice, name: 'bob', ...strong })
    await store.add({ ...alice, name: 'carol', ...none })
    const [first, second, third] = await Promise.all(['alice', 'bob', 'carol'].map(name => store.find(name)))
    assert.deepEqual([first?.scram, first?.password], [weak, bcrypt])
    assert.equal(await isVerifiedBy(second?.password ?? nothing(), 'correct horse', noThread), true)
    assert.equal(await verifies(second?.scram, 'correct horse'), true)
    assert.deepEqual([third?.scram, third?.password], [undefined, undefined])
    const clear = { scram: undefined, password: { kind: 'plain', password: 'pencil' } } as const
    await assert.rejects(store.setVerifier('alice', clear), { code: 'accounts.invalid' })
    await assert.rejects(store.add({ ...alice, name: 'dave', ...clear }), { code: 'accounts.invalid' })
    assert.equal(await store.find('dave'), undefined)
  })

  behaviour('what it derives of a password is verified by it', async open => {
    const store = await open()
    const verifiers = await store.derive('correct horse')
    await store.add({ ...alice, ...verifiers })
    const found = await store.find('alice')
    assert.equal(await isVerifiedBy(found?.password ?? nothing(), 'correct horse', noThread), true)
    assert.equal(await isVerifiedBy(found?.password ?? nothing(), 'correct hors', noThread), false)
  })

  behaviour('an upgrade replaces the verifiers that it saw, and no others', async open => {
    const [store, other] = [await open(), await open()]
    await store.add({ ...alice, password: bcrypt, roles: ['a'] })
    const seen = await store.find('alice')
    assert(seen !== undefined)
    const results = await Promise.all([store, other, store, other].map(node => upgrade(node, seen, strong)))
    const won = results.filter(Boolean).length
    assert(updatesAtOnce ? won === 1 : won >= 1, `${won} upgrades`)
    assert.equal(await upgrade(other, seen, strong), false)
    const now = await other.find('alice')
    assert.equal(await isVerifiedBy(now?.password ?? nothing(), 'correct horse', noThread), true)
    assert.deepEqual([now?.roles, now?.locked], [['a'], false])
    const changed = await deriveVerifiers('another password')
    await other.setVerifier('alice', changed)
    assert.equal(await upgrade(store, now ?? alice, strong), false)
    assert.equal(await verifies((await store.find('alice'))?.scram, 'another password'), true)
    await store.setVerifier('alice', none)
    assert.equal(await upgrade(store, { ...alice, ...changed }, strong), false)
    assert.equal(await upgrade(store, { ...alice, ...none }, strong), true)
  })

  behaviour('the decoy of a name is the account after it, and the first of all after the last', async open => {
    const store = await open()
    assert.equal(await store.decoy('x'), undefined)
    for (const name of ['bob', 'dave']) await store.add({ ...alice, name })
    // Who has no password costs nothing, and can be nobody's decoy.
    for (const name of ['bert', 'carol', 'zed']) await store.add({ ...alice, ...none, name })
    const decoys = await Promise.all(['', 'bob', 'carol', 'zoe'].map(async name => (await store.decoy(name))?.name))
    assert.deepEqual(decoys, ['bob', 'dave', 'dave', 'bob'])
  })

  behaviour('a password has another version after each change, and the same for all who look', async open => {
    const [store, other] = [await open(), await open()]
    await store.add(alice)
    const versions: (CredentialVersion | undefined)[] = []
    const look = async (): Promise<boolean> => {
      const { credential } = (await other.find('alice')) ?? {}
      assert(credential?.isSame((await store.find('alice'))?.credential))
      const isNew = !versions.some(known => known?.isSame(credential))
      versions.push(credential)
      return isNew
    }
    const changed = { scram: undefined, password: bcrypt }
    const steps: readonly (readonly [string, () => Promise<unknown>, boolean])[] = [
      ['added', async () => {}, true],
      ['read again', async () => {}, false],
      ['other roles', () => store.setRoles('alice', ['billing']), false],
      ['another password', () => store.setVerifier('alice', changed), true],
      ...(keepsDigest
        ? ([
            ['made anew', async () => upgrade(store, (await store.find('alice')) ?? alice, strong), false],
            ['the same one set again', () => store.setVerifier('alice', strong), true],
            ['locked', () => store.setLocked('alice', true), true],
            ['let in again', () => store.setLocked('alice', false), false],
            ['removed, and added again', () => store.remove('alice').then(() => store.add(alice)), true],
          ] as const)
        : []),
    ]
    for (const [name, step, isNew] of steps) {
      await step()
      assert.equal(await look(), isNew, name)
    }
  })

  if (keepsDigest) {
    const realm = { realm: 'bawn', algorithms: digestAlgorithms }
    const digestOf = (name: string, password: string) => deriveDigestVerifiers(name, password, realm)

    behaviour('what digest needs comes and goes with the password; names are found by their hashes', async open => {
      const store = await open()
      const names = (name: string) => digestAlgorithms.map(one => digestHash(one, `${name}:bawn`))
      const find = async (hash: string) =>
        (await store.findHashed?.({ hash, realm: 'bawn', algorithm: 'SHA-256' }))?.name
      await store.add({ ...alice, digest: digestOf('alice', 'pencil') })
      await store.add({ ...alice, name: 'bob' })
      assert.deepEqual(await Promise.all(names('alice').map(find)), ['alice', 'alice', 'alice'])
      const others = [...names('bob'), ...names('nobody'), '', "' OR 1=1 --"]
      assert.deepEqual(await Promise.all(others.map(find)), Array(8).fill(undefined))
      const found = await store.find('alice')
      assert.equal(found?.digest, digestOf('alice', 'pencil'))
      assert(found)
      const made = { scram: weak, password: undefined, digest: digestOf('alice', 'crayon') }
      assert.equal(await upgrade(store, found, made), true)
      assert.equal((await store.find('alice'))?.digest, made.digest)
      assert.equal(await upgrade(store, found, made), false, 'changed meanwhile')
      await store.setVerifier('alice', { scram: weak, password: undefined })
      assert.equal((await store.find('alice'))?.digest, undefined, 'of the former password')
      assert.deepEqual(await Promise.all(names('alice').map(find)), [undefined, undefined, undefined])
      await store.setVerifier('bob', { ...none, digest: digestOf('bob', 'x') })
      assert.equal(await find(names('bob')[0] ?? ''), 'bob')
      await store.remove('bob')
      assert.equal(await find(names('bob')[0] ?? ''), undefined)
      const taken = { ...alice, digest: digestOf('alice', 'x') }
      await assert.rejects(store.add(taken), { code: 'accounts.exists' })
      assert.equal(await find(names('alice')[0] ?? ''), undefined, 'nothing of it is left')
    })
  }

  behaviour('a hundred questions at once are all answered', async open => {
    const store = await open()
    await store.add(alice)
    const found = await Promise.all(Array.from({ length: 100 }, (_, n) => store.find(n % 2 === 0 ? 'alice' : `no${n}`)))
    assert.equal(found.filter(account => account?.name === 'alice').length, 50)
    assert.equal(found.filter(account => account === undefined).length, 50)
  })

  behaviour('closed, it cannot decide', async open => {
    const store = await open()
    await store.add(alice)
    await store.close()
    await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
    await assert.rejects(store.find('bob'), { code: 'accounts.unavailable' })
    await assert.rejects(store.setLocked('alice', true), { code: 'accounts.unavailable' })
    await store.close()
  })

  if (keepsTimes) {
    behaviour('when it was made and when its password was set is kept; an upgrade is no new password', async open => {
      let at = 1_000
      const store = await open(() => at)
      await store.add({ ...alice, password: bcrypt })
      at = 2_000
      const found = await store.find('alice')
      assert.deepEqual([found?.createdAt, found?.passwordChangedAt], [1_000, 1_000])
      assert.equal(await upgrade(store, found ?? alice, { scram: undefined, password: bcrypt }), true)
      const after = await store.find('alice')
      assert.deepEqual([after?.createdAt, after?.passwordChangedAt, after?.scram], [1_000, 1_000, undefined])
      await store.setVerifier('alice', { scram: weak, password: undefined })
      const changed = await store.find('alice')
      assert.deepEqual([changed?.createdAt, changed?.passwordChangedAt], [1_000, 2_000])
    })
  }
}

async function verifies(verifier: ScramVerifier | undefined, password: string): Promise<boolean> {
  return verifier !== undefined && isPasswordOf(verifier, password)
}

/** For a verifier that is not there: the test fails by it. */
function nothing(): StoredVerifier {
  throw new assert.AssertionError({ message: 'there is no verifier' })
}

async function upgrade(store: WritableAccountStore, account: Account, verifiers: Verifiers): Promise<boolean> {
  assert(store.upgrade !== undefined, 'the store upgrades')
  return store.upgrade(account, verifiers)
}
