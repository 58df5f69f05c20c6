import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { type DigestAlgorithm, digestHash } from '../accounts/digest-verifier.ts'
import { createLoginThrottle } from '../accounts/throttle.ts'
import { parseAuthParams } from './auth-params.ts'
import { createDigestMechanism, digestResponse } from './digest.ts'
import { calm, credentials, summary } from './http-credentials.fixture.ts'
import { createNoncePlace, openNonceMemory } from './nonce-memory.ts'

const now = Date.UTC(2027, 0, 1)

test('responses of RFC 7616 section 3.9.1', () => {
  const of = {
    method: 'GET',
    uri: '/dir/index.html',
    nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
    nc: '00000001',
    cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
  }
  const rows = {
    MD5: '8ca523f5e9506fed4657c9700eebdbec',
    'SHA-256': '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1',
  } as const
  for (const [algorithm, expected] of Object.entries(rows) as [DigestAlgorithm, string][]) {
    const ha1 = digestHash(algorithm, 'Mufasa:http-auth@example.org:Circle of Life')
    assert.equal(digestResponse(algorithm, ha1, of), expected)
  }
})

test('SHA-512-256 is SHA-512/256 of FIPS 180-4, not a cut SHA-512', () => {
  // The example of FIPS 180-4 for "abc". The response in RFC 7616 section 3.9.2 was made with a cut SHA-512 (erratum 4897).
  assert.equal(digestHash('SHA-512-256', 'abc'), '53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23')
})

const realm = 'the shop'
const algorithms = ['SHA-256', 'SHA-512-256', 'MD5'] as const
const password = 'Secret, or not?'
const user = (name: string) => ({
  name,
  roles: ['staff'],
  ha1: Object.fromEntries(algorithms.map(one => [one, digestHash(one, `${name}:${realm}:${password}`)])),
})
const users = [user('alice'), user('Jäsøn Doe'), { name: 'old', roles: [], ha1: { MD5: user('old').ha1['MD5'] ?? '' } }]
const nonces = () => openNonceMemory(createNoncePlace(0), 1)
const create = (more: { userhash?: boolean; algorithms?: readonly DigestAlgorithm[] } = {}) => {
  const around = { nonces: nonces(), throttle: calm }
  return createDigestMechanism(users, {
    realm,
    algorithms,
    userhash: true,
    nonceLifetimeMs: 60_000,
    ...around,
    ...more,
  })
}

type Mechanism = ReturnType<typeof create>

function nonceOf(mechanism: Mechanism, at = now): string {
  const challenge = [mechanism.challenge(credentials({ now: at }), 'absent') ?? []].flat()[0] ?? ''
  return parseAuthParams(challenge.replace(/^Digest /, ''))?.get('nonce') ?? ''
}

/** What a client sends; `change` replaces or, with undefined, leaves out parameters after the response was made. */
function answer(
  nonce: string,
  of: {
    name?: string
    password?: string
    algorithm?: DigestAlgorithm
    nc?: string
    uri?: string
    method?: string
  } = {},
  change: Readonly<Record<string, string | undefined>> = {},
): string {
  const { name = 'alice', algorithm = 'SHA-256', nc = '00000001', uri = '/a?b=c', method = 'GET' } = of
  const cnonce = 'Y25vbmNl'
  const ha1 = digestHash(algorithm, `${name}:${realm}:${of.password ?? password}`)
  const response = digestResponse(algorithm, ha1, { method, uri, nonce, nc, cnonce })
  const username = Buffer.from(name).toString('latin1')
  const params = { username, realm, uri, algorithm, nonce, nc, cnonce, qop: 'auth', response, ...change }
  const bare = new Set(['nc', 'qop', 'algorithm', 'userhash', 'username*'])
  const texts = Object.entries(params).flatMap(([key, value]) =>
    value === undefined ? [] : [bare.has(key) ? `${key}=${value}` : `${key}="${value.replace(/["\\]/g, '\\$&')}"`],
  )
  return `Digest ${texts.join(', ')}`
}

const sent = (header: string, target = '/a?b=c', at = now) =>
  credentials({ headers: { authorization: header }, target, now: at })

