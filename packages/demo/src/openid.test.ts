import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { type OpenId, startOpenId } from './openid.ts'

let provider: OpenId
before(async () => {
  provider = await startOpenId({
    audience: 'shop',
    people: [
      { id: 'alice', roles: ['support'], secret: 'wonderland' },
      { id: 'carol', roles: ['visitor'], secret: 'christmas' },
    ],
  })
})
after(() => provider.close())

test('a token verifies against the published keys and says who, for whom, with which roles', async () => {
  const keys = createRemoteJWKSet(new URL(provider.jwksUrl))
  for (const [id, roles] of [
    ['alice', ['support']],
    ['carol', ['visitor']],
  ] as const) {
    const { payload, protectedHeader } = await jwtVerify(await provider.token(id), keys, {
      issuer: provider.issuer,
      audience: 'shop',
      algorithms: ['ES256'],
    })
    assert.equal(payload.sub, id)
    assert.equal(payload['preferred_username'], id)
    assert.deepEqual(payload['roles'], roles)
    assert.equal(protectedHeader.kid, 'demo')
  }
})

test('a wrong secret gets no token', async () => {
  const answer = await fetch(provider.tokenUrl, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('alice:guess').toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  assert.equal(answer.status, 401)
})

test('the discovery document leads to the same keys', async () => {
  const answer = await fetch(`${provider.issuer}/.well-known/openid-configuration`)
  const document: unknown = await answer.json()
  assert(typeof document === 'object' && document !== null && 'jwks_uri' in document)
  assert.equal(document.jwks_uri, provider.jwksUrl)
})
