import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { before, test } from 'node:test'
import { decoyScramVerifier, deriveScramKeys, deriveScramVerifier } from '../accounts/scram-verifier.ts'
import type { Account, AccountStore, ScramVerifier } from '../accounts/store.ts'
import { createScramExchange, formatScramNonce } from './scram.ts'
import { createKeyedScramCredential, createScramCredential } from './scram-client.ts'
import { createScramMechanism } from './scram-mechanism.ts'

const rfcSalt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const clientNonce = 'rOprNGfwEbeRWgbNEkqO'
const binding = Buffer.alloc(32, 7)

let pencil: ScramVerifier
before(async () => {
  pencil = await deriveScramVerifier('pencil', rfcSalt, 4096)
})

const exchange = (channelBinding?: Uint8Array, decoy = false) =>
  createScramExchange({ verifier: pencil, decoy, channelBinding, nonce: serverNonce })
const ascii = (text: string) => Buffer.from(text, 'latin1')
const text = (message: Uint8Array) => Buffer.from(message).toString('latin1')

test('the exchange of RFC 7677 section 3', () => {
  const server = exchange()
  const first = server.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`))
  assert.equal(first.kind, 'continue')
  assert.equal(
    first.kind === 'continue' && text(first.message),
    `r=${clientNonce}${serverNonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
  )
  const final = server.final(
    ascii(`c=biws,r=${clientNonce}${serverNonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`),
  )
  assert.equal(final.kind === 'identified' && text(final.serverFinal), 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
})

interface Login {
  readonly password: string
  readonly tls: boolean
  readonly serverBinding: Uint8Array | undefined
  readonly clientBinding: Uint8Array | undefined
  readonly offered?: readonly string[]
  readonly decoy?: boolean
}

async function logIn(login: Login): Promise<string> {
  const server = exchange(login.serverBinding, login.decoy)
  const client = createScramCredential(login.password).start({
    offered: login.offered ?? server.mechanisms,
    tls: login.tls,
    channelBinding: login.clientBinding,
    nonce: formatScramNonce(randomBytes(18)),
  })
  const first = server.first(client.mechanism, client.first)
  if (first.kind !== 'continue') return first.kind
  const final = server.final(await client.respond(first.message))
  if (final.kind !== 'identified') return `${final.kind}${final.kind === 'rejected' ? ` ${final.reason}` : ''}`
  client.finish(final.serverFinal)
  return `identified by ${client.mechanism}`
}

const plain = { password: 'pencil', tls: false, serverBinding: undefined, clientBinding: undefined }
const tls = { ...plain, tls: true }
const logins: readonly (Login & { readonly name: string; readonly outcome: string })[] = [
  { ...plain, name: 'without TLS', outcome: 'identified by SCRAM-SHA-256' },
  { ...tls, name: 'TLS, no binding on either side', outcome: 'identified by SCRAM-SHA-256' },
  {
    ...tls,
    serverBinding: binding,
    clientBinding: binding,
    name: 'bound to the channel',
    outcome: 'identified by SCRAM-SHA-256-PLUS',
  },
  { ...tls, serverBinding: binding, name: 'a client that cannot bind', outcome: 'identified by SCRAM-SHA-256' },
  { ...tls, clientBinding: binding, name: 'a server that cannot bind', outcome: 'identified by SCRAM-SHA-256' },
  {
    ...tls,
    serverBinding: binding,
    clientBinding: Buffer.alloc(32, 8),
    name: 'another certificate in between',
    outcome: 'rejected untrusted',
  },
  {
    ...tls,
    serverBinding: binding,
    clientBinding: binding,
    offered: ['SCRAM-SHA-256'],
    name: 'PLUS taken from the offer',
    outcome: 'rejected',
  },
  { ...plain, password: 'crayon', name: 'a wrong password', outcome: 'rejected wrong-password' },
  { ...plain, decoy: true, name: 'a decoy, even with a proof that fits', outcome: 'rejected unknown-user' },
]
for (const row of logins) {
  test(`login: ${row.name}`, async () => assert.equal(await logIn(row), row.outcome))
}

const firsts: readonly {
  readonly name: string
  readonly message: string
  readonly mechanism?: string
  readonly kind: string
}[] = [
  { name: 'an empty user, as libpq sends', message: 'n,,n=,r=abc', kind: 'continue' },
  { name: 'an extension that may be ignored', message: 'n,,n=,r=abc,x=1', kind: 'continue' },
  { name: 'a user name is not looked at', message: 'n,,n=j\u00c3\u00b6rg=2C,r=abc', kind: 'continue' },
  { name: 'an authzid', message: 'n,a=admin,n=,r=abc', kind: 'malformed' },
  { name: 'a mandatory extension', message: 'n,,m=1,n=,r=abc', kind: 'malformed' },
  { name: 'an unknown gs2 flag', message: 'x,,n=,r=abc', kind: 'malformed' },
  { name: 'no gs2 header', message: 'n=,r=abc', kind: 'malformed' },
  { name: 'no nonce', message: 'n,,n=,r=', kind: 'malformed' },
  { name: 'a nonce with a space', message: 'n,,n=,r=a c', kind: 'malformed' },
  { name: 'a nonce with a high byte', message: 'n,,n=,r=a\u00e9c', kind: 'malformed' },
  { name: 'a nonce that is too long', message: `n,,n=,r=${'a'.repeat(257)}`, kind: 'malformed' },
  { name: 'a message that is too long', message: `n,,n=${'a'.repeat(3_000)},r=abc`, kind: 'malformed' },
  { name: 'a NUL', message: 'n,,n=\0,r=abc', kind: 'malformed' },
  { name: 'a line end', message: 'n,,n=,r=abc\n', kind: 'malformed' },
  { name: 'binding without PLUS', message: 'p=tls-server-end-point,,n=,r=abc', kind: 'malformed' },
  { name: 'PLUS without binding', mechanism: 'SCRAM-SHA-256-PLUS', message: 'n,,n=,r=abc', kind: 'malformed' },
  { name: 'PLUS with y', mechanism: 'SCRAM-SHA-256-PLUS', message: 'y,,n=,r=abc', kind: 'malformed' },
  {
    name: 'another binding type',
    mechanism: 'SCRAM-SHA-256-PLUS',
    message: 'p=tls-unique,,n=,r=abc',
    kind: 'malformed',
  },
  { name: 'y though PLUS was offered', message: 'y,,n=,r=abc', kind: 'rejected' },
  { name: 'another mechanism', mechanism: 'SCRAM-SHA-1', message: 'n,,n=,r=abc', kind: 'malformed' },
]
for (const row of firsts) {
  test(`client-first: ${row.name}`, () => {
    assert.equal(exchange(binding).first(row.mechanism ?? 'SCRAM-SHA-256', ascii(row.message)).kind, row.kind)
  })
}

test('PLUS cannot be chosen where it is not offered', () => {
  assert.equal(exchange().first('SCRAM-SHA-256-PLUS', ascii('p=tls-server-end-point,,n=,r=abc')).kind, 'malformed')
})

const proof = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const nonce = clientNonce + serverNonce
const finals: readonly { readonly name: string; readonly message: string; readonly kind: string }[] = [
  { name: 'the right one', message: `c=biws,r=${nonce},p=${proof}`, kind: 'identified' },
  { name: 'only the client nonce', message: `c=biws,r=${clientNonce},p=${proof}`, kind: 'malformed' },
  { name: 'a longer nonce', message: `c=biws,r=${nonce}x,p=${proof}`, kind: 'malformed' },
  { name: 'the header of y', message: `c=eSws,r=${nonce},p=${proof}`, kind: 'rejected' },
  { name: 'binding with stray bits', message: `c=biwt=,r=${nonce},p=${proof}`, kind: 'malformed' },
  { name: 'proof with stray bits', message: `c=biws,r=${nonce},p=${proof.replace('VQ=', 'VR=')}`, kind: 'malformed' },
  { name: 'proof without padding', message: `c=biws,r=${nonce},p=${proof.slice(0, -1)}`, kind: 'malformed' },
  { name: 'a short proof', message: `c=biws,r=${nonce},p=dHzb`, kind: 'malformed' },
  { name: 'a proof of zeros', message: `c=biws,r=${nonce},p=${Buffer.alloc(32).toString('base64')}`, kind: 'rejected' },
  { name: 'no proof', message: `c=biws,r=${nonce}`, kind: 'malformed' },
  { name: 'two proofs', message: `c=biws,r=${nonce},p=${proof},p=${proof}`, kind: 'malformed' },
  { name: 'something after the proof', message: `c=biws,r=${nonce},p=${proof},x=1`, kind: 'malformed' },
  { name: 'an extension that nobody proved', message: `c=biws,r=${nonce},x=1,p=${proof}`, kind: 'rejected' },
  { name: 'empty', message: '', kind: 'malformed' },
]
for (const row of finals) {
  test(`client-final: ${row.name}`, () => {
    const server = exchange()
    server.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`))
    assert.equal(server.final(ascii(row.message)).kind, row.kind)
  })
}

test('each message is taken once, in order', () => {
  const message = ascii(`c=biws,r=${nonce},p=${proof}`)
  const early = exchange()
  assert.equal(early.final(message).kind, 'malformed')
  const server = exchange()
  server.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`))
  assert.equal(server.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`)).kind, 'malformed')
  const again = exchange()
  again.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`))
  assert.equal(again.final(ascii(`c=biws,r=${nonce},p=${Buffer.alloc(32).toString('base64')}`)).kind, 'rejected')
  assert.equal(again.final(message).kind, 'malformed')
})

