import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { compare, makeTour, quote, renderTour, type Step } from './tour.ts'

const step: Step = {
  title: 'a step',
  command: 'true',
  see: 'something',
  exit: 'zero',
  shows: [/masked/],
  hides: [/plain/],
}

const rows = [
  { name: 'what was promised', step, status: 0, output: 'masked', differences: [] },
  { name: 'another exit status', step, status: 1, output: 'masked', differences: ['exit status 1, promised: zero'] },
  { name: 'nothing to see', step, status: 0, output: '', differences: ['does not show /masked/'] },
  { name: 'too much to see', step, status: 0, output: 'masked plain', differences: ['shows /plain/'] },
  {
    name: 'any failure where one is promised',
    step: { ...step, exit: 'not zero' as const },
    status: 2,
    output: 'masked',
    differences: [],
  },
  {
    name: 'success where a failure is promised',
    step: { ...step, exit: 'not zero' as const },
    status: 0,
    output: 'masked',
    differences: ['exit status 0, promised: not zero'],
  },
]

for (const { name, step, status, output, differences } of rows) {
  test(`comparing sees ${name}`, () => {
    assert.deepEqual(compare(step, { status, output }), differences)
  })
}

const toolboxes = [
  { psql: true, curl: true },
  { psql: false, curl: false },
]

test('every command is one line that a POSIX shell can read', () => {
  for (const tools of toolboxes) {
    for (const { command } of makeTour(tools)) {
      assert(!command.includes('\n'), command)
      const { status, stderr } = spawnSync('sh', ['-n', '-c', command], { encoding: 'utf8' })
      assert.equal(status, 0, `${command}\n${stderr}`)
    }
  }
})

test('without psql and curl no command names them', () => {
  const commands = makeTour({ psql: false, curl: false }).map(one => one.command)
  assert.deepEqual(
    commands.filter(command => /\b(psql|curl)\b/.test(command)),
    [],
  )
})

test('both tours promise the same', () => {
  const [one = [], other = []] = toolboxes.map(makeTour)
  assert.deepEqual(
    one.map(({ title, see, shows, hides }) => ({ title, see, shows, hides })),
    other.map(({ title, see, shows, hides }) => ({ title, see, shows, hides })),
  )
})

test('the printed tour has every command, its promise, and how to begin', () => {
  const steps = makeTour({ psql: true, curl: true })
  const text = renderTour(steps, '/tmp/demo/env')
  assert.match(text, /\. \/tmp\/demo\/env/)
  for (const { command, see } of steps) assert(text.includes(`    ${command}\n\n    -> ${see}\n`))
})

test('a path with spaces and quotes is still one word of a shell', () => {
  for (const path of ['/tmp/demo/env', '/tmp/my demo/env', "/tmp/it's $HOME/env"]) {
    assert.equal(spawnSync('sh', ['-c', `printf %s ${quote(path)}`], { encoding: 'utf8' }).stdout, path)
  }
})
