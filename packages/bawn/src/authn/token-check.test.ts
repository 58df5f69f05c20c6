import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import type { Identity } from './identity.ts'
import { createJwtMechanism } from './jwt.ts'
import { issuerOptions } from './option.ts'
import type { CheckVerdict } from './token-check.ts'

const now = Date.UTC(2027, 0, 1)
const issuer = 'https://id.example'
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: '1' }

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
function token(claims: object = {}, key = privateKey): string {
  const all = { iss: issuer, aud: 'shop', sub: 'alice', roles: ['staff'], exp: now / 1000 + 60, ...claims }
  const input = `${part({ alg: 'EdDSA', kid: '1' })}.${part(all)}`
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`
}

type Check = (claims: Identity['claims'], identity: Identity) => CheckVerdict

function mechanism(...checks: readonly Check[]) {
  const refused: string[] = []
  const options = issuerOptions.parse({ issuer, audience: ['shop'], jwks: 'https://id.example/jwks' })
  const { authenticate } = createJwtMechanism(
    { corp: options, other: { ...options, issuer: 'https://other.example' } },
    {
      fetch: async () => Response.json({ keys: [jwk] }),
      clock: () => now,
      secret: assert.fail,
      checks: new Map([['corp', checks.map((check, at) => ({ name: `check-${at}`, check }))]]),
      onRefused: (...told) => refused.push(told.join(' ')),
    },
  )
  const verdict = async (text: string): Promise<string> => {
    const outcome = await authenticate(text)
    return outcome.kind === 'rejected' ? outcome.reason : outcome.kind
  }
  return { verdict, refused }
}

test('a check sees the claims of a token that is good, and who it is', async () => {
  const seen: unknown[] = []
  const { verdict } = mechanism((claims, { id, roles, source }) => {
    seen.push([{ ...claims }, id, roles, source])
    assert(Object.isFrozen(claims))
    return 'accept'
  })
  assert.equal(await verdict(token({ a: 1 })), 'identified')
  const claims = { iss: issuer, aud: 'shop', sub: 'alice', roles: ['staff'], exp: now / 1000 + 60, a: 1 }
  assert.deepEqual(JSON.parse(JSON.stringify(seen)), [[claims, 'alice', ['staff'], 'corp']])
})

test('a token that is not good is shown to no check', async () => {
  const { verdict } = mechanism(() => assert.fail())
  const stranger = generateKeyPairSync('ed25519').privateKey
  assert.equal(await verdict(token({}, stranger)), 'untrusted')
  assert.equal(await verdict(token({ exp: now / 1000 })), 'expired')
  assert.equal(await verdict(token({ aud: 'desk' })), 'wrong-audience')
  assert.equal(await verdict(token({ sub: 7 })), 'malformed')
})

test('all have to accept, in order; the first that does not is told with its reason', async () => {
  const asked: number[] = []
  const check =
    (at: number, verdict: CheckVerdict): Check =>
    () => {
      asked.push(at)
      return verdict
    }
  const { verdict, refused } = mechanism(check(0, 'accept'), check(1, { reject: 'no b' }), check(2, 'accept'))
  assert.equal(await verdict(token()), 'check-failed')
  assert.deepEqual(asked, [0, 1])
  assert.deepEqual(refused, ['corp check-1 no b'])
})

test('of a token that is accepted a check is asked once; a refusal is asked for again', async () => {
  let asked = 0
  let answer: CheckVerdict = { reject: 'not yet' }
  const { verdict } = mechanism(() => {
    asked += 1
    return answer
  })
  const text = token()
  for (const _ of [1, 2]) assert.equal(await verdict(text), 'check-failed')
  answer = 'accept'
  for (const _ of [1, 2, 3]) assert.equal(await verdict(text), 'identified')
  assert.equal(asked, 3)
})

test('a check that throws cannot decide, and nothing is kept of it', async () => {
  let fails = true
  const { verdict } = mechanism(() => {
    if (fails) throw new Error('down')
    return 'accept'
  })
  const text = token()
  // Before the keys are there, and after.
  for (const _ of [1, 2]) await assert.rejects(verdict(text), { message: 'down' })
  fails = false
  assert.equal(await verdict(text), 'identified')
})

test('the checks of one issuer are not those of another', async () => {
  const { verdict } = mechanism(() => ({ reject: 'never' }))
  assert.equal(await verdict(token()), 'check-failed')
  assert.equal(await verdict(token({ iss: 'https://other.example' })), 'identified')
})
