import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { withoutLogins } from './door-state.fixture.ts'
import { listenPostgres } from './listener.ts'
import { postgresListenerOptions } from './option.ts'
import type { DoorState } from './state.ts'

const startup = (user: string): Buffer => {
  const parameters = Buffer.from(`user\0${user}\0database\0shop\0\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(8 + parameters.length)
  head.writeInt32BE(196_608, 4)
  return Buffer.concat([head, parameters])
}

test('who has left before its address could be had does not log in', async t => {
  const asked: { readonly user: string | undefined; readonly address: string }[] = []
  const state: DoorState = {
    databases: new Map(),
    hostRules: {
      match: ({ user, address }) => {
        asked.push({ user, address })
        return { kind: 'none' }
      },
    },
    ...withoutLogins(),
    catalogue: { fields: [], find: () => undefined, view: () => assert.fail('no fields') },
    audit: { emit: () => {}, commit: () => {}, head: '', close: async () => {} },
    auditStatements: 'protected',
    log: () => {},
    now: () => 0,
  }
  const options = postgresListenerOptions.parse({ door: 'postgres', address: '127.0.0.1:0' })
  const listener = await listenPostgres(
    { host: '127.0.0.1', port: 0 },
    { ...options, name: 'database', tls: undefined },
    state,
  )
  t.after(() => listener.drain(0))
  const { port } = listener.address
  // In a process of its own, while this one sees nothing: when it looks, the startup packet is there and the client is not.
  const reset = `const s = require('node:net').connect(${port}, '127.0.0.1', () =>
    s.write(Buffer.from('${startup('gone').toString('hex')}', 'hex'), () => s.resetAndDestroy()))`
  execFileSync(process.execPath, ['-e', reset])
  const client = connect(port, '127.0.0.1')
  client.resume().on('error', () => {})
  client.write(startup('here'))
  await once(client, 'close')
  assert.deepEqual(asked, [{ user: 'here', address: '127.0.0.1' }])
})
