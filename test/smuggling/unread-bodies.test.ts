import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answers, engines, exchange, startGateway } from './gateway.ts'
import { install } from './install.ts'
import { hidden } from './payload.ts'
import { startUnread } from './servers.ts'

// A server that leaves bodies unread takes them for the next request: no gateway can see that. Where the operator says so, it is told with each
// request that has a body that there is no next one.

const chunked = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`
const methods = ['POST', 'PUT', 'PATCH', 'DELETE', 'GET']
const installed = await install()

for (const [upstream, isProtected] of [
  ['reuse_after_body: false', true],
  ['', false],
] as const) {
  test(`bodies that are left unread, with "${upstream}"`, async t => {
    const server = await startUnread(installed)
    t.after(() => server.stop())
    const gateway = await startGateway(t, server.port, { upstream })
    const sent: string[] = []
    for (const engine of engines) {
      for (const method of isProtected ? methods : ['POST']) {
        for (const body of [
          `Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
          `Transfer-Encoding: chunked\r\n\r\n${chunked}`,
        ]) {
          const target = `/unread?${sent.length}`
          sent.push(target)
          await exchange(
            gateway.ports[engine],
            `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${body}`,
          )
          const next = `/next?${sent.length}`
          sent.push(next)
          const got = await exchange(
            gateway.ports[engine],
            `GET ${next} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
          )
          if (!isProtected) continue
          const [answer] = answers(got)
          assert.equal(answer?.status, 200, answer?.body)
          assert.equal(JSON.parse(answer.body).target, next, 'the next client gets its own answer')
        }
      }
    }
    const others = server.seen
      .filter(({ target }) => !sent.includes(target))
      .map(({ method, target }) => `${method} ${target}`)
    if (isProtected) {
      assert.deepEqual(others, [])
      assert.equal(server.seen.length, sent.length)
    } else {
      // If this fails, the page about strictness may say more.
      assert.ok(others.includes('GET /admin/hidden'), String(others))
    }
  })
}
