import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import type { HttpMechanism, HttpOutcome } from '../authn/http-mechanism.ts'
import { createHttpTrustMechanism } from '../authn/http-trust.ts'
import { createIdentity } from '../authn/identity.ts'
import type { UsableMechanism } from '../authn/option.ts'
import { type Authentication, authenticate } from './authenticate.ts'
import { carriersOf, RequestCredentials } from './credentials.ts'
import { bearer } from './kit.test.ts'
import { parseRequestHead } from './request-head.ts'

export function credentialsOf(headers: readonly string[], target = '/'): RequestCredentials {
  const rawHeaders = ['Host', 'a', ...headers]
  const outcome = parseRequestHead('GET', target, '1.1', rawHeaders)
  assert.equal(outcome.kind, 'head')
  if (outcome.kind !== 'head') throw new Error()
  const body = { start: () => {}, resume: () => {}, cancel: () => {} }
  const request = {
    method: 'GET',
    target,
    httpVersion: '1.1',
    rawHeaders,
    secure: true,
    remoteAddress: '10.0.0.7',
    body,
  }
  const mark = target.indexOf('?')
  return new RequestCredentials(request, outcome.head, mark === -1 ? '' : target.slice(mark), 0)
}

const jwt = createBearerMechanism(bearer, { realm: 'bawn', base64: false })
const authorizations = (values: readonly string[]) => values.flatMap(value => ['Authorization', value])

const ask = (headers: readonly string[], mechanisms: readonly HttpMechanism[], target = '/') =>
  authenticate(credentialsOf(headers, target), mechanisms, carriersOf(mechanisms))
const summary = (got: Authentication) => (got.kind === 'refused' ? got.code : got.kind)

