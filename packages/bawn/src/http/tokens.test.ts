import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { createBearerMechanism } from '../authn/bearer.ts'
import { createHostRules } from '../authn/host-rules.ts'
import { createJwtMechanism } from '../authn/jwt.ts'
import { hostRuleOptions, issuerOptions } from '../authn/option.ts'
import { codeOf, get, startDoor, startUpstream } from './kit.test.ts'

// The whole way with the real mechanism: an issuer's key set over HTTP, signed tokens, host rules from the configuration.

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(claims: Record<string, unknown>): string {
  const signed = `${part({ alg: 'ES256', kid: 'k1', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

test('a signed token opens the door; an issuer that is away is a 503, not a 401', async t => {
  let away = false
  const issuer = await startUpstream(t, (_request, response) => {
    if (away) {
      response.writeHead(500)
      response.end()
      return
    }
    response.setHeader('Content-Type', 'application/json')
    response.end(
      JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' }] }),
    )
  })
  const upstream = await startUpstream(t, (request, response) => response.end(String(request.headers['x-user'])))
  const options = issuerOptions.parse({
    issuer: 'https://id.example',
    audience: ['shop'],
    jwks: `${issuer}/jwks`,
    insecure_http: true,
  })
  const mechanism = (): ReturnType<typeof createJwtMechanism> => {
    const jwt = createJwtMechanism({ corp: options }, { fetch, clock: Date.now, secret: assert.fail })
    t.after(() => jwt.close())
    return jwt
  }
  const start = (jwt: ReturnType<typeof createJwtMechanism>) =>
    startDoor(t, {
      upstream,
      mechanisms: [createBearerMechanism(jwt, { realm: 'bawn', base64: false })],
      hostRules: createHostRules([
        hostRuleOptions.parse({ name: 'web', door: 'http', address: '127.0.0.0/8', use: ['jwt'] }),
      ]),
      routes: [{ path: '/staff', allow: ['staff'], identity_headers: { id: 'X-User' } }],
    })
  const kit = await start(mechanism())
  const now = Math.floor(Date.now() / 1000)
  const good = { iss: 'https://id.example', aud: 'shop', sub: 'alice', roles: ['staff'], exp: now + 600 }
  const ask = (bearer: string, port = kit.port) => get(port, '/staff', [`Authorization: Bearer ${bearer}`])

  const alice = await ask(token(good))
  assert.deepEqual([alice.status, alice.body], [200, 'alice'])
  assert.equal(codeOf(await ask(token({ ...good, roles: ['guest'] }))), 'policy.denied')
  const valid = token(good)
  for (const bad of [
    token({ ...good, exp: now - 600 }),
    token({ ...good, aud: 'other' }),
    token({ ...good, iss: 'https://evil.example' }),
    `${valid.slice(0, valid.lastIndexOf('.'))}.${Buffer.alloc(64, 1).toString('base64url')}`,
    `${part({ alg: 'none' })}.${part(good)}.`,
    'x.y.z',
  ]) {
    assert.equal(codeOf(await ask(bad)), 'authn.failed')
  }
  away = true
  const cut = await start(mechanism())
  const answer = await ask(token(good), cut.port)
  assert.equal(codeOf(answer), 'authn.issuer_unreachable')
  assert.equal(answer.status, 503)
  assert.ok(answer.headers.has('retry-after'))
  assert.equal((await ask(token({ ...good, sub: 'again' }))).status, 200, 'keys that are there are still used')
})
