import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccountStore } from '../accounts/store.ts'
import { credentials, summary } from '../authn/http-credentials.fixture.ts'
import type { HttpCredentials, HttpMechanism } from '../authn/http-mechanism.ts'
import { pluggedMechanism } from '../authn/option.ts'
import type { MechanismKind, MechanismSurroundings } from '../plugin.ts'
import { anyOptions, border, mechanismSurroundings, never, now } from './border.fixture.ts'
import { guardMechanism } from './mechanism.ts'

const name = pluggedMechanism('badge')
assert(name !== undefined)

const guard = (kind: Partial<MechanismKind>) =>
  guardMechanism({ kind: 'badge', doors: ['http'], options: anyOptions, create: () => ({}), ...kind }, name, border)

/** A mechanism of the HTTP door that answers this. */
async function answering(answer: unknown, more: object = {}): Promise<HttpMechanism> {
  const http = { authenticate: () => answer, ...more }
  const made = await guard({ create: () => ({ http }) as never }).create({}, mechanismSurroundings)
  assert(made.http !== undefined)
  return made.http
}

const bea = { id: 'bea', roles: ['staff', 'all', 'staff'] }

test('who is identified is so by this mechanism, whatever the plug-in says', async () => {
  const claim = { mechanism: 'certificate', clientId: 'f'.repeat(128), source: 'corp' }
  const identity = { ...bea, claims: { a: [1] }, expiresAt: now + 1, ...claim }
  const outcome = await (await answering({ kind: 'identified', identity })).authenticate(credentials())
  assert(outcome.kind === 'identified')
  const { claims, ...rest } = outcome.identity
  assert.deepEqual(rest, {
    id: 'bea',
    roles: ['all', 'staff'],
    clientId: undefined,
    mechanism: 'badge',
    source: 'badge',
    expiresAt: now + 1,
  })
  assert.equal(JSON.stringify(claims), '{"a":[1]}')
  assert(Object.isFrozen(outcome.identity) && Object.isFrozen(claims['a']))
})

test('an answer at once is an answer at once', async () => {
  const mechanism = await answering({ kind: 'identified', identity: bea })
  assert.equal(summary(mechanism.authenticate(credentials())), 'bea')
  assert.equal(summary((await answering({ kind: 'absent' })).authenticate(credentials())), 'absent')
})

test('a proof that has run out already is one that has run out', async () => {
  const mechanism = await answering({ kind: 'identified', identity: { ...bea, expiresAt: now } })
  assert.equal(summary(mechanism.authenticate(credentials())), 'expired')
})

test('whoever has an account has its roles and its lock', async () => {
  const account = (name: string, locked: boolean) => ({ name, roles: ['support'], scram: undefined, locked })
  const people = [account('olga', false), account('otto', true)]
  const store: AccountStore = {
    name: 'staff',
    find: async user => people.find(({ name }) => name === user),
    list: async () => people,
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  }
  const broken: AccountStore = { ...store, find: () => Promise.reject(new Error('down')) }
  const ask = async (user: string, stores: readonly AccountStore[] = [store]) => {
    const kind = guard({ create: () => ({ http: { authenticate: () => ({ kind: 'account', name: user }) } }) })
    const { http } = await kind.create({}, { ...mechanismSurroundings, stores })
    return http?.authenticate(credentials())
  }
  const olga = await ask('olga')
  assert(olga?.kind === 'identified')
  const { id, roles, mechanism, source } = olga.identity
  assert.deepEqual(
    { id, roles, mechanism, source },
    { id: 'olga', roles: ['support'], mechanism: 'badge', source: 'staff' },
  )
  assert.deepEqual(await ask('otto'), { kind: 'rejected', reason: 'locked', claimedName: 'otto' })
  assert.deepEqual(await ask('nobody'), { kind: 'rejected', reason: 'unknown-user', claimedName: 'nobody' })
  await assert.rejects(async () => ask('olga', [broken]), { message: 'down' })
})

