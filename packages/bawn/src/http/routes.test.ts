import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRateLimiter } from '../limits/rate-limit.ts'
import { carriersOf } from './credentials.ts'
import { catalogue, field, gate } from './kit.test.ts'
import { routeOptions } from './option.ts'
import { HttpError } from './problem.ts'
import { parsePattern, patternCovers, patternMatches, patternsOverlap, type RoutePattern } from './route-pattern.ts'
import { compileRoutes, type RouteTable } from './routes.ts'
import type { Upstream } from './upstream/upstream.ts'

const upstream: Upstream = {
  name: 'main',
  ownHeaders: [],
  send: () => () => {},
  retire: () => {},
}

function compile(routes: readonly Record<string, unknown>[], fields: Parameters<typeof catalogue>[0] = []): RouteTable {
  return compileRoutes(
    routes.map(route => routeOptions.parse({ methods: ['GET'], upstream: 'main', allow: ['anyone'], ...route })),
    {
      upstreams: new Map([['main', upstream]]),
      gate,
      catalogue: catalogue(fields),
      carriers: carriersOf([]),
      issuers: new Set(),
      signers: new Map(),
      clock: Date.now,
      limiter: createRateLimiter({ now: () => 0 }),
    },
  )
}

const segments = (path: string): string[] => path.split('/').slice(1).filter(Boolean)

test('the most specific route takes a path, whatever the order in the file', () => {
  const paths = ['/*', '/orders/*', '/orders/{id}', '/orders/open', '/orders/{id}/lines', '/{kind}/open/lines', '/']
  for (const order of [paths, [...paths].reverse()]) {
    const table = compile(order.map(path => ({ path })))
    const rows: readonly (readonly [string, string])[] = [
      ['/', '/'],
      ['/x', '/*'],
      ['/orders', '/orders/*'],
      ['/orders/17', '/orders/{id}'],
      ['/orders/open', '/orders/open'],
      ['/orders/17/lines', '/orders/{id}/lines'],
      // The literal `open` leads nowhere with `lines`, so the parameter is tried.
      ['/orders/open/lines', '/orders/{id}/lines'],
      ['/bills/open/lines', '/{kind}/open/lines'],
      ['/orders/17/lines/2', '/orders/*'],
      ['/ordersx/17', '/*'],
    ]
    for (const [path, expected] of rows) {
      const match = table.match(segments(path), 'gate.example')
      assert.equal(match?.methods.get('GET')?.pattern.text, expected, path)
    }
  }
  assert.equal(compile([{ path: '/a' }]).match(['b'], 'gate.example'), undefined)
})

test('a guarded path in another case is not left to a route that guards less', () => {
  const table = compile([{ path: '/*' }, { path: '/shop/*' }, { path: '/shop/admin/*' }, { path: '/{any}/keys' }])
  for (const path of [
    '/SHOP',
    '/Shop/x',
    '/shop/Admin',
    '/shop/ADMIN/x',
    '/x/KEYS',
    '/shop./x',
    '/shop/admin.',
    '/shop/admin ./x',
    '/ſhop',
  ]) {
    assert.equal(table.match(segments(path), 'gate.example'), undefined, path)
  }
  assert.ok(table.match(segments('/shop/administrator'), 'gate.example'))
})

test('methods of one path may lead to different routes, and are named together', () => {
  const table = compile([
    { path: '/a/{x}', methods: ['GET', 'HEAD'] },
    { path: '/a/{y}', methods: ['POST'] },
  ])
  assert.equal(table.match(['a', '1'], 'x')?.allow, 'GET, HEAD, POST')
})

