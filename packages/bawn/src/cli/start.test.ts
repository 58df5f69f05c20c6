import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { ReloadResult } from '../admin/reload.ts'
import { GatewayError } from '../error.ts'
import type { RunningServer } from '../server.ts'
import { serve } from './start.ts'

function session(server: Partial<RunningServer>) {
  const signals = new EventEmitter()
  let text = ''
  const ended = serve(
    {
      addresses: {},
      reload: async () => ({ kind: 'reloaded', changes: [], warnings: [] }),
      close: async () => {},
      ...server,
    },
    signals,
    {
      stdin: Readable.from([]),
      out: () => {},
      err: more => {
        text += more
      },
      env: {},
      cwd: '/',
      now: () => 0,
    },
    5000,
  )
  return { signals, ended, text: () => text }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('SIGTERM drains for the time that was given, and ends with 0', async () => {
  const given: number[] = []
  const { signals, ended, text } = session({
    close: async timeoutMs => {
      given.push(timeoutMs)
    },
  })
  signals.emit('SIGTERM')
  assert.equal(await ended, 0)
  assert.deepEqual(given, [5000])
  assert.match(text(), /^draining: .*\nstopped\n$/)
  assert.equal(signals.listenerCount('SIGTERM') + signals.listenerCount('SIGINT') + signals.listenerCount('SIGHUP'), 0)
})

test('a second signal ends at once', async () => {
  const { signals, ended, text } = session({ close: () => new Promise(() => {}) })
  signals.emit('SIGINT')
  await turn()
  signals.emit('SIGTERM')
  assert.equal(await ended, 1)
  assert.match(text(), /stopped at once/)
})

test('SIGHUP reloads, one after the other; what is refused changes nothing', async () => {
  const results: (() => Promise<ReloadResult>)[] = [
    async () => ({ kind: 'reloaded', changes: ['policy staff changed'], warnings: [] }),
    async () => ({ kind: 'refused', problems: [] }),
    async () => {
      throw new GatewayError('config.invalid', 'the disk is gone')
    },
    async () => {
      throw new TypeError('hunter2')
    },
  ]
  const { signals, ended, text } = session({
    reload: () => results.shift()?.() ?? Promise.reject(new Error('one too many')),
  })
  for (let count = results.length; count > 0; count--) signals.emit('SIGHUP')
  while (results.length > 0) await turn()
  await turn()
  signals.emit('SIGTERM')
  assert.equal(await ended, 0)
  assert.equal(
    text().split('draining')[0],
    [
      'reloaded:',
      '  policy staff changed',
      'refused: kept the last good configuration',
      'error: config.invalid: the disk is gone',
      'kept the last good configuration',
      'error: gateway.bug',
      'kept the last good configuration',
      '',
    ].join('\n'),
  )
})
