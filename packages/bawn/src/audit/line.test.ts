import assert from 'node:assert/strict'
import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import type { AuditEvent } from './event.ts'
import { formatBody, formatLine, genesisMac, macOf, maxLineBytes, nextMac, parseLine } from './line.ts'

const key = createSecretKey(Buffer.alloc(32, 1))
const at = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const event: AuditEvent = {
  kind: 'login',
  requestId: 'r1',
  door: 'postgres',
  identity: undefined,
  claimedName: 'alice',
  address: '10.0.0.1',
  action: 'connect',
  resource: 'shop',
  decision: 'deny',
  rule: 'host rule 2',
  code: 'wrong-password',
}

const genesis = genesisMac.toString('hex')

test('the mac of the next line as text is that of its bytes, short, long or beyond ASCII', () => {
  for (const body of [
    '',
    'a',
    'é'.repeat(100),
    '中'.repeat(2_730),
    'x'.repeat(2_731),
    'y'.repeat(10_000),
    '\u{1f600}'.repeat(4_000),
  ]) {
    const previous = macOf(key, genesisMac, body.slice(1))
    const wanted = createHmac('sha256', key).update(previous).update(body).digest('hex')
    assert.equal(nextMac(key, previous.toString('hex'), body), wanted)
    assert.equal(macOf(key, previous, body).toString('hex'), wanted)
  }
})

test('the line of docs/format/audit.md', () => {
  const body = formatBody(1, at, event)
  const line = formatLine(body, nextMac(key, genesis, body))
  assert.equal(
    line,
    '{"n":1,"at":"2026-01-02T03:04:05.006Z","kind":"login","request":"r1","door":"postgres","claimedName":"alice","address":"10.0.0.1","action":"connect","resource":"shop","decision":"deny","rule":"host rule 2","code":"wrong-password","mac":"9fc1fd9ea012fc87ff9356ff62ede50859a25b9fda63d281c84b25d1f0e461af"}\n',
  )
})

test('the mac is HMAC-SHA256 of the mac before and the body, whatever key and body', () => {
  for (const keyBytes of [16, 32, 64, 65, 200]) {
    const anyKey = createSecretKey(randomBytes(keyBytes))
    let previous = genesisMac
    for (const body of [
      '',
      'a',
      'x'.repeat(2_730),
      'x'.repeat(2_731),
      'é\u{1f600}\ud800'.repeat(400),
      'y'.repeat(200_000),
    ]) {
      for (const form of [body, Buffer.from(body)]) {
        const expected = createHmac('sha256', anyKey).update(previous).update(form).digest()
        assert.deepEqual(macOf(anyKey, previous, form), expected)
        previous = expected
      }
    }
  }
})

test('of hints a line has all, or who decided', () => {
  const said = (hints: AuditEvent['hints']) => JSON.parse(`${formatBody(1, at, { ...event, hints })}}`).hints
  const told = {
    by: 'hints.rows.0',
    where: 'a = @user',
    values: { user: 'ann\u202e' },
    fields: { mail: 'masked' },
  } as const
  assert.deepEqual(said(told), told)
  assert.ok(!formatBody(1, at, { ...event, hints: told }).includes('\u202e'))
  assert.deepEqual(said({ ...told, where: 'x'.repeat(40_000) }), { by: 'hints.rows.0', characters: 40_089 })
})

test('times are those of ISO 8601, in whatever order they come', () => {
  for (const ms of [at, at + 1, at + 993, at + 994, at - 7, 0, 999, 1_000, at])
    assert.ok(formatBody(1, ms, event).includes(`"at":"${new Date(ms).toISOString()}"`))
})

test('a line is JSON, and parses into what was signed', () => {
  const identity = createIdentity({
    id: 'a',
    roles: ['x', 'y'],
    claims: { secret: 1 },
    clientId: 'client',
    mechanism: 'scram',
    source: 's',
    expiresAt: 5,
  })
  const body = formatBody(12, at, { ...event, identity, fields: [{ field: 'email', as: 'plain', count: 3 }] })
  const line = Buffer.from(formatLine(body, nextMac(key, genesis, body)))
  const parsed = parseLine(line.subarray(0, -1))
  assert.equal(parsed?.n, 12)
  assert.equal(parsed.body.toString(), body)
  const value = JSON.parse(line.toString())
  assert.deepEqual(value.identity, { id: 'a', roles: ['x', 'y'], mechanism: 'scram', source: 's', clientId: 'client' })
  assert.deepEqual(value.fields, [{ field: 'email', as: 'plain', count: 3 }])
  assert.equal(Object.keys(value).at(-1), 'mac')
})

