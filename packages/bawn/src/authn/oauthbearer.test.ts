import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { formatOauthbearerFailure, parseOauthbearer, tokenSourceOf } from './oauthbearer.ts'
import { issuerOptions } from './option.ts'

const rows: readonly {
  readonly name: string
  readonly text: string
  readonly token?: string
  readonly kind?: string
}[] = [
  { name: 'libpq 18', text: 'n,,\x01auth=Bearer abc.def-_~+/==\x01\x01', token: 'abc.def-_~+/==' },
  {
    name: 'RFC 7628 section 4.1 without a name',
    text: 'n,,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmT\x01\x01',
    token: 'vF9dft4qmT',
  },
  { name: 'the scheme in lower case, spaces', text: 'n,,\x01auth=bearer   t  \x01\x01', token: 't' },
  { name: 'a client that knows channel binding', text: 'y,,\x01auth=Bearer t\x01\x01', token: 't' },
  { name: 'the question where to get a token', text: 'n,,\x01auth=\x01\x01', kind: 'discovery' },
  { name: 'channel binding', text: 'p=tls-server-end-point,,\x01auth=Bearer t\x01\x01' },
  { name: 'an authorization identity', text: 'n,a=root,\x01auth=Bearer t\x01\x01' },
  { name: 'no gs2 header', text: '\x01auth=Bearer t\x01\x01' },
  { name: 'no auth', text: 'n,,\x01host=x\x01\x01' },
  { name: 'auth twice', text: 'n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01' },
  { name: 'auth twice, once empty', text: 'n,,\x01auth=\x01auth=Bearer u\x01\x01' },
  { name: 'another scheme', text: 'n,,\x01auth=Basic dDp1\x01\x01' },
  { name: 'no token', text: 'n,,\x01auth=Bearer \x01\x01' },
  { name: 'two tokens', text: 'n,,\x01auth=Bearer t u\x01\x01' },
  { name: 'a token of other characters', text: 'n,,\x01auth=Bearer t"\x01\x01' },
  { name: 'no end', text: 'n,,\x01auth=Bearer t\x01' },
  { name: 'something after the end', text: 'n,,\x01auth=Bearer t\x01\x01x' },
  { name: 'an empty pair', text: 'n,,\x01\x01auth=Bearer t\x01\x01' },
  { name: 'a NUL', text: 'n,,\x01auth=Bearer t\0\x01\x01' },
  { name: 'nothing', text: '' },
  { name: 'a single 0x01', text: '\x01' },
  { name: 'enormous', text: `n,,\x01auth=Bearer ${'t'.repeat(30_000)}\x01\x01` },
]

for (const { name, text, token, kind } of rows) {
  test(name, () => {
    const message = parseOauthbearer(Buffer.from(text, 'latin1'))
    assert.equal(message.kind, kind ?? (token === undefined ? 'malformed' : 'token'))
    if (message.kind === 'token') assert.equal(message.token, token)
  })
}

test('random and cut bytes are malformed, or a token of theirs', () => {
  const whole = Buffer.from('n,,\x01auth=Bearer abc.def\x01\x01', 'latin1')
  for (let round = 0; round < 5_000; round += 1) {
    const bytes = Buffer.from(whole.subarray(0, round % 2 === 0 ? randomInt(whole.length) : whole.length))
    if (round % 2 === 1) bytes[randomInt(bytes.length)] = randomInt(256)
    const message = parseOauthbearer(bytes)
    if (message.kind === 'token') assert.ok(bytes.includes(message.token))
    assert.equal(parseOauthbearer(randomBytes(40)).kind, 'malformed')
  }
})

test('clients are sent to the first issuer that is a URL', () => {
  const issuer = (name: string, scope?: string) =>
    issuerOptions.parse({ issuer: name, audience: ['a'], jwks: 'x', scope })
  assert.equal(tokenSourceOf([]), undefined)
  assert.equal(tokenSourceOf([issuer('corp')]), undefined)
  const source = tokenSourceOf([issuer('corp'), issuer('https://id.example/realms/a/', 'openid db')])
  assert.ok(source !== undefined)
  assert.deepEqual(JSON.parse(formatOauthbearerFailure(source)), {
    status: 'invalid_token',
    'openid-configuration': 'https://id.example/realms/a/.well-known/openid-configuration',
    scope: 'openid db',
  })
  assert.equal('scope' in JSON.parse(formatOauthbearerFailure({ ...source, scope: '' })), false)
})
