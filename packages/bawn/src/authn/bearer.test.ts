import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBearerMechanism } from './bearer.ts'
import { createIdentityMechanism } from './fixed-identity.ts'
import { credentials, summary } from './http-credentials.fixture.ts'
import { createHttpTrustMechanism } from './http-trust.ts'
import { createIdentity, type Outcome } from './identity.ts'
import { jwtHttpOptions } from './option.ts'

const judge = {
  authenticate: (token: string): Outcome =>
    token.startsWith('good')
      ? {
          kind: 'identified',
          identity: createIdentity({
            id: token,
            roles: [],
            claims: {},
            clientId: undefined,
            mechanism: 'jwt',
            source: 'corp',
            expiresAt: undefined,
          }),
        }
      : { kind: 'absent' },
}
test('a token in Authorization, or where the options say; Authorization goes first', () => {
  const plain = createBearerMechanism(judge, jwtHttpOptions.parse({}))
  const other = createBearerMechanism(judge, jwtHttpOptions.parse({ header: 'X-Token', cookie: 'session' }))
  const bearer = { authorization: 'Bearer good.1' }
  const rows = [
    [plain, credentials({ headers: bearer }), 'good.1'],
    [plain, credentials({ headers: { 'x-token': 'good.2' } }), 'absent'],
    [plain, credentials({ cookies: { session: 'good.3' } }), 'absent'],
    [plain, credentials({ headers: { authorization: 'Bearer bad' } }), 'untrusted'],
    [other, credentials({ headers: { 'x-token': 'good.2' } }), 'good.2'],
    [other, credentials({ headers: { 'x-token': 'bearer good.2' } }), 'good.2'],
    [other, credentials({ headers: { 'x-token': ['good.2', 'good.2'] } }), 'malformed'],
    [other, credentials({ headers: { 'x-token': 'a b' } }), 'malformed'],
    [other, credentials({ cookies: { session: 'good.3' } }), 'good.3'],
    [other, credentials({ cookies: { session: '' } }), 'malformed'],
    [other, credentials({ headers: bearer, cookies: { session: 'bad' } }), 'good.1'],
    [other, credentials({ headers: { authorization: 'Basic eA==' }, cookies: { session: 'good.3' } }), 'absent'],
  ] as const
  for (const [at, [mechanism, brought, expected]] of rows.entries()) {
    assert.equal(summary(mechanism.authenticate(brought)), expected, `row ${at}`)
  }
  assert.deepEqual(other.carries, { headers: ['authorization', 'x-token'], query: [], cookies: ['session'] })
})

test('base64 around a token is taken off where the options say so, and nowhere else', () => {
  const seen: string[] = []
  const wrapping = {
    authenticate: (token: string): Outcome => {
      seen.push(token)
      return { kind: 'absent' }
    },
  }
  const token = 'eyJhbGciOiJFUzI1NiJ9.e30.A-_A'
  const wrapped = Buffer.from(token).toString('base64')
  const rows = [
    [true, wrapped, token],
    [true, Buffer.from(token).toString('base64url'), token],
    [true, token, token],
    [true, Buffer.from(wrapped).toString('base64'), Buffer.from(wrapped).toString('base64')],
    [true, Buffer.from('a b.c.d').toString('base64'), Buffer.from('a b.c.d').toString('base64')],
    [false, wrapped, wrapped],
  ] as const
  for (const [base64, sent, judged] of rows) {
    const mechanism = createBearerMechanism(wrapping, jwtHttpOptions.parse({ base64 }))
    mechanism.authenticate(credentials({ headers: { authorization: `Bearer ${sent}` } }))
    assert.equal(seen.pop(), judged, sent)
  }
  const opaque = createBearerMechanism(wrapping, jwtHttpOptions.parse({ base64: true }), true)
  assert.equal(summary(opaque.authenticate(credentials({ headers: { authorization: 'Bearer opaque' } }))), 'absent')
  assert.deepEqual(seen, [])
})