test('nothing of a client forges a member, ends a line or moves a terminal', () => {
  const hostile = 'x","mac":"\n\r\u001b[2J\u009b31m\u061c\u202e\u2028\ud800\u0000'
  const body = formatBody(1, at, { ...event, claimedName: hostile, resource: hostile })
  assert.match(body, /^[\x20-\x7e]*$/)
  assert.equal(body.includes(',"mac":"'), false)
  assert.equal(JSON.parse(`${body}}`).resource, hostile)
})

test('no event makes a line longer than the limit', () => {
  const long = '\u0001'.repeat(10_000)
  const identity = createIdentity({
    id: long,
    roles: Array.from({ length: 5000 }, (_, i) => `${i}${long}`),
    claims: {},
    clientId: long,
    mechanism: 'jwt',
    source: long,
    expiresAt: undefined,
  })
  const body = formatBody(Number.MAX_SAFE_INTEGER, at, {
    ...event,
    identity,
    requestId: long,
    claimedName: long,
    address: long,
    action: long,
    resource: long,
    rule: long,
    code: long,
    fields: Array.from({ length: 5000 }, () => ({ field: long, as: 'withheld', count: Number.MAX_SAFE_INTEGER })),
  })
  assert.ok(Buffer.byteLength(formatLine(body, genesis)) < maxLineBytes)
  const value = JSON.parse(`${body}}`)
  assert.equal(value.moreFields, 5000 - 128)
  assert.equal(value.identity.moreRoles, 5000 - 64)
  assert.equal(value.claimedName, `${'\u0001'.repeat(128)}…`)
})

test('random and cut input is no line', () => {
  for (let round = 0; round < 2000; round++) assert.equal(parseLine(randomBytes(round % 200)), undefined)
  const line = Buffer.from(formatLine(formatBody(1, at, event), genesis)).subarray(0, -1)
  for (let cut = 0; cut < line.length; cut++) {
    assert.equal(parseLine(line.subarray(0, cut)), undefined)
    assert.equal(parseLine(line.subarray(cut + 1)), undefined)
  }
})

test('the members, their order and their values are those that JSON.stringify would write', () => {
  const letters = [
    'a',
    'B',
    '7',
    ' ',
    '/',
    '"',
    '\\',
    '\n',
    '\u0000',
    '\u007f',
    '\u009b',
    '\u202e',
    '\u2028',
    '\ud800',
    'ö',
    '😀',
  ]
  let seed = 7
  const below = (n: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * n)
  }
  const text = (): string => Array.from({ length: below(12) }, () => letters[below(letters.length)]).join('')
  const maybe = <T>(make: () => T): T | undefined => (below(2) === 0 ? undefined : make())
  for (let n = 1; n <= 2000; n++) {
    const identity = maybe(() =>
      createIdentity({
        id: text(),
        roles: [text(), text()],
        claims: {},
        clientId: maybe(text),
        mechanism: 'jwt',
        source: maybe(text),
        expiresAt: undefined,
      }),
    )
    const { kind, door, decision } = event
    const fields = maybe(() => [{ field: text(), as: 'masked' as const, count: below(9) }])
    const random = {
      requestId: text(),
      claimedName: maybe(text),
      address: maybe(text),
      code: maybe(text),
      rule: text(),
    }
    const full = { kind, door, decision, identity, action: text(), resource: text(), ...random }
    const { id, roles, mechanism, source, clientId } = identity ?? {}
    const expected = {
      ...{ n, at: new Date(at + n).toISOString(), kind, request: random.requestId, door },
      identity: identity && { id, roles, mechanism, source, clientId },
      ...{ claimedName: random.claimedName, address: random.address, action: full.action, resource: full.resource },
      ...{ fields, decision, rule: random.rule, code: random.code },
    }
    // Twice: the second time the identity's part is remembered.
    for (let turn = 0; turn < 2; turn++) {
      const body = formatBody(n, at + n, fields === undefined ? full : { ...full, fields })
      assert.match(body, /^[^\u007f-\u009f\u202e\u2028]*$/)
      assert.equal(JSON.stringify(JSON.parse(`${body}}`)), JSON.stringify(expected))
    }
  }
})
