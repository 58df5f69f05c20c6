import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, post, send, startDoor, startUpstream } from './kit.test.ts'
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

test('what is answered to anybody is denied to some addresses as well', async t => {
  const upstream = await startUpstream(t, (_, response) => response.end('here'))
  const start = async (acl: readonly Record<string, unknown>[]) => {
    const { port, events } = await startDoor(t, {
      upstream,
      acl: acl.map((rule, at) => aclRuleOptions.parse({ name: `rule-${at}`, ...rule })),
      keySets: new Map([['/keys', Buffer.from('{"keys":[]}')]]),
      routes: [{ path: '/app', methods: ['GET'], cors: { origins: ['https://app.example'] } }],
    })
    const keys = await get(port, '/keys')
    const preflight = await send(
      port,
      'OPTIONS /app HTTP/1.1\r\nHost: gate.example\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\r\n',
    )
    const rules = events.map(event => ('rule' in event ? event.rule : ''))
    return [keys.status, preflight.status, ...rules.filter(rule => rule.startsWith('acl'))].join(' ')
  }
  const local = { addresses: ['local'] }
  const rows: readonly (readonly [string, readonly Record<string, unknown>[], string])[] = [
    ['no rule', [], '200 204'],
    ['by address', [{ effect: 'deny', ...local }], '403 403 acl: rule-0 acl: rule-0'],
    ['another address', [{ effect: 'deny', addresses: ['10.0.0.0/8'] }], '200 204'],
    ['by path', [{ effect: 'deny', path: '/keys' }], '403 204 acl: rule-0'],
    ['by method', [{ effect: 'deny', methods: ['OPTIONS'] }], '200 403 acl: rule-0'],
    [
      'an allowance before it',
      [
        { effect: 'allow', ...local },
        { effect: 'deny', priority: 1 },
      ],
      '200 204',
    ],
    [
      'one for who is not known yet',
      [
        { effect: 'allow', roles: ['a'] },
        { effect: 'deny', priority: 1 },
      ],
      '200 204',
    ],
    ['a denial of a role', [{ effect: 'deny', roles: ['staff'] }], '200 204'],
    ['a denial without an answer yet', [{ effect: 'deny', when: 'identity.claims.x == 1' }], '200 204'],
    ['one of who asks', [{ effect: 'deny', when: "!('admin' in identity.roles)" }], '200 204'],
    ['a denial that holds for all', [{ effect: 'deny', when: '!request.secure' }], '403 403 acl: rule-0 acl: rule-0'],
  ]
  for (const [name, acl, expected] of rows) assert.equal(await start(acl), expected, name)
})
