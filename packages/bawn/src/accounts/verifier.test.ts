import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { after, test } from 'node:test'
import { createHashThread } from './hash-thread.ts'
import { deriveScramVerifier } from './scram-verifier.ts'
import {
  areCurrent,
  deriveVerifiers,
  formatVerifier,
  isVerifiedBy,
  parseVerifier,
  type StoredVerifier,
  verifiersText,
} from './verifier.ts'

const thread = createHashThread()
after(() => thread.close())

// From the reference implementation of Argon2 (phc-winner-argon2, test.c), RFC 6070's successors for SHA-512, libxcrypt, openssl passwd.
const known: readonly { readonly name: string; readonly password: string; readonly text: string }[] = [
  {
    name: 'argon2id',
    password: 'password',
    text: '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
  },
  {
    name: 'PBKDF2-SHA512',
    password: 'passwordPASSWORDpassword',
    text: `$pbkdf2-sha512$i=4096$${unpadded(Buffer.from('saltSALTsaltSALTsaltSALTsaltSALTsalt'))}$${unpadded(
      Buffer.from(
        '8c0511f4c6e597c6ac6315d8f0362e225f3c501495ba23b868c005174dc4ee71115b59f9e60cd9532fa33e0f75aefe30225c583a186cd82bd4daea9724a3d3b8',
        'hex',
      ),
    )}`,
  },
  { name: 'bcrypt', password: 'abc', text: '$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'htpasswd SHA-1', password: 'password', text: '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=' },
  { name: 'Apache MD5', password: 'abc', text: '$apr1$r31a5$o4FYhXldbKWDCEj0XtbV50' },
  { name: 'Apache MD5 of nothing', password: '', text: '$apr1$r31a5$T.z36BMYLEqhV26i/mCe1.' },
  {
    name: 'Apache MD5 of more than a block',
    password: '0123456789'.repeat(8).concat('01'),
    text: '$apr1$r31a5$48WY3VAzT52OXpers6dxj.',
  },
  { name: 'Apache MD5 of UTF-8', password: 'pässwörd', text: '$apr1$r31a5$7E.BSrKh6JmoydDi3GyhU.' },
  { name: 'Apache MD5, longest salt', password: 'secret', text: '$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/' },
]

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}

for (const { name, password, text } of known) {
  test(`${name}: read, written back, right and wrong`, async () => {
    const verifier = parseVerifier(text)
    assert.ok(verifier !== undefined)
    assert.equal(formatVerifier(verifier), text)
    assert.equal(await isVerifiedBy(verifier, password, thread), true)
    for (const wrong of [`${password} `, 'x', `${password}\0`]) {
      assert.equal(await isVerifiedBy(verifier, wrong, thread), false, JSON.stringify(wrong))
    }
  })
}

test('what PostgreSQL and SCRAM keep checks a password in clear too', async () => {
  const verifier = await deriveScramVerifier('pencil', randomBytes(16), 64)
  assert.equal(await isVerifiedBy(verifier, 'pencil', thread), true)
  assert.equal(await isVerifiedBy(verifier, 'pencils', thread), false)
})

test('a password in clear is compared and never written', async () => {
  const verifier = { kind: 'plain', password: 'pencil' } as const
  assert.equal(await isVerifiedBy(verifier, 'pencil', thread), true)
  assert.equal(await isVerifiedBy(verifier, 'pencils', thread), false)
  assert.equal(parseVerifier('pencil'), undefined)
  assert.notEqual(verifiersText({ password: verifier }), verifiersText({ password: { kind: 'plain', password: 'x' } }))
})

test('a new password: argon2id and SCRAM, however it was typed, current', async () => {
  const verifiers = await deriveVerifiers('caf\u00e9 \u2168')
  assert.ok(areCurrent(verifiers))
  const { password, scram } = verifiers
  assert.ok(password?.kind === 'argon2id' && scram !== undefined)
  assert.match(formatVerifier(password), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22}\$[^$]{43}$/)
  for (const verifier of [password, scram]) assert.equal(await isVerifiedBy(verifier, 'cafe\u0301 IX', thread), true)
  assert.equal(areCurrent({ ...verifiers, scram: { ...scram, iterations: 4_096 } }), false)
  assert.equal(areCurrent({ ...verifiers, password: { ...password, memoryKib: 4_096 } }), false)
  assert.equal(areCurrent({ ...verifiers, scram: undefined }), false)
  assert.equal(areCurrent({ scram, password: parseVerifier('{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=') }), false)
})

