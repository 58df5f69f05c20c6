import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
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

/** Where we are root, PostgreSQL runs as another user, who has to pass through. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-test-'))
  chmodSync(folder, 0o711)
  return folder
}

test('bawn demo --data: stops on a signal, leaves nothing running when it is killed, and finds its folder again', async () => {
  const folder = makeFolder()
  try {
    const data = join(folder, 'demo')
    const asked = await runDemo(data, child => void child.kill('SIGINT'))
    assert.equal(asked.child.exitCode, 0, asked.output)
    assert.match(asked.output, /Alice of support/)

    const gone: Promise<unknown>[] = []
    const killed = await runDemo(data, async child => {
      const ports = Object.values(JSON.parse(readFileSync(join(data, 'ports.json'), 'utf8')) as Record<string, number>)
      const sockets = ports.map(port => connect(port, '127.0.0.1').on('error', () => {}))
      await Promise.all(sockets.map(socket => once(socket, 'connect')))
      // A connection ends with the process at its other end.
      gone.push(...sockets.map(socket => new Promise(resolve => socket.resume().on('close', resolve))))
      child.kill('SIGKILL')
    })
    assert.equal(gone.length, 6, killed.output)
    await Promise.all(gone)

    const again = await runDemo(data, child => void child.kill('SIGTERM'))
    assert.equal(again.child.exitCode, 0, again.output)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

/** @param onReady called when the demo is up */
async function runDemo(folder: string, onReady: (child: ChildProcess) => void) {
  const [program, ...first] = bawn
  const child = spawn(program, [...first, 'demo', '--data', folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const line of createInterface({ input: child.stdout })) {
    output += `${line}\n`
    if (line.includes('Ctrl-C here stops everything')) onReady(child)
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return { child, output }
}
