import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Terminal } from './command.ts'
import { readSecret } from './secret-input.ts'

function terminal(isTTY: boolean) {
  const raw: boolean[] = []
  let text = ''
  const stdin = Object.assign(new PassThrough(), { isTTY, setRawMode: (on: boolean) => raw.push(on) })
  const self: Terminal = {
    stdin,
    out: () => {},
    err: more => {
      text += more
    },
    env: {},
    cwd: '/',
    now: () => 0,
  }
  return { self, stdin, raw, text: () => text }
}

test('at a terminal the secret is asked for twice, and never shown', async () => {
  const { self, stdin, raw, text } = terminal(true)
  const read = readSecret(self, 'Password', true)
  stdin.write('secrex\u007ft one\r')
  await new Promise(resolve => setImmediate(resolve))
  stdin.write('secret one\n')
  assert.equal(await read, 'secret one')
  assert.equal(text(), 'Password: \nPassword again: \n')
  assert.deepEqual(raw, [true, false, true, false])
})

test('two that differ, and Control-C, are no secret', async () => {
  const differing = terminal(true)
  const read = readSecret(differing.self, 'Password', true)
  differing.stdin.write('one\n')
  await new Promise(resolve => setImmediate(resolve))
  differing.stdin.write('other\n')
  await assert.rejects(read, /the two are not the same/)
  const interrupted = terminal(true)
  const none = readSecret(interrupted.self, 'Password', false)
  interrupted.stdin.write('one\u0003')
  await assert.rejects(none, /no password was given/)
  assert.deepEqual(interrupted.raw, [true, false])
})

test('from a pipe it is one line, of a length that is bearable', async () => {
  for (const [written, expected] of [
    ['a b\n', 'a b'],
    ['a b\r\n', 'a b'],
    ['a b', 'a b'],
    ['', ''],
    ['a\nb\n', /more than one line/],
    ['x'.repeat(5000), /at most 4096 bytes/],
  ] as const) {
    const { self, stdin } = terminal(false)
    stdin.end(written)
    const read = readSecret(self, 'Password', true)
    if (typeof expected === 'string') assert.equal(await read, expected)
    else await assert.rejects(read, expected)
  }
})
