import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { get, startDoor, startUpstream } from './kit.test.ts'
import { aclRuleOptions } from './option.ts'

for (const engine of ['llhttp', 'node-http']) {
  test(`who has left before its address could be had asks for nothing (${engine})`, async t => {
    const seen: string[] = []
    const upstream = await startUpstream(t, (request, response) => {
      seen.push(request.url ?? '')
      response.end('here')
    })
    const acl = [aclRuleOptions.parse({ name: 'not-from-here', effect: 'deny', addresses: ['local'] })]
    const kit = await startDoor(t, { upstream, acl, listener: { engine } })
    const request = 'GET /reset HTTP/1.1\\r\\nHost: gate.example\\r\\n\\r\\n'
    // In a process of its own, while this one sees nothing: when it looks, the request is there and the client is not.
    execFileSync(process.execPath, [
      '-e',
      `const s = require('node:net').connect(${kit.port}, '127.0.0.1', () => s.write('${request}', () => s.resetAndDestroy()))`,
    ])
    assert.equal((await get(kit.port, '/after')).status, 401)
    assert.deepEqual(seen, [])
    assert.deepEqual(
      kit.events.flatMap(event => ('address' in event ? [event.address] : [])),
      ['127.0.0.1'],
    )
  })
}
