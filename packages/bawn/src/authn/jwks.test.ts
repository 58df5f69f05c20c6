import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { exportJWK, SignJWT } from 'jose'
import { createKeySet, maxKeySetBytes } from './jwks.ts'
import { createJwtMechanism } from './jwt.ts'
import { issuerOptions } from './option.ts'

const pairs = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const jwks = await Promise.all(
  pairs.map(async ({ publicKey }, index) => ({ ...(await exportJWK(publicKey)), kid: `k${index}` })),
)
const startedAt = 1_800_000_000_000

/** An issuer whose answers, and a clock whose time, the test sets. */
function world(more: object = {}) {
  const state = {
    now: startedAt,
    fetches: 0,
    keys: [0] as readonly number[],
    down: false,
    gate: undefined as Promise<void> | undefined,
  }
  const surroundings = {
    clock: () => state.now,
    fetch: async () => {
      state.fetches++
      await state.gate
      if (state.down) throw new TypeError('connection refused')
      return Response.json({ keys: state.keys.map(index => jwks[index]) })
    },
  }
  const jwksUrl = 'https://id.example/jwks'
  const parsed = issuerOptions.parse({
    issuer: 'i',
    audience: ['a'],
    jwks: jwksUrl,
    refresh: '5m',
    stale: '1h',
    ...more,
  })
  const options = { ...parsed, jwks: jwksUrl }
  return { state, options, surroundings, keySet: createKeySet({ name: 'corp', ...options }, surroundings) }
}

/** Lets everything that is ready run. */
const settle = () => new Promise<void>(resolve => setImmediate(resolve))
const unreachable = { code: 'authn.issuer_unreachable' }
const minutes = 60_000

test('nothing is fetched before somebody asks, and many who ask share one fetch', async () => {
  const { state, keySet } = world()
  assert.equal(state.fetches, 0)
  assert.equal(keySet.current(), undefined)
  const versions = await Promise.all([keySet.load(), keySet.load(), keySet.reloadFor('k0'), keySet.refresh()])
  assert.equal(state.fetches, 1)
  assert.equal(versions[0]?.keys[0]?.kid, 'k0')
  assert.equal(keySet.current()?.generation, 1)
})

test('fresh keys are used without a fetch, older ones while one runs behind', async () => {
  const { state, keySet } = world()
  await keySet.load()
  state.now += 5 * minutes
  keySet.current()
  assert.equal(state.fetches, 1)
  state.now += 1
  state.keys = [1]
  assert.equal(keySet.current()?.keys[0]?.kid, 'k0')
  assert.equal(keySet.current()?.keys[0]?.kid, 'k0')
  assert.equal(state.fetches, 2)
  await settle()
  assert.equal(keySet.current()?.keys[0]?.kid, 'k1')
  assert.equal(keySet.current()?.generation, 2)
})

test('the generation stays while the keys do', async () => {
  const { state, keySet } = world()
  await keySet.load()
  await keySet.refresh()
  assert.equal(state.fetches, 2)
  assert.equal(keySet.current()?.generation, 1)
})

test('an outage is bridged for as long as configured, and not longer', async () => {
  const { state, keySet } = world()
  await keySet.load()
  state.down = true
  state.now += 65 * minutes
  assert.equal(keySet.current()?.keys.length, 1)
  await settle()
  assert.match(keySet.status().failure ?? '', /connection refused/)
  state.now += 1
  assert.equal(keySet.current(), undefined)
  await assert.rejects(keySet.load(), unreachable)
  assert.equal(keySet.status().usable, false)
  state.down = false
  state.now += 3_000
  assert.equal((await keySet.load()).keys.length, 1)
  assert.equal(keySet.status().failure, undefined)
})

test('while the issuer is down it is asked every two seconds and not for each caller', async () => {
  const { state, keySet } = world()
  state.down = true
  for (let caller = 0; caller < 50; caller++) await assert.rejects(keySet.load(), unreachable)
  assert.equal(state.fetches, 1)
  state.now += 2_001
  await assert.rejects(keySet.load(), unreachable)
  assert.equal(state.fetches, 2)
})

test('unknown key ids lead to one fetch in 30 seconds, however many there are', async () => {
  const { state, keySet } = world()
  await keySet.load()
  for (let n = 0; n < 100; n++) await keySet.reloadFor(`made up ${n}`)
  assert.equal(state.fetches, 1)
  state.now += 30_001
  for (let n = 0; n < 100; n++) await keySet.reloadFor(`made up ${n}`)
  assert.equal(state.fetches, 2)
  // One that was looked for is not looked for again soon.
  state.now += 30_001
  await keySet.reloadFor('made up 0')
  assert.equal(state.fetches, 2)
  state.keys = [0, 1]
  assert.equal((await keySet.reloadFor('k1')).keys.length, 2)
  assert.equal(state.fetches, 3)
})

