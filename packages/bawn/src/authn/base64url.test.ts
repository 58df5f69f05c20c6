import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeBase64Url } from './base64url.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const others = ['=', '+', '/', ' ', '\n', '.', 'é', '中', '\0']

test('a text is decoded where it is the one that its bytes encode to, and no other', () => {
  const letters = [...alphabet, ...others]
  let decoded = 0
  const check = (text: string): void => {
    const bytes = Buffer.from(text, 'base64url')
    const found = decodeBase64Url(text)
    if (bytes.toString('base64url') === text) {
      assert.deepEqual(found, bytes)
      decoded += 1
    } else assert.equal(found, undefined, JSON.stringify(text))
  }
  for (const before of ['', 'AAAA', 'abcdefgh', 'ab=d']) {
    check(before)
    for (const first of letters) {
      check(before + first)
      for (const second of letters) check(before + first + second)
    }
    for (const second of letters) for (const third of letters) check(`${before}z${second}${third}`)
  }
  // For each of three beginnings: nothing, a byte in two letters, two bytes in three.
  assert.equal(decoded, 3 * (1 + 64 * 4 + 64 * 16))
})
