import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pluginOptions } from './option.ts'

const rows: readonly (readonly [module: string, isGood: boolean])[] = [
  ['./badge.ts', true],
  ['./plugins/my badge.js', true],
  ['bawn-badge', true],
  ['@corp/badge', true],
  ['@corp/badge/plugin.js', true],
  ['badge/dist/index.js', true],
  ['', false],
  ['.', false],
  ['./', false],
  ['/etc/badge.ts', false],
  ['../badge.ts', false],
  ['./../badge.ts', false],
  ['./plugins/../../badge.ts', false],
  ['badge/../../x', false],
  ['.\\..\\badge.ts', false],
  ['file:///etc/badge.ts', false],
  ['https://example.com/badge.js', false],
  ['data:text/javascript,export default {}', false],
  ['node:fs', false],
  ['#internal', false],
  ['@corp', false],
  ['Badge', false],
  ['badge.ts\0', false],
]
for (const [module, isGood] of rows) {
  test(`${JSON.stringify(module)} is ${isGood ? 'a module of the folder' : 'no module of the folder'}`, () => {
    assert.equal(pluginOptions.safeParse({ module }).success, isGood)
  })
}

test('a digest is one, and an answer has a time', () => {
  const module = './a.js'
  assert.equal(pluginOptions.parse({ module }).timeout, 5_000)
  assert(pluginOptions.safeParse({ module, integrity: `sha256-${'A'.repeat(43)}=` }).success)
  for (const integrity of ['sha256-AA==', `sha512-${'A'.repeat(43)}=`, 'a'.repeat(64), '']) {
    assert(!pluginOptions.safeParse({ module, integrity }).success, integrity)
  }
  assert(!pluginOptions.safeParse({ module, timeout: '0s' }).success)
})
