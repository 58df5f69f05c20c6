import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { bawn, runBawn } from './world.ts'

test('bawn demo --check: the whole tour does what it promises', async () => {
  const { status, output } = await runBawn('demo', '--check')
  assert.equal(status, 0, output)
  assert.match(output, /\b0 failed/)
})

test('bawn demo --data: prints the tour, stops on a signal, and finds its folder again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-test-'))
  try {
    for (const round of [1, 2]) {
      const [program, ...first] = bawn
      const child = spawn(program, [...first, 'demo', '--data', join(folder, 'demo')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      for await (const line of createInterface({ input: child.stdout })) {
        output += `${line}\n`
        if (line.includes('Ctrl-C here stops everything')) child.kill('SIGINT')
      }
      if (child.exitCode === null) await once(child, 'exit')
      assert.equal(child.exitCode, 0, `round ${round}: ${output}`)
      assert.match(output, /Alice of support/)
    }
    assert(existsSync(join(folder, 'demo/data/audit.jsonl')))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