test('an unknown key id during an outage cannot be decided', async () => {
  const { state, keySet } = world()
  await keySet.load()
  state.down = true
  state.now += 31_000
  await assert.rejects(keySet.reloadFor('k1'), unreachable)
  await assert.rejects(keySet.reloadFor('k2'), unreachable)
  assert.equal(state.fetches, 2)
})

test('a clock that is set back does not keep keys alive', async () => {
  const { state, keySet } = world()
  await keySet.load()
  state.now -= 60 * minutes
  assert.equal(keySet.current(), undefined)
  await keySet.load()
  assert.equal(state.fetches, 2)
})

test('a set that is no set counts as an outage, and the last good one stays', async () => {
  const { state, options } = world()
  const bodies = ['{}', '{"keys":[]}', '<html>', '']
  for (const body of bodies) {
    let broken = false
    const keySet = createKeySet(
      { name: 'corp', ...options },
      { clock: () => state.now, fetch: async () => (broken ? new Response(body) : Response.json({ keys: jwks })) },
    )
    await keySet.load()
    broken = true
    await assert.rejects(keySet.refresh(), unreachable)
    assert.equal(keySet.current()?.keys.length, 3)
  }
})

test('a file is read in the same way', async () => {
  const { state, options } = world()
  let content: string | undefined = JSON.stringify({ keys: jwks })
  const keySet = createKeySet(
    { name: 'corp', ...options, jwks: 'keys/corp.json' },
    {
      clock: () => state.now,
      fetch: async () => assert.fail('fetched'),
      readFile: async path => {
        assert.equal(path, 'keys/corp.json')
        if (content === undefined) throw new Error('ENOENT')
        return Buffer.from(content)
      },
    },
  )
  assert.equal((await keySet.load()).keys.length, 3)
  content = undefined
  await assert.rejects(keySet.refresh(), unreachable)
  content = ' '.repeat(maxKeySetBytes + 1)
  await assert.rejects(keySet.refresh(), unreachable)
})

