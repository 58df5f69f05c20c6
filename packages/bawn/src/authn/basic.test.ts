import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { PasswordCheck, PasswordOutcome } from '../accounts/password.ts'
import { createBasicMechanism } from './basic.ts'
import { readBasic } from './basic-credentials.ts'
import { authorization, credentials } from './http-credentials.fixture.ts'
import type { HttpOutcome } from './http-mechanism.ts'
import { basicOptions } from './option.ts'

const basic = (text: string | Buffer): string => `Basic ${Buffer.from(text).toString('base64')}`

const account = { name: 'test', roles: ['staff'], scram: undefined, locked: false } as const
const outcomes: Readonly<Record<string, PasswordOutcome>> = {
  'test:123£': { kind: 'correct', account, source: 'staff' },
  'Aladdin:open sesame': { kind: 'correct', account: { ...account, name: 'Aladdin' }, source: 'staff' },
  'colon:a:b:': { kind: 'correct', account: { ...account, name: 'colon' }, source: 'staff' },
  'locked:x': { kind: 'wrong', reason: 'locked' },
  'test:wrong': { kind: 'wrong', reason: 'wrong-password' },
  'busy:x': { kind: 'throttled', retryAfterMs: 2_000 },
}
const asked: string[] = []
const passwords: PasswordCheck = {
  check: async (user, password, address) => {
    asked.push(`${user} ${address}`)
    if (user === 'outage') throw new Error('the store is away')
    return outcomes[`${user}:${password}`] ?? { kind: 'wrong', reason: 'unknown-user' }
  },
  recall: () => undefined,
  close: async () => {},
}
const mechanism = createBasicMechanism(basicOptions.parse({ realm: 'the "shop"' }), passwords)

const summary = (outcome: HttpOutcome): string =>
  outcome.kind === 'identified' ? outcome.identity.id : outcome.kind === 'rejected' ? outcome.reason : outcome.kind

test('name and password of RFC 7617, or a refusal', async () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ['the example of section 2', 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', 'Aladdin'],
    ['the example of section 2.1, in UTF-8', 'Basic dGVzdDoxMjPCow==', 'test'],
    ['the same in Latin-1', 'Basic dGVzdDoxMjOj', 'malformed'],
    ['without padding', 'Basic dGVzdDoxMjPCow', 'test'],
    ['the scheme in another case', 'bAsIc dGVzdDoxMjPCow==', 'test'],
    ['more than one space', 'Basic   dGVzdDoxMjPCow==', 'test'],
    ['colons in the password', basic('colon:a:b:'), 'colon'],
    ['a wrong password', basic('test:wrong'), 'wrong-password'],
    ['an unknown name', basic('nobody:x'), 'unknown-user'],
    ['a locked account', basic('locked:x'), 'locked'],
    ['too many failures', basic('busy:x'), 'throttled'],
    ['an empty name', basic(':x'), 'unknown-user'],
    ['an empty password', basic('test:'), 'unknown-user'],
    ['no colon', basic('test'), 'malformed'],
    ['nothing', 'Basic', 'malformed'],
    ['nothing but a space', 'Basic ', 'malformed'],
    ['a control character in the name', basic('te\u0000st:x'), 'malformed'],
    ['a line break in the password', basic('test:123£\n'), 'malformed'],
    ['a C1 control character', basic('test:\u0085'), 'malformed'],
    ['DEL', basic('test:\u007f'), 'malformed'],
    ['an overlong encoding', basic(Buffer.from([0x74, 0x3a, 0xc0, 0xaf])), 'malformed'],
    ['a surrogate in UTF-8', basic(Buffer.from([0x74, 0x3a, 0xed, 0xa0, 0x80])), 'malformed'],
    ['base64url', 'Basic dGVzdDoxMjPCo-_=', 'malformed'],
    ['a space inside', 'Basic dGVzdDox MjPCow==', 'malformed'],
    ['stray bits at the end', 'Basic dGVzdDoxMjPCox==', 'malformed'],
    ['two in one header', 'Basic dGVzdDoxMjPCow==, Basic dGVzdDoxMjPCow==', 'malformed'],
    ['another scheme', 'Bearer dGVzdDoxMjPCow==', 'absent'],
    ['a longer word', 'Basically dGVzdDoxMjPCow==', 'absent'],
  ]
  for (const [name, header, expected] of rows) {
    assert.equal(summary(await mechanism.authenticate(credentials(authorization(header)))), expected, name)
  }
  assert.equal(summary(await mechanism.authenticate(credentials())), 'absent')
  await assert.rejects(async () => mechanism.authenticate(credentials(authorization(basic('outage:x')))), /away/)
})

test('who it is: the account, its roles and its store; and who it was said to be', async () => {
  const good = await mechanism.authenticate(credentials(authorization(basic('test:123£'))))
  assert(good.kind === 'identified')
  assert.deepEqual([good.identity.roles, good.identity.mechanism, good.identity.source], [['staff'], 'basic', 'staff'])
  const bad = await mechanism.authenticate(credentials(authorization(basic('test:wrong'))))
  assert.equal(bad.kind === 'rejected' && bad.claimedName, 'test')
  // A key as the user, with an empty password, is a secret: it is no name for the trail.
  const key = await mechanism.authenticate(credentials(authorization(basic('bawn_key:'))))
  assert.equal(key.kind === 'rejected' && key.claimedName, undefined)
})

test('without TLS a password is neither asked for nor looked at, but from this machine', async () => {
  const header = authorization(basic('test:123£'))
  const open = createBasicMechanism(basicOptions.parse({ insecure_http: true }), passwords)
  const rows = [
    [mechanism, { tls: false }, 'untrusted', false],
    [mechanism, { tls: false, address: '127.0.0.1' }, 'test', true],
    [mechanism, { tls: false, address: '::1' }, 'test', true],
    [mechanism, { tls: false, address: '::ffff:127.0.0.1' }, 'test', true],
    [mechanism, { tls: false, address: '' }, 'untrusted', false],
    [mechanism, { tls: true }, 'test', true],
    [open, { tls: false }, 'test', true],
  ] as const
  for (const [of, transport, expected, asks] of rows) {
    asked.length = 0
    const brought = credentials({ ...header, ...transport })
    assert.equal(summary(await of.authenticate(brought)), expected, JSON.stringify(transport))
    assert.equal(of.challenge(brought, 'absent') !== undefined, asks)
    assert.equal(asked.length, expected === 'test' ? 1 : 0)
  }
})

test('one challenge, whatever was wrong', () => {
  for (const outcome of ['absent', 'rejected'] as const) {
    assert.equal(mechanism.challenge(credentials(), outcome), 'Basic realm="the \\"shop\\"", charset="UTF-8"')
  }
})

test('what is encoded is read as itself; random and cut input is read or refused', () => {
  for (let round = 0; round < 500; round++) {
    const user = randomBytes(round % 9).toString('hex')
    const password = `${randomBytes(round % 7).toString('base64')}:ä€😀`
    assert.deepEqual(readBasic(credentials(authorization(basic(`${user}:${password}`)))), { user, password })
    readBasic(credentials(authorization(basic(randomBytes(round % 64)))))
    readBasic(credentials(authorization(`Basic ${randomBytes(round % 64).toString('latin1')}`)))
  }
  const whole = basic('test:123£')
  for (let cut = 0; cut < whole.length; cut++) {
    const found = readBasic(credentials(authorization(whole.slice(0, cut))))
    assert(found === undefined || found === 'malformed' || found.user.length <= 4)
  }
})
