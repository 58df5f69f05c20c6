import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIdentity, type Identity } from '../authn/identity.ts'
import { createGate, explainGate } from './gate.ts'

function identity(...roles: string[]): Identity {
  return createIdentity({
    id: 'alice',
    roles,
    claims: {},
    clientId: undefined,
    mechanism: 'jwt',
    source: 'corp',
    expiresAt: undefined,
  })
}

const policies = { staff: { roles: ['support', 'admin'] }, money: { roles: ['billing'] } }
const get = { door: 'http', verb: 'GET' } as const

const table = [
  {
    name: 'a role of the policy permits',
    allow: ['staff'],
    who: identity('support'),
    decision: 'permit',
    rule: 'staff',
  },
  {
    name: 'another role does not',
    allow: ['staff'],
    who: identity('billing'),
    decision: 'deny',
    rule: 'no policy of staff permits',
  },
  {
    name: 'no roles',
    allow: ['staff', 'money'],
    who: identity(),
    decision: 'deny',
    rule: 'no policy of staff, money permits',
  },
  { name: 'nobody', allow: ['staff'], who: undefined, decision: 'deny', rule: 'no policy of staff permits' },
  {
    name: 'the first that permits names the decision',
    allow: ['money', 'staff', 'authenticated'],
    who: identity('admin', 'billing'),
    decision: 'permit',
    rule: 'money',
  },
  {
    name: 'order decides',
    allow: ['authenticated', 'money'],
    who: identity('billing'),
    decision: 'permit',
    rule: 'authenticated',
  },
  {
    name: 'authenticated wants an identity',
    allow: ['authenticated'],
    who: undefined,
    decision: 'deny',
    rule: 'no policy of authenticated permits',
  },
  { name: 'anyone', allow: ['anyone'], who: undefined, decision: 'permit', rule: 'anyone' },
  {
    name: 'an empty list permits nobody',
    allow: [],
    who: identity('admin'),
    decision: 'deny',
    rule: 'no policy of  permits',
  },
] as const

for (const row of table) {
  test(row.name, () => {
    assert.deepEqual(createGate(row.allow, policies).decide(row.who, get), { kind: row.decision, rule: row.rule })
    const words = explainGate(row.allow, policies, row.who).at(-1) ?? ''
    assert.match(words, row.decision === 'permit' ? /^permitted by / : /^denied, /)
  })
}

test('a gate is open only with anyone', () => {
  assert.equal(createGate(['staff', 'anyone'], policies).open, true)
  assert.equal(createGate(['authenticated'], policies).open, false)
})

test('a misspelt policy stops the start and names the nearest', () => {
  for (const [misspelt, near] of [
    ['staf', 'staff'],
    ['satff', 'staff'],
    ['Money', 'money'],
    ['authentcated', 'authenticated'],
  ] as const) {
    assert.throws(() => createGate([misspelt], policies), {
      code: 'policy.unknown',
      message: new RegExp(`did you mean ${near}\\?`),
    })
  }
  assert.throws(() => createGate(['warehouse'], policies), {
    code: 'policy.unknown',
    message: /there are: anyone, authenticated, staff, money/,
  })
})

test('names of Object.prototype are not policies', () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    assert.throws(() => createGate([name], policies), { code: 'policy.unknown' })
  }
})

test('a built-in name cannot be declared', () => {
  assert.throws(() => createGate(['staff'], { ...policies, anyone: { roles: ['x'] } }), {
    code: 'policy.reserved_name',
  })
})

test('explain says what each policy wants', () => {
  assert.deepEqual(explainGate(['money', 'staff'], policies, identity('support')), [
    'policy money wants role billing: no',
    'policy staff wants role support or admin: yes',
    'permitted by staff: alice (roles support)',
  ])
  assert.deepEqual(explainGate(['authenticated'], policies, undefined), [
    'policy authenticated wants an identity: no',
    'denied, no policy of authenticated permits: a caller who is not identified',
  ])
})
