import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, before, type TestContext, test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { type Collection, MongoClient, ObjectId } from 'mongodb'
import { createHashThread } from '../../packages/bawn/src/accounts/hash-thread.ts'
import { type MongoAccountsOptions, openMongoAccounts } from '../../packages/bawn/src/accounts/mongo.ts'
import type { MongoTarget } from '../../packages/bawn/src/accounts/mongo-connection.ts'
import { accountStoreOptions, type StoreOptionsOf } from '../../packages/bawn/src/accounts/option.ts'
import type { Account, WritableAccountStore } from '../../packages/bawn/src/accounts/store.ts'
import { storeBehaviours } from '../../packages/bawn/src/accounts/store-behaviour.fixture.ts'
import { deriveVerifiers, isVerifiedBy, parseVerifier } from '../../packages/bawn/src/accounts/verifier.ts'
import { type Mongo, startMongo } from './ferretdb.ts'

// Accounts in a collection as RESTHeart has it, over the protocol of MongoDB: npm run test:mongo

let mongo: Mongo
before(async () => {
  mongo = await startMongo()
})
after(() => mongo?.stop())

const targetOf = (server: Mongo, more: Partial<MongoTarget> = {}): MongoTarget => ({
  url: `mongodb://127.0.0.1:${server.port}`,
  user: server.user,
  password: server.password,
  tls: undefined,
  database: 'restheart',
  timeoutMs: 5_000,
  maxConnections: 4,
  ...more,
})

function optionsOf(more: Record<string, unknown>): StoreOptionsOf<'mongo'> {
  const options = accountStoreOptions.parse({ kind: 'mongo', url: 'mongodb://127.0.0.1', ...more })
  assert(options.kind === 'mongo')
  return options
}

let collections = 0
const freshCollection = (): string => `users${++collections}`

interface Opening extends Partial<Omit<MongoAccountsOptions, 'options'>> {
  readonly options?: Record<string, unknown>
}

async function open(t: TestContext, collection: string, more: Opening = {}): Promise<WritableAccountStore> {
  const { options, ...rest } = more
  const store = await openMongoAccounts({
    name: 'people',
    target: targetOf(mongo),
    options: optionsOf({ collection, ...options }),
    firstPassword: undefined,
    notice: () => {},
    now: () => performance.now(),
    ...rest,
  })
  t.after(() => store.close())
  return store
}

interface UserDocument {
  readonly _id: string | number | ObjectId
  readonly [member: string]: unknown
}

/** Past the store, as RESTHeart or an operator would. */
async function direct<Result>(
  collection: string,
  work: (users: Collection<UserDocument>) => Promise<Result>,
  server = mongo,
): Promise<Result> {
  const { port, user, password } = server
  const client = new MongoClient(`mongodb://127.0.0.1:${port}`, { auth: { username: user, password } })
  try {
    return await work(client.db('restheart').collection(collection))
  } finally {
    await client.close()
  }
}

const shapes: Readonly<Record<string, Record<string, unknown>>> = {
  mongo: { hash: 'argon2id' },
  'mongo, by another property': {
    hash: 'argon2id',
    property_id: 'login.name',
    property_password: 'pwd',
    json_path_roles: '$.login.roles',
  },
}
for (const [kind, options] of Object.entries(shapes)) {
  storeBehaviours({
    kind,
    keepsTimes: false,
    updatesAtOnce: false,
    keepsDigest: false,
    async empty(t) {
      const collection = freshCollection()
      return () => open(t, collection, { options })
    },
  })
}

const alice: Account = { name: 'alice', roles: ['support'], scram: undefined, locked: false }
const thread = createHashThread()
after(() => thread.close())

/** `correct horse`, by libxcrypt, at a cost for tests. */
const hash = '$2a$04$P6hjXZ9eNtHAQwzXk1oS6OPafnCQZvaqTEWXGzgApKJQyfEzyLnii'

