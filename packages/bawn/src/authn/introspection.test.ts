import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createLoginThrottle, type LoginThrottle } from '../accounts/throttle.ts'
import { AuthnError } from './error.ts'
import { calm, credentials } from './http-credentials.fixture.ts'
import type { HttpOutcome } from './http-mechanism.ts'
import { createIntrospectionMechanism } from './introspection.ts'
import { introspectionOptions } from './option.ts'

const now = Date.UTC(2027, 0, 1)
const seconds = now / 1000

async function start(
  t: TestContext,
  answer: (token: string) => readonly [number, string | Buffer] | Promise<readonly [number, string | Buffer]>,
  more: object = {},
  throttle: LoginThrottle = calm,
) {
  const asked: { readonly token: string; readonly authorization: string | undefined }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', bytes => {
      body += String(bytes)
    })
    request.on('end', () => {
      const token = new URLSearchParams(body).get('token') ?? ''
      asked.push({ token, authorization: request.headers.authorization })
      void Promise.resolve(answer(token)).then(([status, text]) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(text),
      )
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const clock = { now }
  const mechanism = createIntrospectionMechanism(
    introspectionOptions.parse({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/introspect`,
      insecure_http: true,
      client_id: 'bawn:1',
      client_secret: 'env:X',
      ...more,
    }),
    { fetch, clock: () => clock.now, clientSecret: 'a secret', throttle },
  )
  const ask = async (token: string, address = '10.0.0.7'): Promise<string> =>
    summary(await mechanism.authenticate(credentials({ headers: { authorization: `Bearer ${token}` }, address })))
  return { asked, clock, mechanism, ask }
}

const summary = (outcome: HttpOutcome): string =>
  outcome.kind === 'identified'
    ? `${outcome.identity.id} ${outcome.identity.roles.join()}`
    : outcome.kind === 'rejected'
      ? outcome.reason
      : outcome.kind

test('what an endpoint says of a token, and what of it is believed', async t => {
  const active = {
    active: true,
    sub: 'alice',
    scope: 'staff reader',
    iss: 'https://id',
    aud: ['shop'],
    exp: seconds + 60,
  }
  const rows: Readonly<Record<string, readonly [unknown, string]>> = {
    good: [active, 'alice reader,staff'],
    list: [{ ...active, scope: ['staff', 7, 'a b'] }, 'alice staff'],
    none: [{ ...active, scope: undefined }, 'alice '],
    text: [{ ...active, aud: 'shop' }, 'alice reader,staff'],
    inactive: [{ active: false }, 'untrusted'],
    expired: [{ ...active, exp: seconds }, 'expired'],
    early: [{ ...active, nbf: seconds + 1 }, 'not-yet-valid'],
    odd: [{ ...active, exp: 'soon' }, 'malformed'],
    elsewhere: [{ ...active, iss: 'https://other' }, 'untrusted'],
    'not-for-us': [{ ...active, aud: ['other'] }, 'wrong-audience'],
    'for-nobody': [{ ...active, aud: undefined }, 'wrong-audience'],
    nobody: [{ ...active, sub: undefined }, 'unknown-user'],
    number: [{ ...active, sub: 7 }, 'unknown-user'],
    control: [{ ...active, sub: 'a\u0000' }, 'unknown-user'],
  }
  const { ask, asked } = await start(t, token => [200, JSON.stringify(rows[token]?.[0])], {
    issuer: 'https://id',
    audience: ['shop'],
  })
  for (const [token, [, expected]] of Object.entries(rows)) assert.equal(await ask(token), expected, token)
  assert.equal(asked[0]?.authorization, `Basic ${Buffer.from('bawn%3A1:a+secret').toString('base64')}`)
})

test('what is no answer decides nothing', async t => {
  const rows: Readonly<Record<string, readonly [number, string]>> = {
    status: [500, '{"active":true,"sub":"alice"}'],
    redirect: [302, ''],
    html: [200, '<html>'],
    string: [200, '{"active":"true","sub":"alice"}'],
    twice: [200, '{"active":false,"active":true,"sub":"alice"}'],
    long: [200, `{"active":true,"sub":"alice","x":"${'x'.repeat(70_000)}"}`],
  }
  const { ask } = await start(t, token => rows[token] ?? [500, ''])
  for (const token of Object.keys(rows)) {
    await assert.rejects(
      ask(token),
      error => error instanceof AuthnError && error.code === 'authn.introspection_unreachable',
      token,
    )
  }
})

test('cut, changed and random answers end in an outcome or in "cannot decide"', async t => {
  let body = Buffer.alloc(0)
  const { ask } = await start(t, () => [200, body])
  const whole = Buffer.from(
    JSON.stringify({ active: true, sub: 'alice', exp: seconds + 90, scope: 'a b', aud: ['shop'] }),
  )
  for (let round = 0; round < 200; round++) {
    body =
      round % 5 === 0
        ? randomBytes(round)
        : Buffer.from(whole.subarray(0, round % 2 === 0 ? randomInt(whole.length) : whole.length))
    if (round % 2 === 1 && body.length > 0) body[randomInt(body.length)] = randomInt(128)
    const outcome = await ask(`t${round}`).catch((error: unknown) => {
      assert.ok(error instanceof AuthnError && error.code === 'authn.introspection_unreachable', String(error))
      return 'undecided'
    })
    assert.equal(typeof outcome, 'string')
  }
})

test('one question for one token at a time, and none while its answer is fresh', async t => {
  let active = true
  const { ask, asked, clock, mechanism } = await start(t, () => [
    200,
    JSON.stringify({ active, sub: 'alice', exp: seconds + 90 }),
  ])
  assert.deepEqual(new Set(await Promise.all([ask('t'), ask('t'), ask('t')])), new Set(['alice ']))
  assert.equal(asked.length, 1)
  const known = mechanism.authenticate(credentials({ headers: { authorization: 'Bearer t' } }))
  assert(!(known instanceof Promise), 'at once when it is known')
  active = false
  clock.now += 59_999
  assert.equal(await ask('t'), 'alice ')
  clock.now += 1
  assert.equal(await ask('t'), 'untrusted')
  assert.equal(await ask('t'), 'untrusted')
  assert.equal(asked.length, 2)
  active = true
  clock.now += 5_000
  assert.equal(await ask('t'), 'alice ', 'a refusal is not believed for long')
  clock.now = now + 90_000
  assert.equal(await ask('t'), 'expired', 'not beyond the token’s own end')
})

test('other schemes are others’', async t => {
  const { mechanism, asked } = await start(t, () => [500, ''])
  assert.deepEqual(mechanism.authenticate(credentials({ headers: { authorization: 'Basic eA==' } })), {
    kind: 'absent',
  })
  assert.deepEqual(mechanism.authenticate(credentials()), { kind: 'absent' })
  assert.equal(asked.length, 0)
})

test('who invents tokens has fifty questions, then one a second; tokens that were active go on', async t => {
  let at = 0
  const throttle = createLoginThrottle({ now: () => at })
  const { ask, asked, clock } = await start(
    t,
    token => [200, JSON.stringify(token.startsWith('good') ? { active: true, sub: 'alice' } : { active: false })],
    {},
    throttle,
  )
  assert.equal(await ask('good-1'), 'alice ')
  const found: string[] = []
  for (let n = 0; n < 70; n += 1) found.push(await ask(`invented-${n}`))
  assert.deepEqual([found.indexOf('throttled'), found.at(-1), asked.length], [50, 'throttled', 51])
  assert.equal(await ask('good-2'), 'throttled', 'nobody knows it yet')
  assert.equal(await ask('good-2', '203.0.113.9'), 'alice ', 'elsewhere nobody invents any')
  assert.equal(await ask('good-2'), 'alice ', 'now it is known')
  clock.now += 60_000
  assert.equal(await ask('good-1'), 'alice ', 'asked again, without a try')
  assert.equal(await ask('invented-1'), 'throttled')
  at = 2_000
  assert.deepEqual(
    [await ask('invented-1'), await ask('good-3'), await ask('x'), await ask('y')],
    ['untrusted', 'alice ', 'untrusted', 'throttled'],
  )
})

test('active tokens give their tries back: hundreds of new ones from one address are no flood', async t => {
  const throttle = createLoginThrottle({ now: () => 0 })
  const { ask } = await start(t, () => [200, '{"active":true,"sub":"alice"}'], {}, throttle)
  for (let n = 0; n < 200; n += 1) assert.equal(await ask(`new-${n}`), 'alice ')
})

test('an endpoint that fails is nobody’s guess', async t => {
  const throttle = createLoginThrottle({ now: () => 0 })
  const { ask } = await start(t, () => [500, ''], {}, throttle)
  for (let n = 0; n < 60; n += 1) await assert.rejects(ask(`t${n}`), AuthnError)
})

test('a flood of invented tokens takes no place of answers about active ones, and leaves room for questions', async t => {
  let release = (): void => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  const { ask, asked, clock } = await start(t, async token => {
    if (token.startsWith('slow')) await held
    return [200, JSON.stringify(token === 'good' ? { active: true, sub: 'alice' } : { active: false })]
  })
  assert.equal(await ask('good'), 'alice ')
  clock.now += 60_000
  const slow = Array.from({ length: 128 }, (_, n) => ask(`slow-${n}`))
  await assert.rejects(ask('one-more'), { code: 'authn.introspection_unreachable' })
  assert.equal(await ask('good'), 'alice ', 'room for what was active before')
  release()
  assert.deepEqual(new Set(await Promise.all(slow)), new Set(['untrusted']))
  assert.equal(await ask('one-more'), 'untrusted', 'room again')
  assert.equal(asked.filter(({ token }) => token === 'good').length, 2)
})
