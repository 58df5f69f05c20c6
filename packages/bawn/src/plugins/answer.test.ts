import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnswer } from './answer.ts'

const identity = { id: 'bea', roles: ['staff'] }

test('an answer is read part by part, and what it should not have is passed over', () => {
  const read = readAnswer({
    kind: 'identified',
    identity: { ...identity, expiresAt: 7, mechanism: 'certificate', clientId: 'f'.repeat(128), source: 'corp' },
  })
  assert(read.kind === 'identified')
  assert.deepEqual(
    { ...read, claims: { ...read.claims } },
    {
      kind: 'identified',
      id: 'bea',
      roles: ['staff'],
      claims: {},
      expiresAt: 7,
    },
  )
  assert.deepEqual(readAnswer({ kind: 'absent', identity }), { kind: 'absent' })
  assert.deepEqual(readAnswer({ kind: 'account', name: 'olga' }), { kind: 'account', name: 'olga' })
  const throttled = { kind: 'throttled', retryAfterMs: 5, claimedName: undefined }
  assert.deepEqual(readAnswer({ kind: 'throttled', retryAfterMs: 5 }), throttled)
})

test('a stated name that cannot be one is not kept; the refusal is', () => {
  for (const claimedName of ['', 'a\nb', 'x'.repeat(129), 7, null]) {
    const read = readAnswer({ kind: 'rejected', reason: 'expired', claimedName })
    assert.deepEqual(read, { kind: 'rejected', reason: 'expired', claimedName: undefined })
  }
})

const rows: readonly (readonly [name: string, answer: unknown])[] = [
  ['nothing', undefined],
  ['null', null],
  ['true', true],
  ['a text', 'identified'],
  ['no kind', {}],
  ['a kind that is none', { kind: 'ok', identity }],
  ['no identity', { kind: 'identified' }],
  ['no id', { kind: 'identified', identity: { roles: [] } }],
  ['an id that is no text', { kind: 'identified', identity: { id: 7, roles: [] } }],
  ['an empty id', { kind: 'identified', identity: { id: '', roles: [] } }],
  ['an id with a line feed', { kind: 'identified', identity: { id: 'a\nb', roles: [] } }],
  ['a long id', { kind: 'identified', identity: { id: 'a'.repeat(129), roles: [] } }],
  ['no roles', { kind: 'identified', identity: { id: 'a' } }],
  ['roles in one text', { kind: 'identified', identity: { id: 'a', roles: 'staff' } }],
  ['a role that is no name', { kind: 'identified', identity: { id: 'a', roles: ['a b'] } }],
  ['a role that is no text', { kind: 'identified', identity: { id: 'a', roles: [{ toString: () => 'staff' }] } }],
  ['too many roles', { kind: 'identified', identity: { id: 'a', roles: Array(1_001).fill('a') } }],
  ['claims that are none', { kind: 'identified', identity: { ...identity, claims: [] } }],
  ['an end that is no number', { kind: 'identified', identity: { ...identity, expiresAt: '2030' } }],
  ['an end that never comes', { kind: 'identified', identity: { ...identity, expiresAt: Number.NaN } }],
  ['an account without a name', { kind: 'account' }],
  ['a reason that is none', { kind: 'rejected', reason: 'because' }],
  ['a reason of JavaScript', { kind: 'rejected', reason: 'constructor' }],
  ['throttled until when', { kind: 'throttled' }],
  ['throttled for less than nothing', { kind: 'throttled', retryAfterMs: -1 }],
  ['throttled for ever', { kind: 'throttled', retryAfterMs: Number.POSITIVE_INFINITY }],
]
for (const [name, answer] of rows) {
  test(`no answer: ${name}`, () => {
    assert.equal(readAnswer(answer).kind, 'malformed')
  })
}

test('a list that changes while it is looked at is read once', () => {
  let asked = 0
  const roles = new Proxy(['a'], {
    get(target, key, receiver) {
      if (key === '0') asked += 1
      return key === '0' && asked > 1 ? 'admin' : Reflect.get(target, key, receiver)
    },
  })
  const read = readAnswer({ kind: 'identified', identity: { id: 'a', roles } })
  assert(read.kind === 'identified')
  assert.deepEqual(read.roles, ['a'])
})
