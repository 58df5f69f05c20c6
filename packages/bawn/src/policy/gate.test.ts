import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIdentity, type Identity } from '../authn/identity.ts'
import { isJsonObject, parseJson } from '../authn/json.ts'
import { createGate, explainGate } from './gate.ts'
import { snapshotOf } from './grants.fixture.ts'
import type { GrantGate } from './grants.ts'
import { policyOptions } from './option.ts'
import { compileGrants } from './resolve.ts'

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
    message: /there are: anyone, authenticated, acl, staff, money/,
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

const granted = policyOptions.parse({ grant: 'DQL on table d.s.t' })
const both = policyOptions.parse({ roles: ['support'], grant: ['DQL on table d.s.t', 'DML on table d.s.t'] })
const withGrants = { readers: granted, writers: both, staff: { roles: ['admin'] } }

/** Decides by the text of the entries; who asks is somebody of an issuer, so roles alone count. */
function grantsOf(entries: string): Pick<GrantGate, 'decide'> {
  const compiled = compileGrants(snapshotOf(entries))
  return {
    decide(who, needs) {
      const decisions = needs.map(need => compiled.decide(compiled.holder(who.roles), need))
      return decisions.find(({ kind }) => kind === 'deny') ?? decisions[0] ?? { kind: 'deny', rule: 'no need' }
    },
  }
}

const grantRows = [
  { name: 'a grant', allow: ['readers'], roles: ['r1'], entries: 'GRANT DQL TO r1', rule: 'readers: GRANT DQL TO r1' },
  { name: 'no grant', allow: ['readers'], roles: ['r1'], entries: 'GRANT DML TO r1', rule: undefined },
  { name: 'a denial', allow: ['readers'], roles: ['r1'], entries: 'DENY DQL TO r1', rule: undefined },
  { name: 'another role', allow: ['readers'], roles: ['r2'], entries: 'GRANT DQL TO r1', rule: undefined },
  { name: 'nobody', allow: ['readers'], roles: undefined, entries: 'GRANT DQL TO r1', rule: undefined },
  {
    name: 'of roles and grants, the grants alone',
    allow: ['writers'],
    roles: ['r1'],
    entries: 'GRANT DQL TO r1; GRANT DML TO r1',
    rule: undefined,
  },
  {
    name: 'of roles and grants, the roles alone',
    allow: ['writers'],
    roles: ['support'],
    entries: '',
    rule: undefined,
  },
  {
    name: 'both, and one of two grants',
    allow: ['writers'],
    roles: ['support', 'r1'],
    entries: 'GRANT DQL TO r1',
    rule: undefined,
  },
  {
    name: 'both, and all',
    allow: ['writers'],
    roles: ['support', 'r1'],
    entries: 'GRANT DQL TO r1; GRANT DML TO r1',
    rule: 'writers: GRANT DQL TO r1',
  },
  { name: 'a later policy by roles', allow: ['readers', 'staff'], roles: ['admin'], entries: '', rule: 'staff' },
  {
    name: 'a later policy by a grant',
    allow: ['staff', 'readers'],
    roles: ['r1'],
    entries: 'GRANT DQL TO r1',
    rule: 'readers: GRANT DQL TO r1',
  },
] as const
for (const { name, allow, roles, entries, rule } of grantRows) {
  test(`grants: ${name}: ${rule === undefined ? 'denied' : 'permitted'}`, () => {
    const who = roles === undefined ? undefined : identity(...roles)
    const decision = createGate(allow, withGrants, grantsOf(entries)).decide(who, get)
    const denied = { kind: 'deny', rule: `no policy of ${allow.join(', ')} permits` }
    assert.deepEqual(decision, rule === undefined ? denied : { kind: 'permit', rule })
    const words = explainGate(allow, withGrants, who, grantsOf(entries)).at(-1) ?? ''
    assert.match(words, rule === undefined ? /^denied, / : /^permitted by /)
  })
}

test('explain names the entry that decided, or that none did', () => {
  const explain = (entries: string, ...roles: string[]) =>
    explainGate(['writers'], withGrants, identity(...roles), grantsOf(entries))[0]
  const wants = 'policy writers wants role support, and DQL on table d.s.t and DML on table d.s.t'
  assert.equal(explain('GRANT DQL TO r1; GRANT DML TO r1', 'support', 'r1'), `${wants}: yes, GRANT DQL TO r1`)
  assert.equal(explain('GRANT DQL TO r1', 'support', 'r1'), `${wants}: no, nothing grants DML on table d.s.t`)
  assert.equal(explain('GRANT DQL TO r1; DENY DML TO r1', 'support', 'r1'), `${wants}: no, DENY DML TO r1`)
  assert.equal(explain('GRANT DQL TO r1', 'r1'), `${wants}: no`)
})

test('where no grants are configured nothing is granted, and what cannot be decided is not', () => {
  assert.equal(createGate(['readers'], withGrants).decide(identity('admin'), get).kind, 'deny')
  const away: Pick<GrantGate, 'decide'> = {
    decide() {
      throw new Error('down')
    },
  }
  const gate = createGate(['readers', 'authenticated'], withGrants, away)
  assert.throws(() => gate.decide(identity('admin'), get), /down/)
  assert.equal(gate.decide(undefined, get).kind, 'deny')
})

test('integers of claims beyond 2^53 are compared as they are written, or not at all', () => {
  const who = (text: string): Identity => {
    const claims = parseJson(Buffer.from(text))
    assert.ok(isJsonObject(claims))
    return createIdentity({ ...identity(), claims })
  }
  const decides = (policy: unknown, text: string): string => {
    const gate = createGate(['one'], { one: policyOptions.parse(policy) })
    return gate.decide(who(text), get).kind
  }
  const account = '{"account":9007199254740993,"list":[9007199254740993],"other":{"id":9007199254740993}}'
  const rows: readonly (readonly [string, string])[] = [
    ['identity.claims.account == 9007199254740993', 'permit'],
    ['identity.claims.account == 9007199254740992', 'deny'],
    ['identity.claims.account == 9007199254740994', 'deny'],
    ['identity.claims.account == 9007199254740992.0', 'deny'],
    ['identity.claims.account != 9007199254740993', 'deny'],
    ['identity.claims.account > 9007199254740992', 'permit'],
    ['9007199254740992 in identity.claims.list', 'deny'],
    ['9007199254740993 in identity.claims.list', 'permit'],
    ['identity.claims.other.id == 9007199254740992', 'deny'],
    ['string(identity.claims.account) == "9007199254740993"', 'permit'],
  ]
  for (const [expression, expected] of rows) assert.equal(decides(expression, account), expected, expression)
  // How it was written is not known: there is no answer, whichever way it is asked.
  for (const expression of ['identity.claims.n == 1e17', 'identity.claims.n != 5', '!(identity.claims.n == 1)'])
    assert.equal(decides(expression, '{"n":1e17}'), 'deny', expression)
  assert.equal(decides({ claims: { account: 9007199254740991 } }, '{"account":9007199254740992}'), 'deny')
  assert.equal(policyOptions.safeParse({ claims: { account: 2 ** 53 } }).success, false)
})
