import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

test('the example in the README prints what the README says', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1]
  const output = /^prints `(.*)`/m.exec(readme)?.[1]
  assert.ok(example !== undefined && output !== undefined)
  const code = example.replace("'@bawn/envelope'", JSON.stringify(new URL('./index.ts', import.meta.url).href))
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  assert.equal(stdout, `${output}\n`, stderr)
})
