import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../config/load.ts'
import { renderProblems } from '../../config/problem.ts'
import { demoConfiguration } from './configuration.ts'

const ports = { web: 8080, sql: 9393, desk: 9191, postgres: 5432, provider: 3001, shop: 3000 }
const parse = (text: string) => parseConfig('/demo/bawn.yaml', new TextEncoder().encode(text))

test('the configuration of the demo is sound; the one thing that is unsafe is said', () => {
  const loaded = parse(demoConfiguration(ports))
  assert(loaded.kind === 'ok', loaded.kind === 'invalid' ? renderProblems(loaded.problems) : '')
  assert.deepEqual(
    loaded.warnings.map(warning => /provider/.test(warning.message)),
    [true],
  )
  assert.deepEqual(Object.keys(loaded.config.listeners), ['web', 'sql', 'desk'])
})

test('the misspelling of the tour is found, with its line and what was meant', () => {
  const text = demoConfiguration(ports)
  const loaded = parse(text.replace('reveal:', 'reveel:'))
  assert(loaded.kind === 'invalid')
  const line = text.slice(0, text.indexOf('reveal:')).split('\n').length
  const [problem] = loaded.problems
  assert.equal(problem?.line, line)
  assert.match(renderProblems(loaded.problems), /reveel[\s\S]*did you mean "reveal"/)
})
