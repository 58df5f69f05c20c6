import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { md4 } from './md4.ts'
import { ntlmAuthenticate, ntlmKey, ntlmNegotiate, ntlmResponses, parseNtlmChallenge } from './ntlm-message.ts'

const digits = '1234567890'
const alphabet = 'abcdefghijklmnopqrstuvwxyz'

test('MD4 is that of RFC 1320, appendix A.5', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['', '31d6cfe0d16ae931b73c59d7e0c089c0'],
    ['a', 'bde52cb31de33e46245e05fbdbd6fb24'],
    ['abc', 'a448017aaf21d8525fc10ae87aa6729d'],
    ['message digest', 'd9130a8164549fe818874806e1c7014b'],
    [alphabet, 'd79e1c308aa5bbcdeea8ed63df412da9'],
    [`${alphabet.toUpperCase()}${alphabet}0123456789`, '043f8582f241db351ce627e153e7f0e4'],
    [digits.repeat(8), 'e33b4ddc9c38f2199c3e7b164fcc0536'],
  ]
  for (const [text, digest] of rows) assert.equal(md4(Buffer.from(text)).toString('hex'), digest, text)
})

/** The CHALLENGE_MESSAGE of MS-NLMP section 4.2.4.3. */
const challengeOfExample = Buffer.from(
  [
    '4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000060070170000000f',
    '530065007200760065007200',
    '02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000',
  ].join(''),
  'hex',
)
const account = { user: 'User', domain: 'Domain', password: 'Password' }

test('keys and responses are those of MS-NLMP section 4.2.4', () => {
  assert.equal(md4(Buffer.from('Password', 'utf16le')).toString('hex'), 'a4f49c406510bdcab6824ee7c30fd852')
  const key = ntlmKey(account)
  assert.equal(key.toString('hex'), '0c868a403bfd7a93a3001ef22ef02e3f')
  const challenge = parseNtlmChallenge(challengeOfExample)
  assert.ok(challenge !== undefined)
  assert.equal(challenge.serverChallenge.toString('hex'), '0123456789abcdef')
  assert.equal(challenge.timestamp, undefined)
  const { lm, nt } = ntlmResponses(key, challenge, Buffer.alloc(8, 0xaa), -11_644_473_600_000)
  assert.equal(lm.toString('hex'), '86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa')
  assert.equal(nt.subarray(0, 16).toString('hex'), '68cd0ab851e51c96aabc927bebef6a1c')
  assert.equal(
    nt.subarray(16).toString('hex'),
    `01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000${challenge.targetInfo.toString('hex')}00000000`,
  )
})

test('messages have the form that the specification gives them', () => {
  assert.equal(ntlmNegotiate().toString('hex'), `4e544c4d5353500001000000058208${'00'.repeat(17)}`)
  const challenge = parseNtlmChallenge(challengeOfExample)
  assert.ok(challenge !== undefined)
  const message = ntlmAuthenticate(account, challenge, { lm: Buffer.alloc(24, 1), nt: Buffer.alloc(50, 2) })
  const field = (at: number): string => {
    assert.equal(message.readUInt16LE(at), message.readUInt16LE(at + 2))
    const offset = message.readUInt32LE(at + 4)
    return message.subarray(offset, offset + message.readUInt16LE(at)).toString('hex')
  }
  const utf16 = (text: string): string => Buffer.from(text, 'utf16le').toString('hex')
  assert.deepEqual([12, 20, 28, 36, 44, 52].map(field), [
    '01'.repeat(24),
    '02'.repeat(50),
    utf16('Domain'),
    utf16('User'),
    '',
    '',
  ])
  assert.equal(message.readUInt32LE(60), 0x00888201)
})

test('whatever is no challenge is none, and nothing else happens', () => {
  assert.equal(parseNtlmChallenge(Buffer.alloc(0)), undefined)
  for (let length = 0; length < challengeOfExample.length; length++) {
    const cut = parseNtlmChallenge(challengeOfExample.subarray(0, length))
    // Before its place for target info there is a challenge without any (MS-NLMP 2.2.1.2, of old servers).
    assert.ok(cut === undefined || (length >= 32 && length < 48), String(length))
  }
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(challengeOfExample)
    for (let times = 0; times < 3; times++) bytes[(Math.random() * bytes.length) | 0] = (Math.random() * 256) | 0
    const challenge = parseNtlmChallenge(round % 2 === 0 ? bytes : randomBytes(round % 200))
    if (challenge === undefined) continue
    assert.equal(challenge.serverChallenge.length, 8)
    assert.ok(challenge.timestamp === undefined || challenge.timestamp.length === 8)
  }
})

test('to a server that tells the time, its own time goes and no LM response', () => {
  const time = '0102030405060708'
  const info = Buffer.from(`07000800${time}00000000`, 'hex')
  const message = Buffer.concat([challengeOfExample.subarray(0, 40), Buffer.alloc(8), info])
  message.writeUInt16LE(info.length, 40)
  message.writeUInt16LE(info.length, 42)
  message.writeUInt32LE(48, 44)
  const challenge = parseNtlmChallenge(message)
  assert.ok(challenge !== undefined)
  const { lm, nt } = ntlmResponses(ntlmKey(account), challenge, Buffer.alloc(8), 0)
  assert.deepEqual(lm, Buffer.alloc(24))
  assert.equal(nt.subarray(24, 32).toString('hex'), time)
})
