import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { parse, raw, startDoor, startUpstream } from './kit.test.ts'
import { RequestParser } from './llhttp.ts'

// The two engines read the same bytes in the same way: what one refuses, the other refuses, and what reaches an upstream is the same.

const seeds = [
  'GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde',
  'POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n',
  'PUT /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n2;e=f\r\nab\r\n3\r\ncde\r\n0\r\nT: u\r\n\r\n',
  'GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
]
const morsels = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '0',
  '5',
  'a',
  '\xff',
  'chunked',
  '\r\n ',
  '\r\n\r\n',
]

function mutate(text: string): string {
  let result = text
  for (let change = randomInt(1, 4); change > 0; change--) {
    const at = randomInt(result.length)
    const morsel = morsels[randomInt(morsels.length)] ?? ''
    const cut = randomInt(3)
    result = result.slice(0, at) + morsel + result.slice(at + cut)
  }
  return result
}

/** Node reads on while an answer is under way, and refuses a good request for what stands behind it: so nothing stands behind it. */
function firstRequest(text: string): string {
  const parser = new RequestParser(16_384)
  const bytes = Buffer.from(text, 'latin1')
  let at = 0
  try {
    while (at < bytes.length) {
      const found = parser.execute(bytes.subarray(at))
      if (found.error !== undefined) return text
      at += found.consumed
      if (found.complete) return text.slice(0, at)
    }
    return text
  } finally {
    parser.free()
  }
}

async function start(t: TestContext, engine: string) {
  const seen: string[] = []
  const upstream = await startUpstream(t, (request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', text => {
      body += text
    })
    request.on('end', () => {
      const { 'x-request-id': _id, host: _host, ...headers } = request.headers
      seen.push(`${request.method} ${request.url} ${JSON.stringify(headers)} ${body}`)
      response.end('ok')
    })
    request.on('error', () => response.destroy())
  })
  const times = { header_timeout: '40ms', request_timeout: '40ms', keep_alive_timeout: '20ms' }
  const kit = await startDoor(t, { upstream, listener: { engine, ...times } })
  return async (text: string) => {
    seen.length = 0
    const answer = await raw(kit.port, text)
    return { status: answer.includes('\r\n\r\n') ? parse(answer).status : 0, seen: [...seen] }
  }
}

test('what one engine refuses the other refuses, and upstreams see the same of both', async t => {
  const [ours, nodes] = await Promise.all([start(t, 'llhttp'), start(t, 'node-http')])
  let refused = 0
  for (let round = 0; round < 100; round++) {
    const text = firstRequest(mutate(seeds[round % seeds.length] ?? ''))
    let [a, b] = await Promise.all([ours(text), nodes(text)])
    // What has to wait for more is ended by a short time-out, which a busy machine may miss: a real difference is there each time.
    for (let again = 0; again < 5 && !isDeepStrictEqual(a, b); again++)
      [a, b] = await Promise.all([ours(text), nodes(text)])
    if (a.status >= 400) refused++
    assert.deepEqual(a, b, JSON.stringify(text))
  }
  assert.ok(refused > 5, 'the changes do some harm')
})
