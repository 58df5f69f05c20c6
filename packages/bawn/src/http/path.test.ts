import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from './path.ts'

test('a path is normalised once, and what is matched is what is sent', () => {
  const rows: readonly (readonly [string, readonly string[], string, string])[] = [
    ['/', [], '/', ''],
    ['/?a=b', [], '/', '?a=b'],
    ['/orders/17', ['orders', '17'], '/orders/17', ''],
    ['/orders/', ['orders'], '/orders/', ''],
    ['/%6frders/%7Ex', ['orders', '~x'], '/orders/~x', ''],
    ['/a%20b', ['a b'], '/a%20b', ''],
    ['/a%2cb,c', ['a,b,c'], '/a%2Cb,c', ''],
    ['/%c3%a9', ['é'], '/%C3%A9', ''],
    ['/a"b<c>|', ['a"b<c>|'], '/a%22b%3Cc%3E%7C', ''],
    ['/100%25', ['100%'], '/100%25', ''],
    ['/.well-known/x', ['.well-known', 'x'], '/.well-known/x', ''],
    ['/a/...', ['a', '...'], '/a/...', ''],
    ['/a?x=%2e%2e/;//..', ['a'], '/a', '?x=%2e%2e/;//..'],
  ]
  for (const [target, segments, path, query] of rows) {
    assert.deepEqual(parsePath(target), { segments, path, query }, target)
    // Normal once is normal for ever.
    assert.deepEqual(parsePath(path)?.path, path, target)
    assert.deepEqual(parsePath(path)?.segments, segments, target)
  }
})

test('what two servers could read in two ways is refused', () => {
  const rows = [
    ...['', 'a', '//', '//a', '/a//b', '/a//', '/.', '/..', '/a/.', '/a/..', '/a/../b', '/./a', '/a/./b', '/a/../'],
    ...[
      '/%2e',
      '/%2e%2e',
      '/a/%2E%2e/b',
      '/.%2e',
      '/a%2fb',
      '/a%2Fb',
      '/a\\b',
      '/a%5cb',
      '/a%00',
      '/a%0a',
      '/a%0d%0ab',
    ],
    ...[
      '/a%7f',
      '/a%1f',
      '/a;b',
      '/a;',
      '/..;/b',
      '/a%3bb',
      '/a%',
      '/a%2',
      '/a%zz',
      '/a%u0041',
      '/a%252f',
      '/%25%36%31',
      '/%256%31',
      '/%25%36a',
      '/%252e%252e',
    ],
    ...[
      '/a%c0%af',
      '/%c0%ae',
      '/a%ff',
      '/a%ed%a0%80',
      '/%c2%85',
      '/a#b',
      '/a?b#c',
      '/a b',
      '/a\tb',
      '/a\u00e9',
      '/a?\u00e9',
    ],
    ...['http://a/', '*', `${'/a'.repeat(257)}`, `${'/%61'.repeat(257)}`],
  ]
  for (const target of rows) assert.equal(parsePath(target), undefined, JSON.stringify(target))
})

test('any bytes end in a path without dot segments, or in nothing', () => {
  let state = 1
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const parts = ['/', '%', '.', '2', 'e', 'f', '5', 'c', ';', '\\', 'a', '?', '%2e', '%2f', '%25', '%c3%a9', ' ', '#']
  for (let round = 0; round < 20_000; round++) {
    const target = `/${Array.from({ length: next(12) }, () => parts[next(parts.length)]).join('')}`
    const path = parsePath(target)
    if (path === undefined) continue
    assert.doesNotMatch(path.path, /\/\/|\/\.\.?(?:\/|$)|%2[Ff]|%5[Cc]|[\\; #]/, target)
    assert.deepEqual(parsePath(path.path)?.segments, path.segments, target)
  }
})
