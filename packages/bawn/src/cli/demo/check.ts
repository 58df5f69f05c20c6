import { spawn, spawnSync } from 'node:child_process'
import { compare, type Observed, type Step, type Tools } from './tour.ts'

/** What of the tour's programs is installed here. */
export function findTools(): Tools {
  const works = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
  return { psql: works('psql'), curl: works('curl') }
}

/**
 * Runs the tour as a user would paste it and prints one line a step.
 *
 * @param envFile read before each command
 * @returns how many steps did not do what is promised
 */
export async function checkTour(steps: readonly Step[], envFile: string, say: (line: string) => void): Promise<number> {
  let failed = 0
  for (const [index, step] of steps.entries()) {
    const observed = await paste(step.command, envFile)
    const differences = compare(step, observed)
    const label = `${String(index + 1).padStart(2)} of ${steps.length}  ${step.title}`
    if (differences.length === 0) {
      say(`ok      ${label}`)
    } else {
      failed++
      say(`FAILED  ${label}`)
      say(indent([`$ ${step.command}`, observed.output.trimEnd(), ...differences.map(text => `=> ${text}`)].join('\n')))
    }
  }
  say(`${steps.length - failed} passed, ${failed} failed`)
  return failed
}

function indent(text: string): string {
  return text.replace(/^/gm, '          ')
}

const stepTimeoutMs = 60_000

function paste(command: string, envFile: string): Promise<Observed> {
  // psql asks at the terminal for a password it was not given; there is none here, so it fails instead of waiting.
  const child = spawn('sh', ['-c', `. "$0"\n${command}`, envFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: stepTimeoutMs,
    detached: true,
    env: { ...process.env, PAGER: 'cat', LC_ALL: 'C' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return new Promise(resolve => {
    child.once('error', error => resolve({ status: 127, output: error.message }))
    child.once('close', (status, signal) => {
      resolve({ status: status ?? 128, output: signal === null ? output : `${output}\nended by ${signal}` })
    })
  })
}
