import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Python with botocore in the version that requirements.txt pins, installed once; for tests only. @throws {Error} with what is missing */
export async function installPython(): Promise<string> {
  const requirements = join(import.meta.dirname, 'requirements.txt')
  const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16)
  const folder = join(import.meta.dirname, '../../node_modules/.cache', `aws-${digest}`)
  const whole = join(folder, 'whole')
  const python = join(folder, 'bin/python')
  if (existsSync(whole)) return python
  console.log('installing botocore, once')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await run('python3', ['-m', 'venv', folder]).catch(cause => {
    throw new Error('python3 cannot make an environment; on Debian: apt-get install python3-venv', { cause })
  })
  const quiet = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
  await run(python, [...quiet, '-r', requirements])
  writeFileSync(whole, '')
  return python
}
