import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { CliError } from './error.ts'
import { reportError } from './report.ts'

test('an error is one line without control characters, whatever it names', () => {
  let text = ''
  const terminal = {
    stdin: Readable.from([]),
    out: () => {},
    err: (more: string) => {
      text += more
    },
    env: {},
    cwd: '/',
    now: () => 0,
  }
  const cause = Object.assign(new Error('no such file \u001b]0;x\u0007'), { code: 'ENOENT' })
  const error = new CliError('cli.failed', 'there is no "\u001b[2J\n"', { cause, suggestion: 'Did you mean \u009b2J?' })
  assert.equal(reportError(error, terminal, false), 1)
  assert.equal(
    text,
    'error: cli.failed: there is no "\\u{1b}[2J\\u{a}" (no such file \\u{1b}]0;x\\u{7})\nhint: Did you mean \\u{9b}2J?\n',
  )
})