const cannotDecide: readonly (readonly [name: string, authenticate: () => unknown])[] = [
  ['a throw', () => assert.fail('secret')],
  ['a rejection', () => Promise.reject(new Error('secret'))],
  ['an answer that never comes', () => never],
  ['nothing', () => undefined],
  ['nothing, later', async () => undefined],
  ['an identity without roles', () => ({ kind: 'identified', identity: { id: 'a' } })],
  [
    'an answer whose members throw',
    () => ({
      kind: 'identified',
      get identity() {
        return assert.fail('secret')
      },
    }),
  ],
]
for (const [what, authenticate] of cannotDecide) {
  test(`cannot decide: ${what}`, async () => {
    const mechanism = await answering(undefined, { authenticate })
    await assert.rejects(
      async () => mechanism.authenticate(credentials()),
      (error: Error) => {
        assert('code' in error && error.code === 'plugins.failed')
        assert.doesNotMatch(error.message, /secret/)
        return true
      },
    )
  })
}

test('a class’s instance answers as itself', async () => {
  class Badges {
    readonly #who = bea
    authenticate() {
      return { kind: 'identified', identity: this.#who } as const
    }
    challenge() {
      return `Badge realm="${this.#who.id}"`
    }
  }
  const made = await guard({ create: () => ({ http: new Badges() }) }).create({}, mechanismSurroundings)
  assert.equal(summary(made.http?.authenticate(credentials()) ?? { kind: 'absent' }), 'bea')
  assert.equal(made.http?.challenge(credentials(), 'absent'), 'Badge realm="bea"')
})

test('a challenge that no header can have is left out, and told once', async () => {
  for (const value of ['', 'a\r\nSet-Cookie: x', ['Badge', 7], 7, Promise.resolve('Badge'), 'x'.repeat(1_025), 'ü']) {
    const lines: string[] = []
    const kind = guard({
      create: () => ({ http: { authenticate: () => ({ kind: 'absent' }), challenge: () => value } }) as never,
    })
    const { http } = await kind.create({}, { ...mechanismSurroundings, log: (_level, message) => lines.push(message) })
    for (const _ of [1, 2]) assert.equal(http?.challenge(credentials(), 'absent'), undefined)
    assert.deepEqual(lines, ['plug-in strange: mechanism badge has no usable challenge'])
  }
  const two = await answering({ kind: 'absent' }, { challenge: () => ['A x=1', 'B'] })
  assert.deepEqual(two.challenge(credentials(), 'rejected'), ['A x=1', 'B'])
})

test('where a credential may stand is known without an instance, and is what it can be', async () => {
  const kind = guard({
    carries: () => ({ headers: ['x-badge'], query: ['badge'], cookies: ['b'] }),
    create: () => assert.fail(),
  })
  assert.deepEqual(kind.carries?.({}), { headers: ['x-badge'], query: ['badge'], cookies: ['b'] })
  for (const places of [
    { headers: ['X-Badge'] },
    { headers: 'x-badge' },
    { query: ['a b'] },
    { cookies: [7] },
    { headers: [''] },
  ]) {
    assert.throws(() => guard({ carries: () => places as never }).carries?.({}), { code: 'plugins.failed' })
  }
  assert.deepEqual(guard({}).carries?.({}), { headers: [], query: [], cookies: [] })
})

test('a mechanism without a part for one of its doors is not made', async () => {
  const made = async (create: () => unknown, doors: MechanismKind['doors'] = ['http', 'postgres']) =>
    guard({ doors, create: create as never }).create({}, mechanismSurroundings)
  const part = { authenticate: () => ({ kind: 'absent' }) }
  for (const value of [undefined, {}, { http: part }, { http: part, postgres: {} }, { http: {}, postgres: part }]) {
    await assert.rejects(
      made(() => value),
      { code: 'plugins.failed' },
    )
  }
  await assert.rejects(
    made(() => never),
    { code: 'plugins.failed' },
  )
  const onlyHttp = await made(() => ({ http: part, postgres: part }), ['http'])
  assert.deepEqual([onlyHttp.http !== undefined, onlyHttp.postgres], [true, undefined])
})

test('at the PostgreSQL door it judges what was typed', async () => {
  const asked: unknown[] = []
  const kind = guard({
    doors: ['postgres'],
    create: () => ({
      postgres: {
        async authenticate(login) {
          asked.push(login)
          return login.password === 'open'
            ? { kind: 'identified', identity: bea }
            : { kind: 'rejected', reason: 'untrusted' }
        },
      },
    }),
  })
  const { postgres } = await kind.create({}, mechanismSurroundings)
  const login = { user: 'bea', password: 'open', address: '10.0.0.7', tls: true, now }
  const outcome = await postgres?.authenticate(login)
  assert(outcome?.kind === 'identified')
  assert.equal(outcome.identity.mechanism, 'badge')
  assert.deepEqual(asked, [login])
  assert.equal((await postgres?.authenticate({ ...login, password: 'x' }))?.kind, 'rejected')
})

test('closing waits for the plug-in, and not for ever', async () => {
  const http = { authenticate: () => ({ kind: 'absent' }) as const }
  let closed = 0
  const close = async (): Promise<void> => {
    closed += 1
  }
  const made = await guard({ create: () => ({ http, close }) }).create({}, mechanismSurroundings)
  await made.close?.()
  assert.equal(closed, 1)
  const stuck = await guard({ create: () => ({ http, close: () => never }) }).create({}, mechanismSurroundings)
  await assert.rejects(async () => stuck.close?.(), { code: 'plugins.failed' })
})

test('what is handed in is what was promised, and no more than that', async () => {
  let given: MechanismSurroundings | undefined
  const http = { authenticate: () => ({ kind: 'absent' }) as const }
  const create = (_options: unknown, surroundings: MechanismSurroundings) => {
    given = surroundings
    return { http }
  }
  await guard({ create }).create({}, mechanismSurroundings)
  const promised = ['clock', 'fetch', 'issuers', 'leavesOpaque', 'log', 'passwords', 'path', 'secret', 'throttle']
  assert.deepEqual(Object.keys(given ?? {}).sort(), promised)
  const passwords = { check: async () => ({ kind: 'wrong', reason: 'unknown-user' }) as const, close: async () => {} }
  const issuers = { authenticate: () => ({ kind: 'absent' }) as const, close: () => {} }
  await guard({ create }).create({}, { ...mechanismSurroundings, passwords, issuers })
  assert.deepEqual(
    [Object.keys(given?.passwords ?? {}), Object.keys(given?.issuers ?? {})],
    [['check'], ['authenticate']],
  )
  assert.deepEqual(await given?.passwords?.check('a', 'b', 'c'), { kind: 'wrong', reason: 'unknown-user' })
  assert.deepEqual(await given?.issuers?.authenticate('a'), { kind: 'absent' })
})

test('a cookie that a page of another site made the browser send is not there', async () => {
  const seen: unknown[] = []
  const mechanism = await answering(undefined, {
    authenticate: (of: HttpCredentials) => {
      seen.push([of.cookie('b'), of.header('cookie').length, of.header('x-badge')[0], of.query('q'), of.method, of.tls])
      return { kind: 'absent' }
    },
  })
  const request = (method: string, site: string) =>
    credentials({
      method,
      headers: { 'sec-fetch-site': site, cookie: 'b=1', 'x-badge': 'x' },
      cookies: { b: '1' },
      query: { q: 'y' },
    })
  for (const [method, site] of [
    ['POST', 'cross-site'],
    ['POST', 'same-site'],
    ['GET', 'cross-site'],
  ] as const) {
    await mechanism.authenticate(request(method, site))
  }
  assert.deepEqual(seen, [
    [undefined, 0, 'x', 'y', 'POST', true],
    ['1', 1, 'x', 'y', 'POST', true],
    ['1', 1, 'x', 'y', 'GET', true],
  ])
})
