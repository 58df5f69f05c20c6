import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutboundCredentials, ProofHeader } from '../../outbound/credentials.ts'
import { OutboundError } from '../../outbound/error.ts'
import { createFixedCredentials } from '../../outbound/fixed.ts'
import { codeOf, everything, get, post, startDoor, startUpstream } from '../kit.test.ts'

/** Tokens t1, t2, …: the next one after each refusal. */
function counting(): OutboundCredentials & { count: number } {
  let proof: ProofHeader | undefined
  return {
    count: 0,
    headers: ['authorization'],
    async proof() {
      if (proof !== undefined) return proof
      this.count++
      proof = { name: 'Authorization', value: `Bearer t${this.count}` }
      return proof
    },
    refused(of) {
      if (of === proof) proof = undefined
      return true
    },
    close() {},
  }
}

test('the upstream gets the gateway’s credential, and never the caller’s', async t => {
  const seen: unknown[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push([request.headers.authorization, request.headers['x-key']])
    response.end('ok')
  })
  const basic = await startDoor(t, { upstream, credentials: createFixedCredentials('Authorization', 'Basic Zm9v') })
  await get(basic.port, '/', ['Authorization: Bearer alice', 'X-Key: mine'])
  const key = await startDoor(t, { upstream, credentials: createFixedCredentials('X-Key', 'gateway') })
  await get(key.port, '/', ['X-Key: mine'])
  assert.deepEqual(seen, [
    ['Basic Zm9v', 'mine'],
    [undefined, 'gateway'],
  ])
  const credentials = createFixedCredentials('X-Key', 'gateway')
  const routes = [{ ...everything, request_headers: ['X-Key'] }]
  await assert.rejects(async () => startDoor(t, { upstream, credentials, routes }), { code: 'http.bad_route' })
  assert.throws(() => createFixedCredentials('X-Key', 'two\r\nlines'), { code: 'outbound.bad_credentials' })
})

test('a 401 renews the token and the request is sent once more; another one is the gateway’s failure', async t => {
  const seen: string[] = []
  let accepted = 'Bearer t2'
  const upstream = await startUpstream(t, (request, response) => {
    let body = ''
    request.on('data', text => {
      body += String(text)
    })
    request.on('end', () => {
      seen.push(`${request.headers.authorization} ${body}`)
      if (request.headers.authorization === accepted) response.end('ok')
      else response.writeHead(401, { 'www-authenticate': 'Bearer realm="inner"' }).end('who are you')
    })
  })
  const credentials = counting()
  const kit = await startDoor(t, { upstream, credentials })
  assert.equal((await get(kit.port, '/')).body, 'ok')
  assert.deepEqual(seen, ['Bearer t1 ', 'Bearer t2 '])
  seen.length = 0
  accepted = 'nobody'
  const refused = await get(kit.port, '/')
  assert.equal(codeOf(refused), 'outbound.refused')
  assert.equal(refused.status, 502)
  assert.equal(refused.headers.get('www-authenticate'), undefined)
  assert.equal(seen.length, 2)
  // A body that streams is gone: the token is renewed for the next one.
  seen.length = 0
  assert.equal(codeOf(await post(kit.port, '/', 'abc')), 'outbound.refused')
  assert.deepEqual(seen, ['Bearer t4 abc'])
  accepted = 'Bearer t5'
  assert.equal((await post(kit.port, '/', 'abc')).body, 'ok')
})

test('without a token nothing is sent', async t => {
  let reached = 0
  const upstream = await startUpstream(t, (_request, response) => {
    reached++
    response.end('ok')
  })
  for (const proof of [
    () => {
      throw new OutboundError('outbound.token_unavailable', 'no token')
    },
    () => Promise.reject(new OutboundError('outbound.token_unavailable', 'no token')),
  ]) {
    const credentials = { headers: ['authorization'], proof, refused: () => false, close: () => {} }
    const kit = await startDoor(t, { upstream, credentials })
    const answer = await get(kit.port, '/')
    assert.equal(codeOf(answer), 'outbound.token_unavailable')
    assert.equal(answer.status, 503)
  }
  assert.equal(reached, 0)
})
