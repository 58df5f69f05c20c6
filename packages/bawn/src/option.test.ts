import assert from 'node:assert/strict'
import { test } from 'node:test'
import { duration } from './option.ts'

const durations: readonly (readonly [text: string, milliseconds: number | undefined])[] = [
  ['0s', 0],
  ['250ms', 250],
  ['24d', 2_073_600_000],
  ['2147483647ms', 2_147_483_647],
  ['2147483648ms', undefined],
  ['30d', undefined],
  [`${'9'.repeat(400)}d`, undefined],
  ['5', undefined],
]
for (const [text, milliseconds] of durations) {
  test(`${text.slice(0, 20)} is ${milliseconds ?? 'refused: a timer would fire at once'}`, () => {
    assert.equal(duration.safeParse(text).data, milliseconds)
  })
}