test('cut, flipped and random messages end in an answer', () => {
  const message = ascii(`c=biws,r=${nonce},p=${proof}`)
  const answer = (bytes: Uint8Array) => {
    const server = exchange(binding)
    server.first('SCRAM-SHA-256', bytes)
    const other = exchange()
    other.first('SCRAM-SHA-256', ascii(`n,,n=user,r=${clientNonce}`))
    return other.final(bytes).kind
  }
  for (let cut = 0; cut < message.length; cut++) assert.notEqual(answer(message.subarray(0, cut)), 'identified')
  for (let at = 0; at < message.length * 8; at++) {
    const flipped = Buffer.from(message)
    flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7))
    assert.notEqual(answer(flipped), 'identified')
  }
  for (let round = 0; round < 500; round++) assert.notEqual(answer(randomBytes(round)), 'identified')
})

// The client side against servers that lie.
const servers: readonly { readonly name: string; readonly message: (ours: string) => string }[] = [
  { name: 'its nonce is not ours', message: () => 'r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096' },
  { name: 'it adds nothing to the nonce', message: ours => `r=${ours},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096` },
  { name: 'too few iterations', message: ours => `r=${ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1` },
  { name: 'too many iterations', message: ours => `r=${ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999` },
  { name: 'no salt', message: ours => `r=${ours}x,s=,i=4096` },
  { name: 'a damaged salt', message: ours => `r=${ours}x,s=W22Z=,i=4096` },
  { name: 'a mandatory extension', message: ours => `m=1,r=${ours}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096` },
  { name: 'nothing', message: () => '' },
]
for (const row of servers) {
  test(`the client refuses a server-first: ${row.name}`, async () => {
    const client = createScramCredential('pencil').start({
      offered: ['SCRAM-SHA-256'],
      tls: false,
      channelBinding: undefined,
      nonce: 'ours',
    })
    await assert.rejects(client.respond(ascii(row.message('ours'))), { code: 'authn.upstream_scram' })
  })
}