test('a token that was verified before is not looked at again; any other is', () => {
  const seen: string[] = []
  const remembering = {
    authenticate(token: string): Outcome {
      seen.push(token)
      return judge.authenticate(token)
    },
    recall: (token: string): Outcome | undefined =>
      token === 'good.known'
        ? judge.authenticate(token)
        : token === 'early'
          ? { kind: 'rejected', reason: 'not-yet-valid' }
          : undefined,
  }
  const mechanism = createBearerMechanism(remembering, jwtHttpOptions.parse({ cookie: 'session' }), true)
  const rows = [
    ['Bearer good.known', 'good.known', []],
    ['bearer good.known', 'good.known', []],
    ['Bearer early', 'not-yet-valid', []],
    ['Bearer good.new.token', 'good.new.token', ['good.new.token']],
    ['Bearer good.known ', 'malformed', []],
    ['Bearer bad.new.token', 'untrusted', ['bad.new.token']],
    ['Bearer opaque', 'absent', []],
    ['Basic good.known', 'absent', []],
  ] as const
  for (const [authorization, expected, judged] of rows) {
    const outcome = mechanism.authenticate(credentials({ headers: { authorization } }))
    assert.equal(summary(outcome), expected, authorization)
    assert.deepEqual(seen.splice(0), judged, authorization)
  }
})

test('a cookie counts for nothing that a page of another site changes', () => {
  const mechanism = createBearerMechanism(judge, jwtHttpOptions.parse({ header: 'X-Token', cookie: 'session' }))
  const ask = (method: string, headers: Readonly<Record<string, string>>) =>
    summary(mechanism.authenticate(credentials({ method, headers, cookies: { session: 'good.3' } })))
  assert.equal(ask('POST', { 'sec-fetch-site': 'cross-site' }), 'foreign page')
  assert.equal(ask('DELETE', { host: 'api.example', origin: 'https://evil.example' }), 'foreign page')
  assert.equal(ask('POST', { host: 'api.example', origin: 'null' }), 'foreign page')
  assert.equal(ask('GET', { 'sec-fetch-site': 'cross-site' }), 'good.3')
  for (const site of ['same-origin', 'same-site', 'none'])
    assert.equal(ask('POST', { 'sec-fetch-site': site }), 'good.3')
  assert.equal(ask('POST', { host: 'api.example', origin: 'https://api.example' }), 'good.3')
  assert.equal(ask('POST', {}), 'good.3', 'a program')
  // By intent.
  assert.equal(ask('POST', { 'sec-fetch-site': 'cross-site', authorization: 'Bearer good.1' }), 'good.1')
  assert.equal(ask('POST', { 'sec-fetch-site': 'cross-site', 'x-token': 'good.2' }), 'good.2')
})

test('a token that is no JWT is left to whoever else judges tokens', () => {
  const mechanism = createBearerMechanism(judge, jwtHttpOptions.parse({}), true)
  const ask = (token: string) =>
    summary(mechanism.authenticate(credentials({ headers: { authorization: `Bearer ${token}` } })))
  assert.equal(ask('opaque'), 'absent')
  assert.equal(ask('a.b'), 'absent')
  assert.equal(ask('a.b.c.d'), 'absent')
  assert.equal(ask('good.b.c'), 'good.b.c')
  assert.equal(ask('a.b.c'), 'untrusted')
  assert.equal(ask('a.b.c.d.e'), 'untrusted')
})

test('trust is for who brings nothing; identity is for everybody', () => {
  const trust = createHttpTrustMechanism({ user: 'guest', roles: ['reader'] })
  const fixed = createIdentityMechanism({ user: 'tester', roles: [] })
  const wrong = credentials({ headers: { authorization: 'Basic eA==' } })
  assert.deepEqual(
    [summary(trust.authenticate(credentials())), summary(trust.authenticate(wrong))],
    ['guest', 'absent'],
  )
  assert.deepEqual(
    [summary(fixed.authenticate(credentials())), summary(fixed.authenticate(wrong))],
    ['tester', 'tester'],
  )
  for (const mechanism of [trust, fixed]) {
    const outcome = mechanism.authenticate(credentials())
    assert(!(outcome instanceof Promise) && outcome.kind === 'identified')
    assert.equal(outcome.identity.mechanism, mechanism.name)
    assert.equal(mechanism.challenge(credentials(), 'absent'), undefined)
  }
})
