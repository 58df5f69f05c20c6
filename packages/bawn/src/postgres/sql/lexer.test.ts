import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LexerLimits, lex } from './lexer.ts'

const limits: LexerLimits = { tokens: 1_000, nesting: 10, chain: 20 }

function tokens(sql: string): readonly string[] | string {
  const bytes = Buffer.from(sql)
  const lexed = lex(bytes, limits)
  if (lexed.kind !== 'tokens') return lexed.kind
  return lexed.tokens.map(({ kind, start, end }) => `${kind} ${bytes.toString('utf8', start, end)}`)
}

const rows: readonly (readonly [name: string, sql: string, expected: readonly string[] | string])[] = [
  [
    'words, marks, numbers',
    'a_1$ (2.5e-3, .5)',
    ['word a_1$', 'mark (', 'number 2.5e-3', 'mark ,', 'number .5', 'mark )'],
  ],
  ['a quote is doubled', `'it''s' "a""b"`, ["string 'it''s'", 'quoted "a""b"']],
  ['a backslash escapes in E strings only', `E'\\'' '\\'`, ["string E'\\''", "string '\\'"]],
  [
    'prefixes',
    `b'0' X'f' n'a' U&'a' u&"a" e 'a'`,
    ["string b'0'", "string X'f'", "string n'a'", "string U&'a'", 'quoted u&"a"', 'word e', "string 'a'"],
  ],
  ['a string goes on after a line end', "'a' \n 'b' 'c'", ["string 'a' \n 'b'", "string 'c'"]],
  ['dollar quotes', '$$a$b$$ $t$ $$ $t$ $1 a$$', ['string $$a$b$$', 'string $t$ $$ $t$', 'parameter $1', 'word a$$']],
  ['comments, nested ones too', 'a -- b\nc /* d /* e */ f */ g', ['word a', 'word c', 'word g']],
  ['operators end before a comment', 'a+--b\nc*/**/d', ['word a', 'operator +', 'word c', 'operator *', 'word d']],
  [
    'an operator does not end in a sign, but for some',
    'a=-1 @- 2',
    ['word a', 'operator =', 'operator -', 'number 1', 'operator @-', 'number 2'],
  ],
  ['a cast', "'a'::text", ["string 'a'", 'operator ::', 'word text']],
  ['letters beyond ASCII', 'é €', ['word é', 'word €']],
  ['an open string', "'a", 'unterminated'],
  ['an open E string', "E'a\\'", 'unterminated'],
  ['an open identifier', '"a', 'unterminated'],
  ['an open dollar quote', '$a$ b $A$', 'unterminated'],
  ['an open comment', 'a /* b', 'unterminated'],
  ['too deep', '('.repeat(10), 'too_complex'],
  ['deep enough', '('.repeat(9), Array(9).fill('mark (')],
  ['brackets count as parentheses do', '['.repeat(10), 'too_complex'],
  ['parentheses in a string do not count', `'${'('.repeat(50)}'`, [`string '${'('.repeat(50)}'`]],
  ['a long chain', 'a+'.repeat(21), 'too_complex'],
  [
    'chains between commas are separate',
    'a+b+c,'.repeat(30),
    Array(30).fill(['word a', 'operator +', 'word b', 'operator +', 'word c', 'mark ,']).flat(),
  ],
  ['chains within parentheses add up', '(a+b+c '.repeat(5) + '+'.repeat(1) + ' - '.repeat(12), 'too_complex'],
  ['words that nest count', 'not '.repeat(21), 'too_complex'],
  ['too many tokens', ';'.repeat(1_001), 'too_complex'],
]

test('tokens', async t => {
  for (const [name, sql, expected] of rows) {
    await t.test(name, () => {
      assert.deepEqual(tokens(sql), expected)
    })
  }
})

test('any bytes give tokens in order, or say why not', () => {
  let seed = 1
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return seed % below
  }
  const alphabet = Buffer.from('\'"$$$EeuU&xa1. +-*/=()[],;:\\\n\xe9\x00', 'latin1')
  for (let round = 0; round < 5_000; round++) {
    const text = Uint8Array.from({ length: random(40) }, () => alphabet[random(alphabet.length)] ?? 0)
    const lexed = lex(text, limits)
    if (lexed.kind !== 'tokens') continue
    let at = 0
    for (const token of lexed.tokens) {
      assert(token.start >= at && token.end > token.start && token.end <= text.length)
      at = token.end
    }
  }
})
