import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { FileLockError, lockFile } from '../../packages/bawn/src/file-lock.ts'

const run = promisify(execFile)
/** On a loaded machine moto takes some minutes. */
const installMs = 900_000

/** Python with botocore and moto in the versions that requirements.txt pins, installed once; for tests only. @throws {Error} with what is missing */
export async function installPython(): Promise<string> {
  const requirements = join(import.meta.dirname, 'requirements.txt')
  const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16)
  const cache = join(import.meta.dirname, '../../node_modules/.cache')
  const folder = join(cache, `aws-${digest}`)
  const whole = join(folder, 'whole')
  const python = join(folder, 'bin/python')
  mkdirSync(cache, { recursive: true })
  const deadline = Date.now() + installMs
  while (!existsSync(whole)) {
    const unlock = lockOrWait(folder)
    if (unlock === undefined) {
      // The other test file installs it.
      if (Date.now() > deadline) throw new Error(`${folder}.lock is held, and nothing is installed`)
      await setTimeout(200)
      continue
    }
    try {
      if (!existsSync(whole)) await install(folder, python, requirements)
      writeFileSync(whole, '')
    } finally {
      unlock()
    }
  }
  return python
}

function lockOrWait(folder: string): (() => void) | undefined {
  try {
    return lockFile(folder)
  } catch (error) {
    if (error instanceof FileLockError && error.kind === 'held') return undefined
    throw error
  }
}

async function install(folder: string, python: string, requirements: string): Promise<void> {
  console.log('installing botocore and moto, once')
  rmSync(folder, { recursive: true, force: true })
  await run('python3', ['-m', 'venv', folder]).catch(cause => {
    throw new Error('python3 cannot make an environment; on Debian: apt-get install python3-venv', { cause })
  })
  const quiet = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-compile',
    '--only-binary',
    ':all:',
  ]
  await run(python, [...quiet, '-r', requirements])
}