test('a new password is a bcrypt hash that RESTHeart reads, and no login makes another of it', async t => {
  const collection = freshCollection()
  const store = await open(t, collection)
  await store.add({ ...alice, ...(await store.derive('correct horse')) })
  const document = await direct(collection, users => users.findOne({}))
  assert.deepEqual(Object.keys(document ?? {}), ['_id', 'password', 'roles'])
  assert.match(String(document?.['password']), /^\$2a\$12\$[./A-Za-z0-9]{53}$/)
  const found = await store.find('alice')
  assert(found?.password !== undefined)
  assert.equal(await isVerifiedBy(found.password, 'correct horse', thread), true)
  assert.equal(await isVerifiedBy(found.password, 'correct hors', thread), false)
  assert.equal(store.upgrade, undefined)
  assert.equal(store.decoySecret, undefined)
  await assert.rejects(store.setVerifier('alice', await deriveVerifiers('x')), { code: 'accounts.invalid' })
  for (const password of ['p'.repeat(72), 'ü'.repeat(36), 'a\0b']) {
    await assert.rejects(store.derive(password), { code: 'accounts.invalid' })
  }
  assert((await store.derive('p'.repeat(71))).password !== undefined)
})

test('what RESTHeart has written is read, and what is not ours stays when something is changed', async t => {
  const collection = freshCollection()
  const profile = { address: { city: 'Berlin' }, tags: ['a', 1, null], since: new Date(0) }
  await direct(collection, users =>
    users.insertMany([
      { _id: 'admin', password: hash, roles: ['admin', 7, null, 'not a role', '$unauthenticated', 'admin'], profile },
      { _id: 'guest', password: hash },
      { _id: 'certified', roles: [] },
      { _id: new ObjectId(), password: hash, roles: ['admin'] },
      { _id: 17, password: hash, roles: ['admin'] },
    ]),
  )
  const store = await open(t, collection)
  const admin = await store.find('admin')
  assert.deepEqual([admin?.roles, admin?.locked], [['admin'], false])
  assert(admin?.password !== undefined)
  assert.equal(await isVerifiedBy(admin.password, 'correct horse', thread), true)
  assert.deepEqual((await store.find('guest'))?.roles, [])
  assert.equal((await store.find('certified'))?.password, undefined)
  assert.equal(await store.find('17'), undefined)
  assert.deepEqual(
    (await store.list()).map(({ name }) => name),
    ['admin', 'certified', 'guest'],
  )
  await store.setRoles('admin', ['root', 'admin'])
  await store.setLocked('admin', true)
  assert.equal((await store.find('admin'))?.locked, true)
  await store.setVerifier('admin', await store.derive('another one'))
  await store.setLocked('admin', false)
  const after = await direct(collection, users => users.findOne({ _id: 'admin' }))
  assert.deepEqual(after?.['profile'], profile)
  assert.deepEqual(after?.['roles'], ['admin', 'root'])
  assert.equal(after !== null && 'locked' in after, false)
})

const unreadable: readonly (readonly [what: string, document: Record<string, unknown>])[] = [
  ['roles that are no list', { roles: 'admin' }],
  ['roles that are an object', { roles: { 0: 'admin' } }],
  ['a password of an unknown kind', { password: '$5$rounds=5000$salt$hash' }],
  ['a password in clear', { password: 'correct horse' }],
  ['a password that is no text', { password: { ne: '' } }],
  ['a lock that is neither true nor false', { locked: 'false' }],
  ['a SCRAM verifier that is none', { scram: 'SCRAM-SHA-1$1:a$b:c' }],
]
for (const [what, members] of unreadable) {
  test(`${what}: it cannot be decided who that is, and nobody else is kept from logging in`, async t => {
    const collection = freshCollection()
    const others = { password: hash, roles: ['a'] }
    await direct(collection, users =>
      users.insertMany([
        { _id: 'a', ...others },
        { _id: 'b', ...others, ...members },
        { _id: 'c', ...others },
      ]),
    )
    const store = await open(t, collection)
    await assert.rejects(store.find('b'), { code: 'accounts.unavailable' })
    assert.equal((await store.find('a'))?.name, 'a')
    for (const name of ['a', 'b', 'zoe', 'aa']) await store.decoy(name)
  })
}