test('a bearer token in one Authorization header, and nothing else, identifies', async () => {
  const rows: readonly (readonly [readonly string[], string, string | undefined])[] = [
    [[], 'absent', undefined],
    [['Bearer alice'], 'identified', undefined],
    [['bearer alice'], 'identified', undefined],
    [['BEARER  alice'], 'identified', undefined],
    [['Bearer alice', 'Bearer alice'], 'http.bad_authorization', undefined],
    [['Bearer expired'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer mallory'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer '], 'authn.failed', 'error="invalid_token"'],
    [[''], 'authn.failed', 'error="invalid_token"'],
    [['alice'], 'authn.failed', 'error="invalid_token"'],
    [['Beareralice'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer alice, Bearer bob'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer alice x'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer al\u00efce'], 'authn.failed', 'error="invalid_token"'],
    [['Basic YWxpY2U6eA=='], 'authn.failed', 'error="invalid_token"'],
    [['Bearer outage'], 'http.cannot_authenticate', undefined],
  ]
  const challenges = new Set<string>()
  for (const [values, expected, challenge] of rows) {
    const got = await ask(authorizations(values), [jwt])
    assert.equal(summary(got), expected, JSON.stringify(values))
    if (got.kind !== 'refused') continue
    assert.ok(
      challenge === undefined ? got.headers.length === 0 : got.headers[1]?.includes(challenge),
      JSON.stringify(values),
    )
    if (got.code === 'authn.failed') challenges.add(JSON.stringify(got.headers))
  }
  assert.equal(challenges.size, 1, 'one text for every reason')
  assert.equal(summary(await ask(['Authorization', 'Bearer alice'], [])), 'http.refused_here')
})

/** Answers what it is told to, at once or later, and writes down that it was asked. */
function scripted(
  name: UsableMechanism,
  outcome: HttpOutcome | 'throw',
  asked: string[],
  isLate = false,
  header?: string,
): HttpMechanism {
  return {
    name,
    carries: { headers: header === undefined ? [] : [header], query: [] },
    authenticate: () => {
      asked.push(name)
      if (outcome === 'throw') {
        if (isLate) return Promise.reject(new Error('away'))
        throw new Error('away')
      }
      return isLate ? Promise.resolve(outcome) : outcome
    },
    challenge: (_credentials, how) => `${name} ${how}`,
  }
}

const alice = createIdentity({
  id: 'alice',
  roles: [],
  claims: {},
  clientId: undefined,
  mechanism: 'basic',
  source: undefined,
  expiresAt: undefined,
})
const identified: HttpOutcome = { kind: 'identified', identity: alice }
const absent: HttpOutcome = { kind: 'absent' }
const rejected: HttpOutcome = { kind: 'rejected', reason: 'wrong-password', claimedName: 'bob' }

test('mechanisms are asked in the order of the rule, and the first with an opinion decides', async () => {
  const rows: readonly (readonly [string, readonly (HttpOutcome | 'throw')[], string, number])[] = [
    ['identified at once', [identified, 'throw'], 'identified', 1],
    ['absent lets the next one look', [absent, identified], 'identified', 2],
    ['a bad credential stops the chain', [rejected, identified], 'authn.failed', 1],
    ['also behind an absent one', [absent, rejected, identified], 'authn.failed', 2],
    ['what cannot be decided is not passed over', ['throw', identified], 'http.cannot_authenticate', 1],
    ['nobody has an opinion', [absent, absent], 'absent', 2],
    ['too many failures', [{ kind: 'throttled', retryAfterMs: 1500 }, identified], 'authn.throttled', 1],
  ]
  const names: readonly UsableMechanism[] = ['basic', 'digest', 'jwt']
  for (const [name, outcomes, expected, calls] of rows) {
    for (const isLate of [false, true]) {
      const asked: string[] = []
      const mechanisms = outcomes.map((outcome, at) => scripted(names[at] ?? 'jwt', outcome, asked, isLate))
      const got = ask([], mechanisms)
      assert.equal(got instanceof Promise, isLate, `${name}: a promise only where somebody waits`)
      assert.equal(summary(await got), expected, name)
      assert.equal(asked.length, calls, name)
    }
  }
})

test('a refusal has one challenge line for each mechanism, says whose credential was bad, and nothing of why', async () => {
  const mechanisms = [scripted('jwt', absent, []), scripted('basic', rejected, []), scripted('digest', absent, [])]
  const got = await ask([], mechanisms)
  assert(got.kind === 'refused')
  assert.deepEqual(got.headers, [
    'WWW-Authenticate',
    'jwt absent',
    'WWW-Authenticate',
    'basic rejected',
    'WWW-Authenticate',
    'digest absent',
  ])
  assert.deepEqual([got.mechanism, got.reason, got.claimedName], ['basic', 'wrong-password', 'bob'])
  const locked = scripted('basic', { kind: 'rejected', reason: 'locked' }, [])
  const other = await ask([], [mechanisms[0] ?? jwt, locked, mechanisms[2] ?? jwt])
  assert(other.kind === 'refused')
  assert.deepEqual([other.code, other.headers], [got.code, got.headers])

  for (const [headers, target] of [
    [['No-Auth-Challenge', 'false'], '/'],
    [[], '/?noauthchallenge'],
    [[], '/?a=1&noauthch%61llenge=false'],
  ] as const) {
    const quiet = await ask(headers, mechanisms, target)
    assert.deepEqual(quiet.kind === 'refused' && [quiet.code, quiet.headers], ['authn.failed', []])
  }
  const slow = await ask([], [scripted('basic', { kind: 'throttled', retryAfterMs: 1500 }, [])])
  assert.deepEqual(slow.kind === 'refused' && slow.headers, ['Retry-After', '2'])
})

test('a credential that no mechanism of the rule knows is refused, wherever it stands', async () => {
  const elsewhere = carriersOf([{ carries: { headers: ['x-api-key'], query: ['key'], cookies: ['session'] } }])
  const ask = (headers: readonly string[], target = '/') =>
    authenticate(credentialsOf(headers, target), [scripted('basic', absent, [])], elsewhere)
  assert.equal(summary(await ask(['X-Api-Key', 'k'])), 'authn.failed')
  assert.equal(summary(await ask([], '/?key=k')), 'authn.failed')
  assert.equal(summary(await ask([], '/?key=k&key=l')), 'authn.failed')
  assert.equal(summary(await ask(['Authorization', 'Negotiate x'])), 'authn.failed')
  assert.equal(summary(await ask(['Cookie', 'session=x'])), 'absent', 'a browser sends its cookies unasked')
  assert.equal(summary(await ask(['No-Auth-Challenge', '1'], '/?noauthchallenge')), 'absent')
})

test('trust is for requests without a credential, wherever one stands and whatever it is worth', async () => {
  const trust = createHttpTrustMechanism({ user: 'guest', roles: [] })
  const basic = { ...scripted('basic', absent, []), carries: { headers: ['x-api-key'], query: ['key'] } }
  for (const mechanisms of [
    [trust, basic],
    [basic, trust],
  ]) {
    assert.equal(summary(await ask([], mechanisms)), 'identified')
    assert.equal(summary(await ask(['X-Api-Key', 'k'], mechanisms)), 'authn.failed')
    assert.equal(summary(await ask(['Authorization', 'Bearer x'], mechanisms)), 'authn.failed')
    assert.equal(summary(await ask([], mechanisms, '/?key=k')), 'authn.failed')
    assert.equal(summary(await ask([], mechanisms, '/?key=k&key=l')), 'authn.failed')
  }
})

test('credentials are read one way: a value that is there twice is not there', () => {
  const brought = credentialsOf(
    ['X-A', '1', 'x-a', '2', 'Cookie', 'a=1; b = 2;c=x=y', 'Cookie', 'a=3'],
    '/p?a=1&b=%41+c&d&a=2',
  )
  assert.deepEqual(brought.header('x-a'), ['1', '2'])
  assert.equal(brought.query('a'), undefined)
  assert.equal(brought.query('b'), 'A c')
  assert.equal(brought.query('d'), '')
  assert.equal(brought.query('e'), undefined)
  assert.equal(brought.cookie('a'), undefined)
  assert.equal(brought.cookie('b'), '2')
  assert.equal(brought.cookie('c'), 'x=y')
  assert.deepEqual(
    [brought.method, brought.tls, brought.address, brought.certificate],
    ['GET', true, '10.0.0.7', undefined],
  )
})