test('who knows the password is identified, by every algorithm and form of the name', () => {
  const mechanism = create()
  for (const algorithm of algorithms) {
    assert.equal(summary(mechanism.authenticate(sent(answer(nonceOf(mechanism), { algorithm })))), 'alice', algorithm)
    const hashed = digestHash(algorithm, `Jäsøn Doe:${realm}`)
    const names: readonly Readonly<Record<string, string | undefined>>[] = [
      {},
      { username: undefined, 'username*': "UTF-8''J%C3%A4s%C3%B8n%20Doe" },
      { username: hashed, userhash: 'true' },
      { username: hashed.toUpperCase(), userhash: 'true' },
    ]
    for (const change of names) {
      const header = answer(nonceOf(mechanism), { name: 'Jäsøn Doe', algorithm }, change)
      assert.equal(summary(mechanism.authenticate(sent(header))), 'Jäsøn Doe', JSON.stringify(change))
    }
  }
  const outcome = mechanism.authenticate(sent(answer(nonceOf(mechanism))))
  assert(!(outcome instanceof Promise) && outcome.kind === 'identified')
  assert.deepEqual([outcome.identity.roles, outcome.identity.mechanism], [['staff'], 'digest'])
})

test('everything else is rejected', () => {
  const mechanism = create()
  const rows: readonly (readonly [string, Parameters<typeof answer>[1], Parameters<typeof answer>[2], string])[] = [
    ['a wrong password', { password: 'x' }, {}, 'wrong-password'],
    ['an unknown name', { name: 'bob' }, {}, 'unknown-user'],
    ['an algorithm that the user has no value for', { name: 'old' }, {}, 'unknown-user'],
    ['another method', { method: 'POST' }, {}, 'wrong-password'],
    ['another target', { uri: '/other' }, {}, 'malformed'],
    ['a target changed afterwards', {}, { uri: '/a?b=d' }, 'malformed'],
    ['another realm', {}, { realm: 'x' }, 'untrusted'],
    ['another count', {}, { nc: '00000002' }, 'wrong-password'],
    ['another client nonce', {}, { cnonce: 'x' }, 'wrong-password'],
    ['no name', {}, { username: undefined }, 'malformed'],
    ['two names', {}, { 'username*': "UTF-8''alice" }, 'malformed'],
    ['a name in another character set', {}, { username: undefined, 'username*': "ISO-8859-1''alice" }, 'malformed'],
    ['a name that is not UTF-8', {}, { username: 'a\u00ff' }, 'malformed'],
    ['no qop (RFC 2069)', {}, { qop: undefined }, 'malformed'],
    ['auth-int', {}, { qop: 'auth-int' }, 'malformed'],
    ['no client nonce', {}, { cnonce: undefined }, 'malformed'],
    ['an empty client nonce', {}, { cnonce: '' }, 'malformed'],
    ['a client nonce that no header of ours may hold', {}, { cnonce: 'caf\u00e9' }, 'malformed'],
    ['a name with a NUL', {}, { username: undefined, 'username*': "UTF-8''alice%00" }, 'malformed'],
    ['a name with a line feed', {}, { username: undefined, 'username*': "UTF-8''alice%0a" }, 'malformed'],
    ['no count', {}, { nc: undefined }, 'malformed'],
    ['a count of seven digits', {}, { nc: '0000001' }, 'malformed'],
    ['no response', {}, { response: undefined }, 'malformed'],
    ['a response that is no hash', {}, { response: 'x'.repeat(64) }, 'malformed'],
    ['an MD5 response to SHA-256', {}, { response: '0'.repeat(32) }, 'wrong-password'],
    ['a session algorithm', {}, { algorithm: 'SHA-256-sess' }, 'malformed'],
    ['an unknown algorithm', {}, { algorithm: 'SHA-1' }, 'malformed'],
    ['another algorithm than the response was made with', {}, { algorithm: 'MD5' }, 'wrong-password'],
    ['no algorithm: MD5', {}, { algorithm: undefined }, 'wrong-password'],
    ['a nonce of somebody else, with the wrong password', { password: 'x' }, {}, 'wrong-password'],
    ['a name as long as a book', {}, { username: 'a'.repeat(2_000) }, 'malformed'],
    ['the hash of nobody', {}, { username: '0'.repeat(64), userhash: 'true' }, 'unknown-user'],
  ]
  for (const [name, of, change, expected] of rows) {
    assert.equal(summary(mechanism.authenticate(sent(answer(nonceOf(mechanism), of, change)))), expected, name)
  }
  for (const header of ['Digest', 'Digest ', 'Digest x', 'Digest username=']) {
    assert.equal(summary(mechanism.authenticate(sent(header))), 'malformed')
  }
  for (const header of ['Bearer x', 'Digestive username=x'])
    assert.equal(summary(mechanism.authenticate(sent(header))), 'absent')
  assert.equal(summary(mechanism.authenticate(credentials())), 'absent')
  const strict = create({ userhash: false, algorithms: ['SHA-256'] })
  assert.equal(summary(strict.authenticate(sent(answer(nonceOf(strict), { algorithm: 'MD5' })))), 'untrusted')
  const hidden = { username: digestHash('SHA-256', `alice:${realm}`), userhash: 'true' }
  assert.equal(summary(strict.authenticate(sent(answer(nonceOf(strict), {}, hidden)))), 'malformed')
})

