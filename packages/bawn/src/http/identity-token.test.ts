import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import { isJsonObject, parseJson } from '../authn/json.ts'
import { createJwtSigner } from '../tokens/jwt-signer.ts'
import { signingOptions } from '../tokens/signing-option.ts'
import { createIdentityToken } from './identity-token.ts'

test('an integer beyond 2^53 is signed as the token had it, or not at all', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const signer = createJwtSigner('ours', signingOptions.parse({ key: 'env:K' }), () => pem)
  const claims = parseJson(
    Buffer.from('{"account":9007199254740993,"org":{"id":-12345678901234567890,"n":1.5},"lost":1e17,"small":7}'),
  )
  assert.ok(isJsonObject(claims))
  const proof = { clientId: undefined, source: 'corp', expiresAt: undefined, mechanism: 'jwt' } as const
  const identity = createIdentity({ id: 'ann', roles: [], claims, ...proof })
  const named = ['account', 'org', 'org.id', 'lost', 'small']
  const token = createIdentityToken({ signer, audience: 'b', ttlMs: 60_000, claims: named }, Date.now)(identity)
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  assert.ok(
    payload.startsWith(
      '{"account":9007199254740993,"org":{"id":-12345678901234567890,"n":1.5},"org.id":-12345678901234567890,"small":7,',
    ),
    payload,
  )
})
