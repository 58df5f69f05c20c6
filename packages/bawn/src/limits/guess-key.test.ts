import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { GatewayError } from '../error.ts'
import { guessDigest, parseGuessKey } from './guess-key.ts'

test('a key is base64 of 32 bytes or more; an error says nothing of it', () => {
  for (const text of [
    '',
    'short',
    randomBytes(31).toString('base64'),
    'ä'.repeat(64),
    randomBytes(513).toString('base64'),
  ])
    assert.throws(
      () => parseGuessKey(text),
      error =>
        error instanceof GatewayError &&
        error.code === 'gateway.bad_guess_key' &&
        (text === '' || !error.message.includes(text)),
    )
})

test('nodes with the same key say the same, nodes with another do not', () => {
  const text = randomBytes(32).toString('base64')
  const [one, same, other] = [text, `${text}\n`, randomBytes(32).toString('base64')].map(key =>
    guessDigest(parseGuessKey(key))('alice'),
  )
  assert.match(one ?? '', /^[A-Za-z0-9_-]{22}$/)
  assert.equal(same, one)
  assert.notEqual(other, one)
})