const salt = 'c29tZXNhbHQ'
const tag = 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
const refused: readonly { readonly name: string; readonly text: string }[] = [
  { name: 'empty', text: '' },
  { name: 'a password', text: 'pencil' },
  { name: 'argon2i', text: `$argon2i$v=19$m=65536,t=2,p=1$${salt}$${tag}` },
  { name: 'an older argon2', text: `$argon2id$v=16$m=65536,t=2,p=1$${salt}$${tag}` },
  { name: 'argon2 without a version', text: `$argon2id$m=65536,t=2,p=1$${salt}$${tag}` },
  { name: 'argon2 with 1 GiB', text: `$argon2id$v=19$m=1048576,t=2,p=1$${salt}$${tag}` },
  { name: 'argon2 with 256 MiB ten times', text: `$argon2id$v=19$m=262144,t=10,p=1$${salt}$${tag}` },
  { name: 'argon2 with too many passes', text: `$argon2id$v=19$m=1024,t=100,p=1$${salt}$${tag}` },
  { name: 'argon2 with too many lanes', text: `$argon2id$v=19$m=65536,t=2,p=16$${salt}$${tag}` },
  { name: 'argon2 with less memory than lanes need', text: `$argon2id$v=19$m=8,t=2,p=2$${salt}$${tag}` },
  { name: 'argon2 with zero passes', text: `$argon2id$v=19$m=65536,t=0,p=1$${salt}$${tag}` },
  { name: 'argon2 with a short tag', text: `$argon2id$v=19$m=65536,t=2,p=1$${salt}$CTFhFdXPJO1a` },
  { name: 'argon2 with padding', text: `$argon2id$v=19$m=65536,t=2,p=1$${salt}=$${tag}` },
  { name: 'argon2 with stray bits', text: `$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHR$${tag}` },
  { name: 'bcrypt of cost 31', text: '$2b$31$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'bcrypt of cost 16', text: '$2b$16$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'bcrypt of cost 3', text: '$2b$03$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'faulty bcrypt', text: '$2x$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'bcrypt cut short', text: '$2b$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0' },
  { name: 'bcrypt with stray bits in the salt', text: '$2b$06$If6bvum7DFjUnE9p2uDeDv0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i' },
  { name: 'PBKDF2 with ten million rounds', text: `$pbkdf2-sha512$i=9999999$${salt}$${tag}` },
  { name: 'PBKDF2 with zero rounds', text: `$pbkdf2-sha512$i=0$${salt}$${tag}` },
  { name: 'PBKDF2 of another hash', text: `$pbkdf2-sha256$i=4096$${salt}$${tag}` },
  { name: 'MD5-crypt of other systems', text: '$1$r31a5$o4FYhXldbKWDCEj0XtbV50' },
  { name: 'Apache MD5 with stray bits', text: '$apr1$r31a5$o4FYhXldbKWDCEj0XtbV5z' },
  { name: 'SHA-1 of another length', text: '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g' },
  { name: 'salted SHA-1', text: '{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=' },
  { name: 'a line break at the end', text: '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n' },
  { name: 'DES crypt', text: 'rqXexS6ZhobKA' },
]
for (const { name, text } of refused) {
  test(`not read: ${name}`, () => assert.equal(parseVerifier(text), undefined))
}

test('what is formatted is parsed back', () => {
  const made = (): StoredVerifier[] => [
    {
      kind: 'argon2id',
      memoryKib: randomInt(64, 50_000),
      passes: randomInt(1, 10),
      parallelism: randomInt(1, 5),
      salt: randomBytes(randomInt(8, 65)),
      tag: randomBytes(randomInt(16, 65)),
    },
    { kind: 'bcrypt', version: '2y', cost: randomInt(4, 16), salt: randomBytes(16), tag: randomBytes(23) },
    {
      kind: 'pbkdf2-sha512',
      iterations: randomInt(1, 2_000_000),
      salt: randomBytes(randomInt(8, 65)),
      tag: randomBytes(randomInt(32, 65)),
    },
    { kind: 'apr1', salt: 'ab./Z'.slice(0, randomInt(1, 6)), tag: randomBytes(16) },
    { kind: 'sha1', tag: randomBytes(20) },
  ]
  for (let round = 0; round < 200; round += 1) {
    for (const verifier of made()) {
      const text = formatVerifier(verifier)
      const back = parseVerifier(text)
      assert.ok(back !== undefined, text)
      assert.equal(formatVerifier(back), text)
      assert.deepEqual(Buffer.from(back.tag), Buffer.from(verifier.tag))
    }
  }
})

test('cut, changed and random texts are another verifier or none', () => {
  for (let round = 0; round < 3_000; round += 1) {
    const { text } = known[round % known.length] ?? { text: '' }
    const at = randomInt(text.length)
    const changed =
      round % 3 === 0
        ? text.slice(0, at)
        : round % 3 === 1
          ? text.slice(0, at) + String.fromCharCode(randomInt(1, 0x180)) + text.slice(at + 1)
          : text.slice(0, at) + randomBytes(randomInt(1, 80)).toString('latin1')
    const parsed = parseVerifier(changed)
    if (parsed !== undefined) assert.equal(formatVerifier(parsed), changed)
  }
})

test('a thread that was closed says that it does not know', async () => {
  const gone = createHashThread()
  const verifier = parseVerifier('$2b$15$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i')
  assert.ok(verifier !== undefined)
  const checks = Promise.allSettled([isVerifiedBy(verifier, 'abc', gone), isVerifiedBy(verifier, 'abc', gone)])
  await gone.close()
  for (const check of await checks) assert.equal(check.status, 'rejected')
  await assert.rejects(isVerifiedBy(verifier, 'abc', gone))
})