test('the client refuses a server that cannot prove that it knows the password, and one that offers something else', async () => {
  const credential = createScramCredential('pencil')
  const login = { offered: ['SCRAM-SHA-256'], tls: false, channelBinding: undefined, nonce: clientNonce }
  for (const answer of ['', 'v=', 'e=other-error', 'v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'x']) {
    const client = credential.start(login)
    assert.throws(() => client.finish(ascii(answer)), { code: 'authn.upstream_scram' })
    await client.respond(ascii(`r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`))
    assert.throws(() => client.finish(ascii(answer)), { code: 'authn.upstream_scram' })
  }
  for (const offered of [[], ['SCRAM-SHA-1'], ['SCRAM-SHA-256-PLUS']]) {
    assert.throws(() => credential.start({ ...login, offered }), { code: 'authn.upstream_scram' })
  }
})

test('the client: cut, flipped and random messages of a server end in the one error', async () => {
  const credential = createScramCredential('pencil')
  const login = { offered: ['SCRAM-SHA-256'], tls: false, channelBinding: undefined, nonce: clientNonce }
  const first = Buffer.from(`r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`)
  const refuses = async (message: Uint8Array) => {
    try {
      await credential.start(login).respond(message)
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'authn.upstream_scram', String(error))
    }
    const client = credential.start(login)
    await client.respond(first)
    assert.throws(() => client.finish(message), { code: 'authn.upstream_scram' })
  }
  for (let round = 0; round < 60; round++) {
    const flipped = Buffer.from(first)
    flipped[randomInt(flipped.length)] = randomInt(128)
    await refuses(first.subarray(0, randomInt(first.length)))
    // More iterations than are taken are an error; as many as are would only cost this test its time.
    if (!/i=[1-9][0-9]{5,}/.test(flipped.toString('latin1'))) await refuses(flipped)
    await refuses(randomBytes(round))
  }
})