test('an old nonce is stale for whoever knows the password, and plainly wrong for who does not', () => {
  const mechanism = create()
  const nonce = nonceOf(mechanism)
  const stale = (header: string, at: number): boolean => {
    const brought = sent(header, '/a?b=c', at)
    mechanism.authenticate(brought)
    return [mechanism.challenge(brought, 'rejected') ?? []].flat().every(line => line.includes('stale=true'))
  }
  assert.equal(stale(answer(nonce), now), false)
  assert.equal(stale(answer(nonce), now), true, 'a replay')
  assert.equal(stale(answer(nonce, { nc: '00000002' }), now + 60_001), true)
  assert.equal(stale(answer(nonce, { nc: '00000002', password: 'x' }), now + 60_001), false)
  assert.equal(stale(answer('bm9uZQ'), now), true, 'after a restart')
})

test('a wrong response uses up nothing', () => {
  const mechanism = create()
  const nonce = nonceOf(mechanism)
  assert.equal(summary(mechanism.authenticate(sent(answer(nonce, { password: 'x' })))), 'wrong-password')
  assert.equal(summary(mechanism.authenticate(sent(answer(nonce)))), 'alice')
})

test('one challenge for each algorithm, in the order of the configuration', () => {
  const mechanism = create({ userhash: false, algorithms: ['SHA-256', 'MD5'] })
  const lines = [mechanism.challenge(credentials(), 'absent') ?? []].flat()
  assert.equal(lines.length, 2)
  const form =
    /^Digest realm="the shop", qop="auth", algorithm=(SHA-256|MD5), nonce="[A-Za-z0-9_-]{46}", charset=UTF-8$/
  assert.deepEqual(
    lines.map(line => form.exec(line)?.[1]),
    ['SHA-256', 'MD5'],
  )
})

test('random and cut input ends in an answer', () => {
  const mechanism = create()
  const whole = answer(nonceOf(mechanism))
  for (let cut = 0; cut < whole.length; cut++) {
    assert.notEqual(summary(mechanism.authenticate(sent(whole.slice(0, cut)))), 'alice')
  }
  for (let round = 0; round < 1_000; round++) {
    const bytes = Buffer.from(whole, 'latin1')
    const at = 7 + (randomBytes(2).readUInt16BE() % (bytes.length - 7))
    bytes[at] = 0x20 + (round % 0x5f)
    mechanism.authenticate(sent(bytes.toString('latin1')))
  }
})

test('a hidden name takes the tries of the name, whether anybody has it or not', () => {
  for (const name of ['alice', 'nobody']) {
    const throttle = createLoginThrottle({ now: () => 0 })
    const settings = { realm, algorithms, userhash: true, nonceLifetimeMs: 60_000, nonces: nonces(), throttle }
    const mechanism = createDigestMechanism(users, settings)
    const guess = (change: Readonly<Record<string, string>>) =>
      summary(mechanism.authenticate(sent(answer(nonceOf(mechanism), { name, password: 'x' }, change))))
    for (let round = 0; round < 5; round++) assert.notEqual(guess({}), 'throttled')
    const hidden = { username: digestHash('SHA-256', `${name}:${realm}`), userhash: 'true' }
    assert.deepEqual([guess(hidden), guess({}), guess({})], ['throttled', 'throttled', 'throttled'], name)
  }
})

test('what was overheard and is sent again speaks for no network', () => {
  const limits = { burst: 2, intervalMs: 10_000 }
  const throttle = createLoginThrottle({ now: () => 0, network: limits })
  const settings = { realm, algorithms, userhash: false, nonceLifetimeMs: 60_000, nonces: nonces(), throttle }
  const mechanism = createDigestMechanism(users, settings)
  const header = answer(nonceOf(mechanism))
  assert.equal(summary(mechanism.authenticate(sent(header))), 'alice')
  const from = (address: string, text: string) =>
    summary(mechanism.authenticate({ ...sent(text), address, authorization: [text] }))
  const elsewhere = '203.0.113.9'
  assert.equal(from(elsewhere, header), 'expired')
  const guess = () => from(elsewhere, answer(nonceOf(mechanism), { password: 'x' }))
  assert.deepEqual([guess(), guess(), guess()], ['wrong-password', 'wrong-password', 'throttled'])
})