test('a name is the whole text at its place: not one of a list, not one of two', async t => {
  const collection = freshCollection()
  const others = { password: hash, roles: ['admin'] }
  await direct(collection, users =>
    users.insertMany([
      { _id: 1, login: { name: ['alice', 'root'] }, ...others },
      { _id: 2, login: [{ name: 'root' }, { name: 'bob' }], ...others },
      { _id: 3, login: { name: 'carol' }, ...others },
      { _id: 4, login: { name: 'dave' }, ...others },
      { _id: 5, login: { name: 'dave' }, ...others },
      { _id: 6, login: { name: { gt: '' } }, ...others },
    ]),
  )
  const store = await open(t, collection, { options: { property_id: 'login.name' } })
  for (const name of ['alice', 'root', 'bob', '1']) assert.equal(await store.find(name), undefined, name)
  assert.equal((await store.find('carol'))?.name, 'carol')
  await assert.rejects(store.find('dave'), { code: 'accounts.unavailable' })
  await assert.rejects(store.add({ ...alice, name: 'carol' }), { code: 'accounts.exists' })
  await store.add(alice)
  assert.deepEqual((await store.find('alice'))?.roles, ['support'])
})

test('roles stand where the path says; through a list they are read, and cannot be written', async t => {
  const collection = freshCollection()
  await direct(collection, users =>
    users.insertMany([
      { _id: 'a', groups: [{ role: 'x', more: ['p'] }, { role: 'y' }, { other: 1 }] },
      { _id: 'b', groups: [] },
      { _id: 'c' },
      { _id: 'd', groups: { role: 'x' } },
    ]),
  )
  const store = await open(t, collection, { options: { json_path_roles: '$.groups[*].role' } })
  assert.deepEqual((await store.find('a'))?.roles, ['x', 'y'])
  assert.deepEqual((await store.find('b'))?.roles, [])
  assert.deepEqual((await store.find('c'))?.roles, [])
  await assert.rejects(store.find('d'), { code: 'accounts.unavailable' })
  await assert.rejects(store.setRoles('a', ['z']), { code: 'accounts.read_only' })
  await assert.rejects(store.add(alice), { code: 'accounts.read_only' })
  await store.setLocked('a', true)
})

test('the first user is made once, when the collection is empty, and that is said', async t => {
  const collection = freshCollection()
  const said: string[] = []
  const opening: Opening = {
    options: { first_user: { name: 'root', password: 'env:X', roles: ['admin'] } },
    firstPassword: 'correct horse',
    notice: message => said.push(message),
  }
  await assert.rejects(open(t, collection, { ...opening, firstPassword: 'secret' }), {
    code: 'accounts.invalid',
    message: 'first_user of account store people: a password has at least 8 characters',
  })
  // Whoever only looks makes nothing.
  const looking = await open(t, collection, { ...opening, firstPassword: undefined })
  assert.equal(await looking.find('root'), undefined)
  const nodes = await Promise.all([1, 2, 3].map(() => open(t, collection, opening)))
  const found = await Promise.all(nodes.map(node => node.find('root')))
  for (const account of found) assert.deepEqual(account?.roles, ['admin'])
  const [first] = found
  assert(first?.password !== undefined)
  assert.equal(await isVerifiedBy(first.password, 'correct horse', thread), true)
  assert.equal(said.length, 1)
  assert.match(
    said[0] ?? '',
    /account store people: collection users\d+ was empty, so user root was made, with roles admin/,
  )
  await nodes[0]?.remove('root')
  await nodes[0]?.add(alice)
  const later = await open(t, collection, opening)
  assert.equal(await later.find('root'), undefined)
  assert.equal(said.length, 1)
})