test('discovery asks the issuer where its keys are, each time they are fetched', async t => {
  let metadata: unknown
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const isMetadata = request.url?.endsWith('/.well-known/openid-configuration')
    response.end(JSON.stringify(isMetadata ? metadata : { keys: [jwks[request.url === '/moved' ? 1 : 0]] }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const open = (issuer: string) =>
    createKeySet(
      {
        ...issuerOptions.parse({ issuer, audience: ['a'], discovery: true, insecure_http: true }),
        name: 'corp',
        jwks: { discovery: issuer },
      },
      { fetch, clock: Date.now },
    )
  for (const issuer of [origin, `${origin}/realms/corp`, `${origin}/slash/`]) {
    const keySet = open(issuer)
    metadata = { issuer, jwks_uri: `${origin}/keys` }
    assert.equal((await keySet.load()).keys[0]?.kid, 'k0')
    metadata = { issuer, jwks_uri: `${origin}/moved` }
    await keySet.refresh()
    assert.equal(keySet.current()?.keys[0]?.kid, 'k1')
  }
  assert.deepEqual(
    asked.filter(path => path.includes('well-known')),
    [
      ...['', '', '/realms/corp', '/realms/corp', '/slash', '/slash'].map(
        path => `${path}/.well-known/openid-configuration`,
      ),
    ],
  )
  for (const bad of [
    [],
    {},
    { issuer: `${origin}/`, jwks_uri: `${origin}/keys` },
    { issuer: 'https://id.example', jwks_uri: `${origin}/keys` },
    { issuer: origin },
    { issuer: origin, jwks_uri: 7 },
    { issuer: origin, jwks_uri: 'keys.json' },
    { issuer: origin, jwks_uri: 'file:///etc/passwd' },
    { issuer: origin, jwks_uri: `http://user:password@127.0.0.1/keys` },
  ]) {
    metadata = bad
    await assert.rejects(open(origin).load(), unreachable, JSON.stringify(bad))
  }
  assert.throws(() => open('ftp://id.example'), { code: 'authn.bad_issuer' })
  assert.throws(() => open(`${origin}?a`), { code: 'authn.bad_issuer' })
})

test('over real HTTP: redirects, other statuses, endless bodies and closing end the fetch', async () => {
  const listeners: Record<string, RequestListener> = {
    '/good': (_, response) => response.end(JSON.stringify({ keys: jwks })),
    '/redirect': (_, response) => response.writeHead(302, { location: '/good' }).end(),
    '/error': (_, response) => response.writeHead(500).end(JSON.stringify({ keys: jwks })),
    '/created': (_, response) => response.writeHead(201).end(JSON.stringify({ keys: jwks })),
    '/endless': (request, response) => {
      const more = () => {
        while (response.write(' '.repeat(65_536)));
      }
      response.on('drain', more)
      request.on('close', () => response.destroy())
      more()
    },
    '/silent': () => {},
  }
  const server = createServer((request, response) => listeners[request.url ?? '']?.(request, response)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { options } = world({ insecure_http: true })
  const at = (path: string) =>
    createKeySet(
      { name: 'corp', ...options, jwks: `http://127.0.0.1:${port}${path}` },
      { fetch, clock: () => startedAt },
    )
  try {
    assert.equal((await at('/good').load()).keys.length, 3)
    for (const path of ['/redirect', '/error', '/created', '/endless'])
      await assert.rejects(at(path).load(), unreachable, path)
    const silent = at('/silent')
    const waiting = silent.load()
    await once(server, 'request')
    silent.close()
    await assert.rejects(waiting, unreachable)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

// The mechanism over such a set.
const sign = (index: number, claims: object = {}) => {
  const pair = pairs[index] ?? assert.fail()
  return new SignJWT({ iss: 'i', aud: 'a', sub: 'alice', exp: startedAt / 1000 + 7_200, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: `k${index}` })
    .sign(pair.privateKey)
}

function gateway(more: object = {}) {
  const { state, options, surroundings } = world(more)
  return { state, mechanism: createJwtMechanism({ corp: options }, { ...surroundings, secret: assert.fail }) }
}

test('the first token waits for the keys, the next has its answer at once, the same again without its signature', async () => {
  const { mechanism } = gateway()
  const token = await sign(0)
  const first = mechanism.authenticate(token)
  assert.ok(first instanceof Promise)
  const outcome = await first
  assert.ok(outcome.kind === 'identified')
  const again = mechanism.authenticate(token)
  assert.ok(!(again instanceof Promise) && again.kind === 'identified')
  assert.equal(again.identity, outcome.identity)
  const other = mechanism.authenticate(await sign(0, { jti: '2' }))
  assert.ok(!(other instanceof Promise) && other.kind === 'identified')
})

test('a cached token ends with its exp, and waits for its nbf when the clock goes back', async () => {
  const { state, mechanism } = gateway({ refresh: '1d', stale: '1d' })
  const token = await sign(0, { exp: startedAt / 1000 + 60, nbf: startedAt / 1000 })
  await mechanism.authenticate(token)
  state.now = startedAt + 59_999
  assert.equal((await mechanism.authenticate(token)).kind, 'identified')
  state.now = startedAt + 60_000
  assert.deepEqual(await mechanism.authenticate(token), { kind: 'rejected', reason: 'expired' })
  assert.deepEqual(await mechanism.authenticate(token), { kind: 'rejected', reason: 'expired' })
  state.now = startedAt - 1
  assert.deepEqual(await mechanism.authenticate(token), { kind: 'rejected', reason: 'not-yet-valid' })
})

test('a cached token ends when its key leaves the set', async () => {
  const { state, mechanism } = gateway()
  const token = await sign(0)
  assert.equal((await mechanism.authenticate(token)).kind, 'identified')
  state.keys = [1]
  state.now += 6 * minutes
  assert.equal((await mechanism.authenticate(token)).kind, 'identified', 'the set is stale and on its way')
  await settle()
  assert.deepEqual(await mechanism.authenticate(token), { kind: 'rejected', reason: 'untrusted' })
  assert.equal((await mechanism.authenticate(await sign(1))).kind, 'identified')
})

test('a new key is found as soon as a token names it', async () => {
  const { state, mechanism } = gateway()
  await mechanism.authenticate(await sign(0))
  state.now += 31_000
  state.keys = [0, 1]
  assert.equal((await mechanism.authenticate(await sign(1))).kind, 'identified')
  assert.equal(state.fetches, 2)
  state.now += 31_000
  assert.deepEqual(await mechanism.authenticate(await sign(2)), { kind: 'rejected', reason: 'untrusted' })
})

test('an outage is neither a yes nor a no, for cached tokens too once the keys are too old', async () => {
  const { state, mechanism } = gateway({ stale: '10m' })
  state.down = true
  const token = await sign(0)
  await assert.rejects(async () => mechanism.authenticate(token), unreachable)
  state.down = false
  state.now += 2_001
  assert.equal((await mechanism.authenticate(token)).kind, 'identified')
  state.down = true
  state.now += 15 * minutes
  assert.equal((await mechanism.authenticate(token)).kind, 'identified')
  await settle()
  state.now += 1
  await assert.rejects(async () => mechanism.authenticate(token), unreachable)
  // What is wrong whatever the keys are, is still refused.
  assert.deepEqual(await mechanism.authenticate('x.y.z'), { kind: 'rejected', reason: 'malformed' })
  assert.equal(mechanism.status()[0]?.usable, false)
})

test('prime fetches and does not reject', async () => {
  const { state, mechanism } = gateway()
  state.down = true
  await mechanism.prime()
  assert.match(mechanism.status()[0]?.failure ?? '', /no keys from issuer corp/)
  state.down = false
  await mechanism.prime()
  assert.equal(mechanism.status()[0]?.usable, true)
  assert.equal(mechanism.status()[0]?.keys, 1)
})
