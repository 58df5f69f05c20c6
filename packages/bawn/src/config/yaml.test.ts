import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'
import { excerptOf } from './problem.ts'
import { maxConfigBytes, parseYaml } from './yaml.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const example = readFileSync(new URL('example.yaml', import.meta.url))

test('words of YAML 1.1 stay text', () => {
  const parsed = parseYaml('x', encode('a: off\nb: yes\nc: on\nd: 0777\ne: null\nf: true\n'))
  assert.equal(parsed.kind, 'ok')
  if (parsed.kind === 'ok') {
    assert.deepEqual(parsed.source.value, { a: 'off', b: 'yes', c: 'on', d: 777, e: null, f: true })
  }
})

const hostile: readonly { readonly name: string; readonly bytes: Uint8Array; readonly says: RegExp }[] = [
  { name: 'a file over the limit', bytes: new Uint8Array(maxConfigBytes + 1), says: /more than 1048576 are not read/ },
  { name: 'bytes that are no UTF-8', bytes: Uint8Array.of(0x61, 0x3a, 0x20, 0xff), says: /not UTF-8/ },
  {
    name: 'a billion laughs',
    bytes: encode(
      `a0: &a0 [x, x]\n${Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]\n`).join('')}`,
    ),
    says: /aliases/,
  },
  { name: 'an anchor inside itself', bytes: encode('a: &a [*a]\n'), says: /./ },
  { name: 'nesting without end', bytes: encode(`a: ${'['.repeat(200_000)}`), says: /./ },
  { name: 'deep nesting', bytes: encode(`a: ${'['.repeat(100)}${']'.repeat(100)}`), says: /nested deeper than 64/ },
  { name: 'another YAML version', bytes: encode('%YAML 1.1\n---\na: yes\n'), says: /only 1\.2/ },
  { name: 'an empty file', bytes: encode(''), says: /empty/ },
  { name: 'a file of comments', bytes: encode('# nothing\n'), says: /empty/ },
  { name: 'a single word', bytes: encode('bawn'), says: /must be a set of keys/ },
  { name: 'a list', bytes: encode('- a\n- b\n'), says: /must be a set of keys/ },
]
for (const { name, bytes, says } of hostile) {
  test(`${name} is refused with words`, () => {
    const loaded = parseConfig('bawn.yaml', bytes)
    assert.equal(loaded.kind, 'invalid')
    if (loaded.kind === 'invalid') assert.match(loaded.problems[0]?.message ?? '', says)
  })
}

test('many keys in one place take no longer than their number', () => {
  const many = Array.from({ length: 60_000 }, (_, n) => `k${n}: 1`).join('\n')
  assert.equal(parseYaml('x', encode(many)).kind, 'ok')
})

test('a literal secret is not printed', () => {
  for (const line of [
    'password: hunter2',
    '  login: { user: x, password: "hunter2 x" }',
    'master: hunter2 # comment',
    "'client_secret': 'hunter2'",
    'api_key: hunter2',
    'password: &name hunter2',
    'url: https://user:hunter2@orders.example/',
  ]) {
    assert.doesNotMatch(excerptOf(line), /hunter2/, line)
  }
  for (const line of ['password: env:DB', 'master: file:/run/key', 'token_file: data/x', 'accounts: { a: 1 }']) {
    assert.equal(excerptOf(line), line)
  }
  assert.equal(excerptOf('a: \u001b[31mred'), 'a: \ufffd[31mred')
})

/** Small and repeatable (mulberry32): a failing seed can be run again. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

test('whatever is done to the example, it loads or its problems have places', () => {
  const pieces = [
    '\n',
    '\t',
    ': ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '&a ',
    '*a',
    '!x ',
    '#',
    '|',
    '>',
    '%',
    '---\n',
    '\0',
    'é',
    '1',
    'null',
    '__proto__: ',
  ]
  for (let seed = 1; seed <= 400; seed++) {
    const next = random(seed)
    const below = (limit: number): number => Math.floor(next() * limit)
    let text = example.toString()
    for (let edits = 1 + below(4); edits > 0; edits--) {
      const at = below(text.length)
      const length = below(2) * below(40)
      const put = below(3) === 0 ? text.slice(below(text.length)).slice(0, 30) : (pieces[below(pieces.length)] ?? '')
      text = text.slice(0, at) + put + text.slice(at + length)
    }
    const bytes = encode(below(10) === 0 ? text.slice(0, below(text.length)) : text)
    if (below(20) === 0) bytes[below(bytes.length)] = below(256)
    const loaded = parseConfig('bawn.yaml', bytes)
    if (loaded.kind === 'ok') continue
    assert.ok(loaded.problems.length > 0, `seed ${seed}`)
    const count = new TextDecoder().decode(bytes).split('\n').length
    for (const problem of loaded.problems) {
      assert.ok(
        problem.line >= 1 && problem.line <= count && problem.column >= 1,
        `seed ${seed}: ${problem.line}:${problem.column}`,
      )
      assert.notEqual(problem.message, '', `seed ${seed}`)
    }
  }
})

test('random bytes are refused', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed)
    const bytes = Uint8Array.from({ length: Math.floor(next() * 300) }, () =>
      Math.floor(next() * (seed % 2 ? 128 : 256)),
    )
    assert.equal(parseConfig('bawn.yaml', bytes).kind, 'invalid', `seed ${seed}`)
  }
})
