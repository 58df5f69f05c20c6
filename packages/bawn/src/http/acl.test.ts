import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, post, startDoor, startUpstream } from './kit.test.ts'
import { aclRuleOptions } from './option.ts'

// The access control list as clients meet it: alice has the roles support and staff, bob billing.

const rules = [
  { name: 'shut', effect: 'deny', priority: -10, path: '/shut/*' },
  { name: 'reads', effect: 'allow', priority: 10, methods: ['GET'], roles: ['support', 'billing'] },
  { name: 'no-deletes', effect: 'deny', priority: 10, methods: ['POST'], path: '/orders/{id}', roles: ['support'] },
  { name: 'own', effect: 'allow', priority: 5, path: '/orders/{id}', when: 'identity.id == resource.path.id' },
  { name: 'same-number', effect: 'allow', priority: 7, path: '/tie/*' },
  { name: 'same-number-denied', effect: 'deny', priority: 7, path: '/tie/*' },
  { name: 'elsewhere', effect: 'allow', priority: -5, path: '/from/*', addresses: ['10.0.0.0/8'] },
  { name: 'not-from-here', effect: 'deny', priority: -4, path: '/from/*', addresses: ['local'] },
  { name: 'cannot-tell', effect: 'deny', priority: -3, path: '/unsure/*', when: 'identity.claims.nothing == 1' },
  {
    name: 'cannot-tell-either',
    effect: 'allow',
    priority: -3,
    path: '/maybe/*',
    methods: ['POST'],
    when: 'identity.claims.nothing == 1',
  },
  { name: 'upper', effect: 'deny', priority: -2, path: '/Files/Secret' },
].map(rule => aclRuleOptions.parse(rule))

const table: readonly (readonly [
  what: string,
  who: string | undefined,
  method: 'GET' | 'POST',
  target: string,
  status: number,
  rule: string,
])[] = [
  ['what is allowed', 'alice', 'GET', '/orders/7', 200, 'acl: reads'],
  ['the lower number first', 'alice', 'POST', '/orders/alice', 200, 'acl: own'],
  ['what is denied', 'alice', 'POST', '/orders/7', 403, 'acl: no-deletes'],
  ['what no rule allows', 'alice', 'POST', '/else', 403, 'no policy of acl permits'],
  ['a role that no rule names', 'bob', 'POST', '/orders/7', 403, 'no policy of acl permits'],
  ['a denial goes before an allowance of the same number', 'alice', 'GET', '/tie/1', 403, 'acl: same-number-denied'],
  ['a denial goes before policies that permit', 'alice', 'GET', '/shut/door', 403, 'acl: shut'],
  ['also for the path itself', 'alice', 'GET', '/shut', 403, 'acl: shut'],
  ['also on a public route', 'alice', 'GET', '/shut/public', 403, 'acl: shut'],
  ['and nobody is asked to identify first', undefined, 'GET', '/shut/public', 401, 'acl: shut'],
  ['an address', 'alice', 'GET', '/from/here', 403, 'acl: not-from-here'],
  ['a denial without an answer denies', 'alice', 'GET', '/unsure/1', 403, 'acl: cannot-tell: no such key: nothing'],
  ['an allowance without an answer does not allow', 'alice', 'POST', '/maybe/1', 403, 'no policy of acl permits'],
  ['a path that servers take for another', 'alice', 'GET', '/files/SECRET.', 403, 'acl: upper'],
  ['nobody', undefined, 'GET', '/orders/7', 401, 'host_rules.0'],
]

test('the access control list decides before the policies of routes', async t => {
  const seen: string[] = []
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(request.url ?? '')
    request.resume()
    response.end('here')
  })
  const route = { methods: ['GET', 'POST'], upstream: 'main' }
  const { port, events } = await startDoor(t, {
    upstream,
    policies: {},
    acl: rules,
    routes: [
      { ...route, path: '/*', allow: ['acl'] },
      { ...route, path: '/shut/public', allow: ['anyone'] },
      { ...route, path: '/shut/door', allow: ['authenticated'] },
    ],
  })
  for (const [what, who, method, target, status, rule] of table) {
    const before = seen.length
    const headers = who === undefined ? [] : [`Authorization: Bearer ${who}`]
    const answer = method === 'GET' ? await get(port, target, headers) : await post(port, target, '{}', headers)
    assert.equal(answer.status, status, what)
    const last = events.at(-1)
    assert.equal(last !== undefined && 'rule' in last ? last.rule : '', rule, what)
    assert.equal(seen.length - before, status === 200 ? 1 : 0, what)
  }
})