// Accounts.
const secret = Buffer.alloc(32, 9)

function storeOf(name: string, accounts: readonly Account[]): AccountStore {
  return {
    name,
    find: async user => accounts.find(account => account.name === user),
    list: async () => accounts,
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  }
}

async function logInAs(stores: readonly AccountStore[], user: string, password: string) {
  const mechanism = createScramMechanism({ stores, decoySecret: async () => secret, decoyIterations: 4096 })
  const login = await mechanism.start(user, { channelBinding: undefined, nonce: serverNonce })
  const client = createScramCredential(password).start({
    offered: login.mechanisms,
    tls: false,
    channelBinding: undefined,
    nonce: clientNonce,
  })
  const first = login.first(client.mechanism, client.first)
  assert.ok(first.kind === 'continue')
  return { serverFirst: text(first.message), final: login.final(await client.respond(first.message)) }
}

test('the mechanism identifies accounts, and everybody else sees the same exchange', async () => {
  const account = (name: string, locked = false, scram: ScramVerifier | undefined = pencil): Account => ({
    name,
    roles: ['b', 'a'],
    scram,
    locked,
  })
  const stores = [
    storeOf('staff', [account('alice'), account('mallory', true), { ...account('nopass'), scram: undefined }]),
    storeOf('more', [account('zoe'), account('alice', true)]),
  ]
  const alice = await logInAs(stores, 'alice', 'pencil')
  assert.ok(alice.final.kind === 'identified')
  assert.equal(alice.final.identity.id, 'alice')
  assert.deepEqual(alice.final.identity.roles, ['a', 'b'])
  assert.equal(alice.final.identity.source, 'staff')
  assert.equal(alice.final.identity.mechanism, 'scram')
  const zoe = await logInAs(stores, 'zoe', 'pencil')
  assert.ok(zoe.final.kind === 'identified')
  assert.equal(zoe.final.identity.source, 'more')

  for (const [user, password, reason] of [
    ['alice', 'crayon', 'wrong-password'],
    ['mallory', 'pencil', 'locked'],
    ['mallory', 'crayon', 'wrong-password'],
    ['nopass', 'pencil', 'wrong-password'],
    ['bob', 'pencil', 'unknown-user'],
    ['', 'pencil', 'unknown-user'],
  ] as const) {
    const { serverFirst, final } = await logInAs(stores, user, password)
    assert.match(serverFirst, /^r=[^,]+,s=[A-Za-z0-9+/]{22}==,i=4096$/)
    assert.equal(final.kind === 'rejected' && final.reason, reason, user)
  }
  const bob = await logInAs(stores, 'bob', 'x')
  assert.equal(bob.serverFirst, (await logInAs(stores, 'bob', 'y')).serverFirst)
  assert.ok(bob.serverFirst.includes(Buffer.from(decoyScramVerifier(secret, 'bob').salt).toString('base64')))
})

