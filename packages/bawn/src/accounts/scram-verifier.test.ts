import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  decoyScramVerifier,
  defaultScramIterations,
  deriveScramVerifier,
  formatScramVerifier,
  isPasswordOf,
  parseScramVerifier,
} from './scram-verifier.ts'

const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')

test('RFC 7677 section 3: user, pencil, 4096 iterations', async () => {
  const verifier = await deriveScramVerifier('pencil', salt, 4096)
  assert.equal(
    formatScramVerifier(verifier),
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})

test('what is formatted is parsed back', async () => {
  for (let round = 0; round < 20; round++) {
    const verifier = await deriveScramVerifier(`pässword ${round}`, randomBytes(1 + (round % 64)), 1 + round)
    const back = parseScramVerifier(formatScramVerifier(verifier))
    assert.ok(back !== undefined)
    assert.equal(back.iterations, verifier.iterations)
    assert.deepEqual(Buffer.from(back.salt), Buffer.from(verifier.salt))
    assert.deepEqual(Buffer.from(back.storedKey), Buffer.from(verifier.storedKey))
    assert.deepEqual(Buffer.from(back.serverKey), Buffer.from(verifier.serverKey))
  }
})

test('a password opens its own verifier only, however it was typed', async () => {
  const verifier = await deriveScramVerifier('caf\u00e9 \u2168', salt, 64)
  assert.equal(await isPasswordOf(verifier, 'cafe\u0301 IX'), true)
  for (const wrong of ['cafe IX', '', 'caf\u00e9 \u2168 ', 'CAFÉ IX'])
    assert.equal(await isPasswordOf(verifier, wrong), false)
})

test('a password that SASLprep forbids is taken by its bytes', async () => {
  const verifier = await deriveScramVerifier('key \u{1f511}', salt, 64)
  assert.equal(await isPasswordOf(verifier, 'key \u{1f511}'), true)
  assert.equal(await isPasswordOf(verifier, 'key '), false)
})

test('a decoy has one salt for a name, another for the next, and no password', async () => {
  const secret = randomBytes(32)
  const alice = decoyScramVerifier(secret, 'alice', 64)
  assert.deepEqual(decoyScramVerifier(secret, 'alice', 64), alice)
  assert.notDeepEqual(decoyScramVerifier(secret, 'bob', 64).salt, alice.salt)
  assert.notDeepEqual(decoyScramVerifier(randomBytes(32), 'alice', 64).salt, alice.salt)
  assert.equal(alice.salt.length, 16)
  assert.equal(decoyScramVerifier(secret, 'alice').iterations, defaultScramIterations)
  assert.equal(await isPasswordOf(alice, ''), false)
})

const good =
  'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
const bad: readonly { readonly name: string; readonly text: string }[] = [
  { name: 'empty', text: '' },
  { name: 'another mechanism', text: good.replace('256', '512') },
  { name: 'md5', text: 'md5d8578edf8458ce06fbc5bb76a58c5ca4' },
  { name: 'no iterations', text: good.replace('4096', '0') },
  { name: 'too many iterations', text: good.replace('4096', '99999999') },
  { name: 'a leading zero', text: good.replace('4096', '04096') },
  { name: 'a space', text: `${good} ` },
  { name: 'stray bits', text: good.replace('qY=', 'qZ=') },
  { name: 'no padding', text: good.slice(0, -1) },
  { name: 'base64url', text: good.replace('W22Z', 'W2-Z') },
  { name: 'a short key', text: good.replace('WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=', 'WG5d') },
  { name: 'a long salt', text: good.replace('W22ZaJ0SNY7soEsUEjb6gQ==', Buffer.alloc(65).toString('base64')) },
]
for (const row of bad) {
  test(`not a verifier: ${row.name}`, () => assert.equal(parseScramVerifier(row.text), undefined))
}

test('cut and damaged verifiers do not throw', () => {
  for (let cut = 0; cut < good.length; cut++) assert.equal(parseScramVerifier(good.slice(0, cut)), undefined)
  for (let round = 0; round < 2_000; round++) {
    const bytes = Buffer.from(good)
    bytes[round % bytes.length] = randomBytes(1)[0] ?? 0
    parseScramVerifier(bytes.toString('latin1'))
    parseScramVerifier(randomBytes(round % 600).toString('latin1'))
  }
})