test('with a cache, what Bawn changes holds here at once and elsewhere after half a second; the rest after ttl', async t => {
  const collection = freshCollection()
  let time = 1_000
  const now = () => time
  const options = { cache: { ttl: '60s', size: 100 } }
  const [one, other] = [await open(t, collection, { options, now }), await open(t, collection, { options, now })]
  await one.add(alice)
  time += 500
  assert.deepEqual((await other.find('alice'))?.roles, ['support'])
  assert.equal(await other.find('bob'), undefined)
  await one.setRoles('alice', ['a'])
  await one.add({ ...alice, name: 'bob' })
  assert.deepEqual((await one.find('alice'))?.roles, ['a'])
  assert.equal((await one.find('bob'))?.name, 'bob')
  assert.deepEqual((await other.find('alice'))?.roles, ['support'], 'within half a second the old one holds')
  time += 500
  assert.deepEqual((await other.find('alice'))?.roles, ['a'])
  assert.equal((await other.find('bob'))?.name, 'bob')
  await one.setLocked('alice', true)
  time += 500
  assert.equal((await other.find('alice'))?.locked, true)
  await one.remove('bob')
  time += 500
  assert.equal(await other.find('bob'), undefined)

  assert.deepEqual((await other.find('alice'))?.roles, ['a'])
  await direct(collection, users => users.updateOne({ _id: 'alice' }, { $set: { roles: ['behind'] } }))
  time += 59_000
  assert.deepEqual((await other.find('alice'))?.roles, ['a'])
  time += 1_000
  assert.deepEqual((await other.find('alice'))?.roles, ['behind'])
})

test('with a cache, a database that is away is not covered up', async t => {
  const server = await startMongo()
  t.after(() => server.stop())
  let time = 1_000
  const target = targetOf(server, { timeoutMs: 1_000 })
  const store = await open(t, freshCollection(), { target, options: { cache: {} }, now: () => time })
  await store.add(alice)
  assert.equal((await store.find('alice'))?.name, 'alice')
  await server.kill()
  assert.equal((await store.find('alice'))?.name, 'alice')
  time += 500
  await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  await server.again()
  assert.equal((await store.find('alice'))?.name, 'alice')
})

test('a password in clear is believed where the configuration says so, and replaced at the first login', async t => {
  const collection = freshCollection()
  await direct(collection, users => users.insertOne({ _id: 'old', password: 'correct horse', roles: [] }))
  const options = { insecure_clear_passwords: true, hash: 'argon2id' }
  const store = await open(t, collection, { options })
  const old = await store.find('old')
  assert.deepEqual(old?.password, { kind: 'plain', password: 'correct horse' })
  assert.equal(await store.upgrade?.(old, await deriveVerifiers('correct horse')), true)
  const after = await direct(collection, users => users.findOne({ _id: 'old' }))
  assert.match(String(after?.['password']), /^\$argon2id\$/)
  assert.match(String(after?.['scram']), /^SCRAM-SHA-256\$/)
})

test('killed and started again, nothing acknowledged is lost, and it is found again at once', async t => {
  const server = await startMongo()
  t.after(() => server.stop())
  const target = targetOf(server, { timeoutMs: 1_000 })
  const store = await open(t, 'users', { target })
  const added: string[] = []
  let killing: Promise<void> | undefined
  const failure = await (async () => {
    for (let n = 0; ; n++) {
      try {
        await store.add({ ...alice, name: `user${n}` })
      } catch (error) {
        return error
      }
      added.push(`user${n}`)
      if (n === 40) killing = server.kill()
    }
  })()
  await killing
  assert(failure instanceof Error && 'code' in failure && failure.code === 'accounts.unavailable', String(failure))
  const begun = performance.now()
  for (const name of ['user1', 'unknown']) {
    await assert.rejects(store.find(name), { code: 'accounts.unavailable' })
    await assert.rejects(store.decoy(name), { code: 'accounts.unavailable' })
  }
  assert(performance.now() - begun < 6_000, 'each within its time')
  await server.again()
  assert.equal((await store.find('user1'))?.name, 'user1')
  assert(added.length > 40)
  const names = new Set((await store.list()).map(({ name }) => name))
  for (const name of added) assert(names.has(name), name)
})

test('opened while the database is away, it is found as soon as it is there', async t => {
  const server = await startMongo()
  t.after(() => server.stop())
  await server.kill()
  const store = await open(t, 'users', { target: targetOf(server, { timeoutMs: 500 }) })
  for (let round = 0; round < 3; round++) {
    const asked = ['a', 'b'].map(name => assert.rejects(store.find(name), { code: 'accounts.unavailable' }))
    await Promise.all(asked)
  }
  await server.again()
  await store.add(alice)
  assert.equal((await store.find('alice'))?.name, 'alice')
})