test('guessing is slowed down, and the right one gives its try back', () => {
  const throttle = createLoginThrottle({ now: () => 0 })
  const mechanism = createDigestMechanism(users, {
    realm,
    algorithms,
    userhash: false,
    nonceLifetimeMs: 60_000,
    nonces: nonces(),
    throttle,
  })
  for (let round = 0; round < 50; round++) {
    assert.equal(summary(mechanism.authenticate(sent(answer(nonceOf(mechanism))))), 'alice')
  }
  const guess = (name: string) =>
    summary(mechanism.authenticate(sent(answer(nonceOf(mechanism), { name, password: 'x' }))))
  for (const [name, reason] of [
    ['Jäsøn Doe', 'wrong-password'],
    ['nobody', 'unknown-user'],
  ] as const) {
    const found = Array.from({ length: 7 }, () => guess(name))
    assert.deepEqual(found, [...Array<string>(5).fill(reason), 'throttled', 'throttled'], name)
  }
})

/** What an identified caller is told besides. */
function infoOf(outcome: ReturnType<Mechanism['authenticate']>): ReadonlyMap<string, string> {
  assert(!(outcome instanceof Promise) && outcome.kind === 'identified')
  const [name, value = ''] = outcome.headers ?? []
  assert.equal(name, 'Authentication-Info')
  return parseAuthParams(value) ?? new Map()
}

test('Authentication-Info proves that we know the password as well', () => {
  const mechanism = create()
  const names = { 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256', MD5: 'md5' } as const
  for (const algorithm of algorithms) {
    const h = (text: string) => hash(names[algorithm], text, 'hex')
    const nonce = nonceOf(mechanism)
    const outcome = mechanism.authenticate(sent(answer(nonce, { algorithm, nc: '0000000a' })))
    // RFC 7616 section 3.5: A2 is ":" and the target.
    const rspauth = h(`${h(`alice:${realm}:${password}`)}:${nonce}:0000000a:Y25vbmNl:auth:${h(':/a?b=c')}`)
    assert.deepEqual(
      Object.fromEntries(infoOf(outcome)),
      { rspauth, cnonce: 'Y25vbmNl', nc: '0000000a', qop: 'auth' },
      algorithm,
    )
    assert(!(outcome instanceof Promise) && outcome.kind === 'identified')
    assert.equal(outcome.headers?.[1], `rspauth="${rspauth}", cnonce="Y25vbmNl", nc=0000000a, qop=auth`)
  }
  const quoted = mechanism.authenticate(sent(requoted(nonceOf(mechanism))))
  assert.equal(infoOf(quoted).get('cnonce'), 'a "quoted" \\ one')
})

/** A client nonce with what has to be escaped. */
function requoted(nonce: string): string {
  const cnonce = 'a "quoted" \\ one'
  const ha1 = digestHash('SHA-256', `alice:${realm}:${password}`)
  const response = digestResponse('SHA-256', ha1, { method: 'GET', uri: '/a?b=c', nonce, nc: '00000001', cnonce })
  return answer(nonce, {}, { cnonce, response })
}

test('a nonce near its end names its successor, and requests side by side go on with either', () => {
  const mechanism = create()
  const nonce = nonceOf(mechanism)
  const ask = (of: string, nc: number, at: number) =>
    mechanism.authenticate(sent(answer(of, { nc: nc.toString(16).padStart(8, '0') }), '/a?b=c', at))
  assert.equal(infoOf(ask(nonce, 1, now)).get('nextnonce'), undefined)
  const late = [5, 2, 4, 3].map(nc => infoOf(ask(nonce, nc, now + 50_000)).get('nextnonce'))
  const [next] = late
  assert(next !== undefined)
  assert.deepEqual(late, [next, next, next, next])
  assert.equal(summary(ask(next, 1, now + 50_000)), 'alice')
  assert.equal(summary(ask(nonce, 6, now + 60_000)), 'alice', 'who has not seen it yet')
  assert.equal(infoOf(ask(next, 2, now + 60_000)).get('nextnonce'), undefined)
})