test('a store that fails is not an unknown user', async () => {
  const broken: AccountStore = { ...storeOf('broken', []), find: async () => Promise.reject(new Error('disk')) }
  await assert.rejects(logInAs([storeOf('staff', []), broken], 'alice', 'pencil'), /disk/)
})

test('a proof hands out the ClientKey where it was asked for, and it logs in by the same verifier alone', async () => {
  const keysOf = async (password: string, keepKeys: boolean, locked = false) => {
    const alice: Account = { name: 'alice', roles: [], scram: pencil, locked }
    const mechanism = createScramMechanism({ stores: [storeOf('staff', [alice])], decoySecret: async () => secret })
    const login = await mechanism.start('alice', { channelBinding: undefined, nonce: serverNonce, keepKeys })
    const start = { offered: login.mechanisms, tls: false, channelBinding: undefined, nonce: clientNonce }
    const client = createScramCredential(password).start(start)
    const first = login.first(client.mechanism, client.first)
    assert.ok(first.kind === 'continue')
    const final = login.final(await client.respond(first.message))
    return final.kind === 'identified' ? final.keys : undefined
  }
  assert.equal(await keysOf('pencil', false), undefined)
  assert.equal(await keysOf('crayon', true), undefined)
  assert.equal(await keysOf('pencil', true, true), undefined)
  const keys = await keysOf('pencil', true)
  assert.ok(keys !== undefined)
  assert.deepEqual(keys.clientKey, (await deriveScramKeys('pencil', pencil.salt, pencil.iterations)).clientKey)

  const binding = randomBytes(32)
  for (const channelBinding of [undefined, binding]) {
    const server = exchange(channelBinding)
    const tls = channelBinding !== undefined
    const client = createKeyedScramCredential(keys).start({
      offered: server.mechanisms,
      tls,
      channelBinding,
      nonce: formatScramNonce(randomBytes(18)),
    })
    const first = server.first(client.mechanism, client.first)
    assert.ok(first.kind === 'continue')
    const final = server.final(await client.respond(first.message))
    assert.ok(final.kind === 'identified')
    assert.equal(final.clientKey, undefined)
    client.finish(final.serverFinal)
  }
  const other = await deriveScramVerifier('pencil', randomBytes(16), 4096)
  const changed = createScramExchange({ verifier: other, decoy: false, channelBinding: undefined, nonce: serverNonce })
  const start = { offered: changed.mechanisms, tls: false, channelBinding: undefined, nonce: clientNonce }
  const client = createKeyedScramCredential(keys).start(start)
  const first = changed.first(client.mechanism, client.first)
  assert.ok(first.kind === 'continue')
  await assert.rejects(client.respond(first.message), { code: 'authn.other_verifier' })
})

test('where channel binding is required, nothing but PLUS will do', () => {
  const login = { tls: true, nonce: clientNonce, mustBind: true }
  const credential = createScramCredential('pencil')
  const binding = randomBytes(32)
  const both = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
  assert.equal(credential.start({ ...login, offered: both, channelBinding: binding }).mechanism, 'SCRAM-SHA-256-PLUS')
  for (const row of [
    { offered: ['SCRAM-SHA-256'], channelBinding: binding },
    { offered: both, channelBinding: undefined },
  ]) {
    assert.throws(() => credential.start({ ...login, ...row }), { code: 'authn.upstream_scram' })
  }
})

test('unknown names seem to have the rounds that some account has', async () => {
  const few = await deriveScramVerifier('pencil', randomBytes(16), 5_000)
  const alice: Account = { name: 'alice', roles: [], scram: few, locked: false }
  const store: AccountStore = { ...storeOf('imported', [alice]), decoy: async () => alice }
  const mechanism = createScramMechanism({ stores: [storeOf('none', []), store], decoySecret: async () => secret })
  for (const user of ['alice', 'bob']) {
    const login = await mechanism.start(user, { channelBinding: undefined, nonce: serverNonce })
    const first = login.first('SCRAM-SHA-256', ascii(`n,,n=,r=${clientNonce}`))
    assert.match(first.kind === 'continue' ? text(first.message) : '', /,i=5000$/)
  }
})
