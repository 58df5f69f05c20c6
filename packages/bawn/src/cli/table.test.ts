import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alignedTable, widthOf } from './table.ts'
import { printable } from './terminal-text.ts'

test('rows stand as psql sets them', () => {
  const columns = [
    { name: 'id', right: true },
    { name: 'name', right: false },
    { name: 'email', right: false },
  ]
  const rows = [
    ['1', 'Aoife', 'a****@example.com'],
    ['20', 'Ωmega', undefined],
  ]
  assert.equal(
    alignedTable(columns, rows),
    [
      ' id | name  |       email',
      '----+-------+-------------------',
      '  1 | Aoife | a****@example.com',
      ' 20 | Ωmega |',
      '(2 rows)',
      '',
    ].join('\n'),
  )
  assert.equal(alignedTable([{ name: 'n', right: true }], [['1']]), ' n\n---\n 1\n(1 row)\n')
  assert.equal(alignedTable([{ name: 'n', right: true }], []), ' n\n---\n(0 rows)\n')
})

test('a terminal does not obey what is printed', () => {
  assert.equal(printable('a\u001b[2Jb\r\n\u202e\u0085'), 'a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}\\u{85}')
  assert.equal(printable('Zoë 東京 👍'), 'Zoë 東京 👍')
})

test('width is what a terminal takes', () => {
  assert.deepEqual(['', 'abc', 'e\u0301', '東京', '👍'].map(widthOf), [0, 3, 1, 4, 2])
})
