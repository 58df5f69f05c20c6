import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { resolveSecret, SecretError } from './secret.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-secret-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return `file:${path}`
}

test('a secret comes from the environment or a file, without the line feed at its end', () => {
  assert.deepEqual(resolveSecret('env:X', { X: ' a ' }), { value: ' a ', warning: undefined })
  assert.equal(resolveSecret(file('lf', 's3cret\n'), {}).value, 's3cret')
  assert.equal(resolveSecret(file('crlf', 's3cret\r\n'), {}).value, 's3cret')
  assert.equal(resolveSecret(file('two', 's3cret\n\n'), {}).value, 's3cret\n')
})

test('a file that others may read is warned of', () => {
  assert.match(resolveSecret(file('open', 'x', 0o644), {}).warning ?? '', /^UNSAFE: others may read .* \(mode 0644\)/)
  assert.equal(resolveSecret(file('shut', 'x', 0o400), {}).warning, undefined)
})

const refused = [
  ['an unset variable', 'env:NOPE', /env:NOPE: no such environment variable/],
  ['an empty variable', 'env:EMPTY', /env:EMPTY: the environment variable is empty/],
  ['a missing file', `file:${folder}/nope`, /nope: the file cannot be read \(ENOENT\)/],
  ['an empty file', file('empty', '\n'), /the file is empty/],
  ['a large file', file('large', 'x'.repeat(70_000)), /more than 65536 bytes/],
  ['a literal', 'hunter2', /this is neither/],
] as const
for (const [name, reference, says] of refused) {
  test(`${name} is refused; the error names the reference and no value`, () => {
    assert.throws(
      () => resolveSecret(reference, { EMPTY: '' }),
      (error: unknown) => {
        assert.ok(error instanceof SecretError)
        assert.equal(error.code, 'config.secret')
        assert.match(error.message, says)
        assert.doesNotMatch(error.message, /hunter2/)
        return true
      },
    )
  })
}
