import assert from 'node:assert/strict'
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { createCookieSeal } from './cookie-seal.ts'
import { createFlows, flowMs } from './flow.ts'
import { home, parseReturnTo } from './return-to.ts'

const base = new URL('https://gate.example')
let now = 1_000_000
const seal = createCookieSeal(Buffer.alloc(32, 1))
const options = {
  prefix: '__Host-bawn-login-',
  client: ['https://id.example', 'bawn', 'https://gate.example/cb'],
  base,
}
const flows = createFlows(seal, options, () => now)

test('a flow goes on with what it began with, at any node that has the key, until its time is over', () => {
  const orders = parseReturnTo('/orders?a=b', base) ?? home
  const begun = flows.begin(orders)
  assert.equal(flows.cookieName(begun.state), begun.cookie.name)
  assert(!begun.cookie.name.includes(begun.state.slice(0, 8)))
  const flow = createFlows(createCookieSeal(Buffer.alloc(32, 1)), options, () => now).resume(
    begun.state,
    begun.cookie.value,
  )
  assert.equal(flow?.returnTo, orders)
  assert.equal(flow?.nonce, begun.nonce)
  // RFC 7636 section 4.6
  assert.equal(
    createHash('sha256')
      .update(flow?.verifier ?? '')
      .digest('base64url'),
    begun.challenge,
  )
  assert.match(flow?.verifier ?? '', /^[A-Za-z0-9_-]{43}$/)
  now += flowMs - 1
  assert.notEqual(flows.resume(begun.state, begun.cookie.value), undefined)
  now += 1
  assert.equal(flows.resume(begun.state, begun.cookie.value), undefined)
})

test('a flow is of one state, one key, one client', () => {
  const one = flows.begin(home)
  const two = flows.begin(home)
  assert.equal(flows.resume(two.state, one.cookie.value), undefined)
  assert.equal(
    createFlows(createCookieSeal(randomBytes(32)), options, () => now).resume(one.state, one.cookie.value),
    undefined,
  )
  for (const client of [['https://id.example', 'other', 'https://gate.example/cb'], ['https://id.example']]) {
    assert.equal(createFlows(seal, { ...options, client }, () => now).resume(one.state, one.cookie.value), undefined)
  }
})

test('what is no state has no cookie, and nothing else opens', () => {
  const { state, cookie } = flows.begin(home)
  for (const text of [
    '',
    'x',
    state.slice(1),
    `${state}A`,
    `${state.slice(1)}=`,
    `${state.slice(1)}\n`,
    '../../../etc',
  ]) {
    assert.equal(flows.cookieName(text), undefined, text)
    assert.equal(flows.resume(text, cookie.value), undefined, text)
  }
  for (let round = 0; round < 500; round++) {
    assert.equal(flows.resume(state, randomBytes(randomInt(0, 300)).toString('base64url')), undefined)
    assert.equal(flows.resume(state, cookie.value.slice(0, randomInt(0, cookie.value.length))), undefined)
  }
})