test('mistakes stop the start, with words', () => {
  const place = (route: string) => ({ route, path: ['email'], carries: 'sealed' as const })
  const rows: readonly (readonly [RegExp, () => RouteTable])[] = [
    [/GET can never get here/, () => compile([{ path: '/a/{x}' }, { path: '/a/{y}' }])],
    [/no upstream is named other; there are: main/, () => compile([{ path: '/a', upstream: 'other' }])],
    [/empty segment/, () => compile([{ path: '/a/' }])],
    [/empty segment/, () => compile([{ path: '/a//b' }])],
    [/dot segment/, () => compile([{ path: '/a/../b' }])],
    [/whole segment/, () => compile([{ path: '/a*' }])],
    [/whole segment/, () => compile([{ path: '/*/a' }])],
    [/whole segment/, () => compile([{ path: '/a-{x}' }])],
    [/twice/, () => compile([{ path: '/{x}/{x}' }])],
    [/percent-encoding/, () => compile([{ path: '/a%20b' }])],
    [/never taken from a caller/, () => compile([{ path: '/a', request_headers: ['X-Forwarded-For'] }])],
    [
      /never taken from a caller/,
      () => compile([{ path: '/a', request_headers: ['X-Who'], identity_headers: { id: 'x-who' } }]),
    ],
    [/goes no further/, () => compile([{ path: '/a', allow: ['staff'], request_headers: ['Authorization'] }])],
    [/meaning of its own/, () => compile([{ path: '/a', identity_headers: { id: 'Content-Length' } }])],
    [/meaning of its own/, () => compile([{ path: '/a', identity_headers: { id: 'X-Forwarded-For' } }])],
    [/no route leads to/, () => compile([{ path: '/a' }], [field('email', [place('/b')])])],
    [/named twice/, () => compile([{ path: '/a' }], [field('x', [place('/a')]), field('y', [place('/a')])])],
    [/named twice/, () => compile([{ path: '/*' }], [field('x', [place('/a/*')]), field('y', [place('/a/b')])])],
  ]
  for (const [expected, start] of rows) {
    assert.throws(
      start,
      error => error instanceof HttpError && error.code === 'http.bad_route' && expected.test(error.message),
      String(expected),
    )
  }
})

test('a field’s place counts wherever its path is, whatever route takes it', () => {
  const fields = [
    field('email', [{ route: '/orders/*', path: ['email'], carries: 'sealed' }]),
    field('note', [{ route: '/orders/{id}', path: ['note'], carries: 'plain' }]),
    field('mail', [{ route: '/bills/*', path: ['email'], carries: 'plain' }]),
  ]
  const table = compile([{ path: '/*' }, { path: '/orders/{id}' }, { path: '/free' }], fields)
  const names = (path: string): string[] | undefined =>
    table
      .match(segments(path), 'gate.example')
      ?.methods.get('GET')
      ?.fields(segments(path))
      ?.places.map(at => at.field.name)
  assert.deepEqual(names('/orders/1'), ['email', 'note'])
  assert.deepEqual(names('/orders/1/lines'), ['email'])
  assert.deepEqual(names('/orders'), ['email'])
  assert.deepEqual(names('/bills'), ['mail'])
  assert.deepEqual(names('/BILLS/7'), ['mail'])
  assert.equal(names('/free'), undefined)
  assert.equal(names('/other'), undefined)
})

test('a field’s place counts in a route that is spelt in another case', () => {
  const fields = [field('mail', [{ route: '/people', path: ['m'], carries: 'plain' }])]
  const table = compile([{ path: '/*' }, { path: '/People' }], fields)
  const plan = table.match(['People'], 'gate.example')?.methods.get('GET')?.fields(['People'])
  assert.deepEqual(
    plan?.places.map(at => at.field.name),
    ['mail'],
  )
})

test('covers and overlaps agree with matching', () => {
  const texts = ['/', '/*', '/a', '/a/*', '/{x}', '/a/b', '/a/{x}', '/{x}/b', '/{x}/{y}', '/{x}/b/*', '/a/b/c']
  const patterns = texts.map(text => parsePattern(text) as RoutePattern)
  const paths = ['', 'a', 'c', 'a/b', 'a/c', 'c/b', 'c/c', 'a/b/c', 'c/b/c', 'c/c/c', 'a/b/c/d', 'c/b/c/d'].map(text =>
    text === '' ? [] : text.split('/'),
  )
  for (const a of patterns) {
    for (const b of patterns) {
      const both = paths.some(path => patternMatches(a, path) && patternMatches(b, path))
      const inside = paths.every(path => !patternMatches(b, path) || patternMatches(a, path))
      assert.equal(patternsOverlap(a, b), both, `${a.text} overlaps ${b.text}`)
      assert.equal(patternCovers(a, b), inside, `${a.text} covers ${b.text}`)
    }
  }
})
