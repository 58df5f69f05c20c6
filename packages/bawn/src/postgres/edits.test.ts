import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Field } from '../fields/field.ts'
import { applyEdits, characterPosition } from './edits.ts'
import type { Edit } from './sql/plan.ts'

const field: Field = { name: 'f', columns: [], json: [], type: 'text', encrypt: 'acrablock', searchable: false }
const value = (start: number, end: number): Edit => ({
  kind: 'value',
  start,
  end,
  field,
  as: 'sealed',
  plaintext: Buffer.alloc(0),
})

test('edits splice bytes, and positions lead back to the client’s text', () => {
  const text = Buffer.from("select 'é', 'ü' , x from t")
  const first = text.indexOf("'é'")
  const second = text.indexOf("'ü'")
  const edited = applyEdits(
    text,
    [value(first, first + 4), { kind: 'text', start: second, end: second + 4, text: 'é' }],
    () => "'\\xffff'",
  )
  assert.equal(edited.text.toString(), "select '\\xffff', é , x from t")
  const original = text.toString()
  const after = edited.text.toString()
  for (const word of ['select', ', ', 'x from', 't']) {
    const at = after.lastIndexOf(word) + 1
    assert.equal(edited.originalPosition(at), original.lastIndexOf(word) + 1, word)
  }
  // Inside what we wrote, the position is where the client's own value begins.
  assert.equal(edited.originalPosition(after.indexOf('xffff') + 1), original.indexOf("'é'") + 1)
  assert.equal(edited.originalPosition(1_000), original.length + 1)
})

test('edits that overlap are a bug of the planner and change nothing', () => {
  assert.throws(() => applyEdits(Buffer.from('abcdef'), [value(0, 3), value(2, 4)], () => ''), RangeError)
  assert.throws(() => applyEdits(Buffer.from('abc'), [value(1, 9)], () => ''), RangeError)
})

test('positions count characters, not bytes', () => {
  const text = Buffer.from('aé€😀b')
  assert.deepEqual(
    [0, 1, 3, 6, 10].map(offset => characterPosition(text, offset)),
    [1, 2, 3, 4, 5],
  )
})
