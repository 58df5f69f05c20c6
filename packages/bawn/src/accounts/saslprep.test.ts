import assert from 'node:assert/strict'
import { test } from 'node:test'
import { saslprep } from './saslprep.ts'

// The examples of RFC 4013 section 3 come first.
const rows: readonly { readonly name: string; readonly input: string; readonly output: string | undefined }[] = [
  { name: 'SOFT HYPHEN is mapped to nothing', input: 'I\u00adX', output: 'IX' },
  { name: 'plain ASCII is not changed', input: 'user', output: 'user' },
  { name: 'case is kept', input: 'USER', output: 'USER' },
  { name: 'output is NFKC, FEMININE ORDINAL', input: '\u00aa', output: 'a' },
  { name: 'output is NFKC, ROMAN NUMERAL NINE', input: '\u2168', output: 'IX' },
  { name: 'ASCII control characters alone come back, as in PostgreSQL', input: '\u0007', output: '\u0007' },
  { name: 'a control character among others is prohibited', input: '\u0007\u00e9', output: undefined },
  { name: 'a bidirectional string that ends in a digit is refused', input: '\u06271', output: undefined },
  {
    name: 'right-to-left letters with a neutral between are permitted',
    input: '\u0627 \u0628',
    output: '\u0627 \u0628',
  },
  { name: 'right-to-left and left-to-right letters are not mixed', input: '\u0627a\u0628', output: undefined },
  { name: 'NO-BREAK SPACE becomes a space', input: 'a\u00a0b', output: 'a b' },
  { name: 'a decomposed letter is composed', input: 'e\u0301', output: '\u00e9' },
  { name: 'what is unassigned in Unicode 3.2 is refused', input: '\u0221', output: undefined },
  { name: 'an emoji is newer than Unicode 3.2', input: '\u{1f511}', output: undefined },
  { name: 'private use is prohibited', input: '\ue000', output: undefined },
  { name: 'a lone surrogate is prohibited', input: '\ud800', output: undefined },
  { name: 'the empty string is refused', input: '', output: undefined },
  { name: 'nothing left is refused', input: '\u00ad', output: undefined },
]

for (const row of rows) {
  test(row.name, () => assert.equal(saslprep(row.input), row.output))
}

test('preparing what is prepared changes nothing', () => {
  for (let codePoint = 0x80; codePoint < 0x11000; codePoint++) {
    const once = saslprep(String.fromCodePoint(codePoint))
    if (once !== undefined) assert.equal(saslprep(once), once, codePoint.toString(16))
  }
})