test('who the gateway is may be in the URL or beside it; a wrong password is an error without it', async t => {
  const collection = freshCollection()
  const url = `mongodb://${mongo.user}:${encodeURIComponent(mongo.password)}@127.0.0.1:${mongo.port}/?authSource=admin`
  const byUrl = await open(t, collection, { target: targetOf(mongo, { url, user: undefined, password: undefined }) })
  await byUrl.add(alice)
  for (const target of [
    targetOf(mongo, { password: 'wrong-one' }),
    targetOf(mongo, { user: undefined, password: undefined }),
    targetOf(mongo, { url: url.replace(/:[^:@]*@/, ':wrong-one@'), user: undefined, password: undefined }),
  ]) {
    const store = await open(t, collection, { target })
    await assert.rejects(store.find('alice'), error => {
      assert(error instanceof Error && 'code' in error && error.code === 'accounts.unavailable')
      assert.doesNotMatch(everythingOf(error), /wrong-one/)
      assert.match(error.message, /MongoDB answered with error (18|13)/)
      return true
    })
  }
})

test('no error holds a name or a hash of the collection', async t => {
  const collection = freshCollection()
  const store = await open(t, collection, { options: { property_id: 'login' } })
  await store.add(alice)
  await direct(collection, users => users.createIndex({ password: 1 }, { unique: true }))
  const verifiers = await store.derive('correct horse')
  await store.setVerifier('alice', verifiers)
  await store.add({ ...alice, name: 'bob', password: parseVerifier(hash) })
  await assert.rejects(store.setVerifier('bob', verifiers), error => {
    assert.match(String(error), /MongoDB answered with error/)
    assert.doesNotMatch(everythingOf(error), /\$2a\$|alice|bob/)
    return true
  })
})

function everythingOf(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error)
  return [error.message, error.stack, JSON.stringify(error), everythingOf(error.cause ?? null)].join('\n')
}

test('over TLS the server must prove its name, and we ours where it asks', async t => {
  const authority = createAuthority('test authority')
  const clients = createAuthority('of clients')
  const server = authority.issue('mongo', 'server', ['localhost', '127.0.0.1'])
  const secured = await startMongo({ ...server, clientCa: clients.certificate })
  t.after(() => secured.stop())
  const ours = clients.issue('gateway', 'client', [])
  const good = { ca: authority.certificate, certificate: ours.certificate, key: ours.key }
  const target = (tls: MongoTarget['tls'], host = 'localhost') =>
    targetOf(secured, { url: `mongodb://${host}:${secured.port}`, tls, timeoutMs: 1_500 })
  const store = await open(t, 'users', { target: target(good) })
  await store.add(alice)
  assert.equal((await store.find('alice'))?.name, 'alice')
  const stranger = createAuthority('another').issue('gateway', 'client', [])
  for (const [what, tls] of [
    ['an authority that is not its own', { ...good, ca: clients.certificate }],
    ['the authorities of the system', { ...good, ca: undefined }],
    ['no certificate of ours', { ...good, certificate: undefined, key: undefined }],
    ['a certificate of another authority', { ...good, certificate: stranger.certificate, key: stranger.key }],
    ['no TLS at all', undefined],
  ] as const) {
    const refused = await open(t, 'users', { target: target(tls) })
    await assert.rejects(refused.find('alice'), { code: 'accounts.unavailable' }, what)
  }
  const elsewhere = authority.issue('mongo', 'server', ['db.example'])
  const misnamed = await startMongo(elsewhere)
  t.after(() => misnamed.stop())
  const wrongName = await open(t, 'users', {
    target: targetOf(misnamed, {
      url: `mongodb://localhost:${misnamed.port}`,
      tls: { ca: authority.certificate, certificate: undefined, key: undefined },
      timeoutMs: 1_500,
    }),
  })
  await assert.rejects(wrongName.find('alice'), { code: 'accounts.unavailable' })
})

test('a server that does not answer is given up in time', async t => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  t.after(() => silent.close())
  await once(silent, 'listening')
  const address = silent.address()
  assert(address !== null && typeof address === 'object')
  const target = targetOf(mongo, { url: `mongodb://127.0.0.1:${address.port}`, timeoutMs: 300 })
  const store = await open(t, 'users', { target })
  const begun = performance.now()
  await assert.rejects(store.find('alice'), { code: 'accounts.unavailable' })
  assert(performance.now() - begun < 3_000)
})
