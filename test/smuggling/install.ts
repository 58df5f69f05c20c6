import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

// Servers that npm cannot install. nginx, haproxy, Go and Python come from Debian; Python's servers from its own registry, in the versions
// that requirements.txt pins, once; the one of Go is built of Go's own library. For tests only, nothing of them is shipped.

const run = promisify(execFile)
const here = import.meta.dirname
const cache = join(here, '../../node_modules/.cache/smuggling')

/** Paths of programs. */
export interface Installed {
  readonly nginx: string
  readonly haproxy: string
  /** Of the virtual environment with gunicorn, uvicorn and hypercorn. */
  readonly python: string
  readonly go: string
}

/** @throws {Error} with what is missing, and the Debian packages that have it */
export async function install(): Promise<Installed> {
  // Debian has them where only root looks.
  process.env['PATH'] += ':/usr/sbin:/sbin'
  const missing: string[] = []
  for (const [program, args, debianPackage] of [
    ['nginx', ['-v'], 'nginx-light'],
    ['haproxy', ['-v'], 'haproxy'],
    ['python3', ['-c', 'import venv, ensurepip'], 'python3-venv'],
    ['go', ['version'], 'golang'],
  ] as const) {
    await run(program, args).catch(() => missing.push(`${program} (on Debian: ${debianPackage})`))
  }
  if (missing.length > 0) throw new Error(`These programs are missing: ${missing.join(', ')}`)
  mkdirSync(cache, { recursive: true })
  return { nginx: 'nginx', haproxy: 'haproxy', python: await virtualEnvironment(), go: await goServer() }
}

async function virtualEnvironment(): Promise<string> {
  const requirements = join(here, 'requirements.txt')
  const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16)
  const folder = join(cache, `python-${digest}`)
  const whole = join(folder, 'whole')
  const python = join(folder, 'bin/python')
  if (!existsSync(whole)) {
    console.log('installing servers of Python, once')
    rmSync(folder, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', folder])
    const quiet = ['--quiet', '--disable-pip-version-check']
    await run(python, ['-m', 'pip', 'install', ...quiet, '--only-binary', ':all:', '-r', requirements])
    writeFileSync(whole, '')
  }
  return python
}

/** Go keeps what it has built: this takes a moment when nothing has changed. */
async function goServer(): Promise<string> {
  const program = join(cache, 'go-server')
  const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
  await run('go', ['build', '-trimpath', '-buildvcs=false', '-o', program, '.'], { cwd: join(here, 'go'), env })
  return program
}

if (process.argv[1] === import.meta.filename) {
  try {
    await install()
  } catch (error) {
    const why = error instanceof Error && 'stderr' in error ? `${error.message}\n${error.stderr}` : error
    console.error(`The servers could not be installed, and the tests with them cannot run. ${why}`)
    process.exit(1)
  }
}
