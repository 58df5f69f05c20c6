import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openLearning, parseShapes } from './learning.ts'
import type { StatementMatch } from './rules.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-learning-'))
after(() => rmSync(folder, { recursive: true }))

const statement = (shape: string): StatementMatch => ({ classes: ['SELECT'], shape, references: [] }) as never

test('several that collect into one file know what the others have, and keep to one limit', () => {
  const file = join(folder, 'shapes')
  const problems: string[] = []
  const open = () => openLearning({ file, maxShapes: 3, onProblem: message => problems.push(message) })
  const [one, other] = [open(), open()]
  one.note(['staff'], statement('select 1'))
  other.note(['staff'], statement('select 1'))
  other.note(['staff'], statement('select 2'))
  // A line that was cut by a crash is not taken for one.
  appendFileSync(file, '{"roles":["st')
  one.note(['staff'], statement('select 2'))
  assert.equal(readFileSync(file, 'utf8').split('\n').length, 3)
  appendFileSync(file, '\n')
  one.note(['staff'], statement('select 3'))
  other.note(['staff'], statement('select 4'))
  // Each tells it once.
  assert.equal(problems.length, 2)
  assert.match(problems[0] ?? '', /has 3 shapes/)
  assert.deepEqual(
    parseShapes(readFileSync(file, 'utf8')).map(({ query }) => query),
    ['select 1', 'select 2'],
  )
})
