import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoginThrottle } from '../accounts/throttle.ts'
import { createMemoryTokenStore } from '../tokens/memory.ts'
import { createRandomTokens } from '../tokens/random.ts'
import { apiKeyHash, createApiKeyMechanism, generateApiKey } from './api-key.ts'
import { calm, credentials, summary } from './http-credentials.fixture.ts'
import { apiKeyOptions } from './option.ts'

const [old, next, expired, other] = [generateApiKey(), generateApiKey(), generateApiKey(), 'an older key of elsewhere']
const keys = [
  { name: 'billing', hash: apiKeyHash(old), roles: ['billing'], expires: '2027-01-01T00:00:01Z' },
  { name: 'billing', hash: apiKeyHash(next), roles: ['billing'] },
  { name: 'gone', hash: apiKeyHash(expired), roles: ['billing'], expires: '2027-01-01T01:00:00+01:00' },
  { name: 'import', hash: apiKeyHash(other) },
]
const create = (more: object = {}) => createApiKeyMechanism(apiKeyOptions.parse({ keys, ...more }), calm)

test('a key has 256 random bits and a name that scanners know', () => {
  assert.match(generateApiKey(), /^bawn_[A-Za-z0-9_-]{43}$/)
  assert.notEqual(generateApiKey(), generateApiKey())
  assert.equal(apiKeyHash('abc'), 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('a key has not the form of a token of ours, which is asked about first', async () => {
  const options = { name: 'memory', ttlMs: 1, renew: false, lifetimeMs: 1, limits: { perSubject: 1, inAll: 1 } }
  const tokens = createRandomTokens(options, createMemoryTokenStore(), () => 0)
  const subject = { id: 'alice', roles: [], source: undefined, clientId: undefined, notAfter: undefined }
  assert.equal(tokens.recognizes((await tokens.issue(subject)).token), true)
  assert.equal(tokens.recognizes(generateApiKey()), false)
})

test('a key in a place that is configured', () => {
  const every = create({ header: 'X-Team-Key', query: 'key', basic: true, bearer: true })
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  const authorization = (value: string) => credentials({ headers: { authorization: value } })
  const rows = [
    ['the header', create(), credentials({ headers: { 'x-api-key': next } }), 'billing'],
    ['another header', every, credentials({ headers: { 'x-team-key': next } }), 'billing'],
    ['a header that is not configured', every, credentials({ headers: { 'x-api-key': next } }), 'absent'],
    ['no header', create({ header: 'off' }), credentials({ headers: { 'x-api-key': next } }), 'absent'],
    ['the header twice', create(), credentials({ headers: { 'x-api-key': [next, next] } }), 'malformed'],
    ['a key of elsewhere', create(), credentials({ headers: { 'x-api-key': other } }), 'import'],
    ['an unknown key', create(), credentials({ headers: { 'x-api-key': 'x' } }), 'untrusted'],
    ['an empty key', create(), credentials({ headers: { 'x-api-key': '' } }), 'malformed'],
    ['a book', create(), credentials({ headers: { 'x-api-key': 'x'.repeat(2_000) } }), 'malformed'],
    ['its own hash', create(), credentials({ headers: { 'x-api-key': apiKeyHash(next) } }), 'untrusted'],
    ['an expired key', create(), credentials({ headers: { 'x-api-key': expired } }), 'expired'],
    ['the query', every, credentials({ query: { key: next } }), 'billing'],
    ['the query, not configured', create(), credentials({ query: { key: next } }), 'absent'],
    ['the user of Basic', every, authorization(basic(`${next}:`)), 'billing'],
    ['an unknown user of Basic', every, authorization(basic('alice:')), 'untrusted'],
    ['Basic with a password is another mechanism’s', every, authorization(basic('alice:x')), 'absent'],
    ['Basic, not configured', create(), authorization(basic(`${next}:`)), 'absent'],
    ['Bearer', every, authorization(`Bearer ${next}`), 'billing'],
    ['an unknown Bearer is another mechanism’s', every, authorization('Bearer a.b.c'), 'absent'],
    ['an expired Bearer', every, authorization(`Bearer ${expired}`), 'expired'],
    ['Bearer, not configured', create(), authorization(`Bearer ${next}`), 'absent'],
    ['nothing', every, credentials(), 'absent'],
  ] as const
  for (const [name, mechanism, brought, expected] of rows) {
    assert.equal(summary(mechanism.authenticate(brought)), expected, name)
  }
})

test('the old key goes on until its time, the new one works already', () => {
  const mechanism = create()
  const at = (key: string, now: number) =>
    summary(mechanism.authenticate(credentials({ headers: { 'x-api-key': key }, now })))
  const end = Date.UTC(2027, 0, 1, 0, 0, 1)
  assert.deepEqual([at(old, end - 1), at(next, end - 1)], ['billing', 'billing'])
  assert.deepEqual([at(old, end), at(next, end)], ['expired', 'billing'])
})

test('what it carries goes no further', () => {
  assert.deepEqual(create().carries, { headers: ['x-api-key'], query: [] })
  assert.deepEqual(create({ header: 'off', query: 'key', bearer: true }).carries, {
    headers: ['authorization'],
    query: ['key'],
  })
})

test('guessing is slowed down; a key that nobody can guess is believed all the same', () => {
  const made = [...keys, { name: 'vault', hash: apiKeyHash('4f9c1d2e-77aa-4d0e-9d3b-1c2f3a4b5c6d'), unguessable: true }]
  const mechanism = createApiKeyMechanism(apiKeyOptions.parse({ keys: made }), createLoginThrottle({ now: () => 0 }))
  const ask = (key: string, address?: string) =>
    summary(mechanism.authenticate(credentials({ headers: { 'x-api-key': key }, ...(address ? { address } : {}) })))
  for (let round = 0; round < 100; round++) assert.deepEqual([ask(next), ask(other)], ['billing', 'import'])
  const found = Array.from({ length: 60 }, (_, at) => ask(`guess ${at}`))
  assert.deepEqual([found.indexOf('throttled'), found.at(-1)], [50, 'throttled'])
  const rows = [
    ['one of ours', next, 'billing'],
    ['one of ours that has expired', expired, 'expired'],
    ['one that is said to be unguessable', '4f9c1d2e-77aa-4d0e-9d3b-1c2f3a4b5c6d', 'vault'],
    ['one that may be short waits with the guesses', other, 'throttled'],
    ['a guess in the form of ours', generateApiKey(), 'throttled'],
  ] as const
  for (const [name, key, expected] of rows) assert.equal(ask(key), expected, name)
  assert.equal(ask(other, '203.0.113.9'), 'import', 'elsewhere nobody guesses')
})

test('guesses as Bearer count too, where nobody else would judge them', () => {
  const options = apiKeyOptions.parse({ keys, bearer: true })
  const ask = (mechanism: ReturnType<typeof create>, token: string) =>
    summary(mechanism.authenticate(credentials({ headers: { authorization: `Bearer ${token}` } })))
  const alone = createApiKeyMechanism(options, createLoginThrottle({ now: () => 0 }))
  const found = Array.from({ length: 52 }, (_, at) => ask(alone, `guess${at}`))
  assert.deepEqual([found[0], found.indexOf('throttled')], ['untrusted', 50])
  assert.equal(ask(alone, 'a.b.c'), 'absent')
  const beside = createApiKeyMechanism(options, createLoginThrottle({ now: () => 0 }), true)
  assert.deepEqual([ask(beside, 'opaque'), ask(beside, next)], ['absent', 'billing'])
})
