import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

// Clients that npm cannot install: each from the registry of its own language, in the versions that the files beside this one pin. They
// are put where nothing is committed, once for each version; for tests only, nothing of them is shipped.

const run = promisify(execFile)
const here = import.meta.dirname
const cache = join(here, '../../node_modules/.cache/drivers')

export interface Installed {
  /** Of the virtual environment with psycopg, asyncpg, requests and httpx. */
  readonly python: string
  /** For LD_LIBRARY_PATH: the libpq 18 that psycopg's package brings, and what it needs. */
  readonly libpq: string
  /** As in `libpq 18.6`. */
  readonly libpqVersion: string
  /** A jar. */
  readonly pgjdbc: string
  /** Programs. */
  readonly pgx: string
  readonly netHttp: string
}

/** @throws {Error} with what is missing, and the Debian packages that have it */
export async function install(): Promise<Installed> {
  const missing: string[] = []
  for (const [program, args, packages] of [
    ['psql', ['--version'], 'postgresql-client'],
    ['python3', ['-c', 'import venv, ensurepip'], 'python3-venv'],
    ['go', ['version'], 'golang (1.25 or newer)'],
    ['java', ['--version'], 'default-jdk-headless'],
    ['javac', ['--version'], 'default-jdk-headless'],
    ['mvn', ['--version'], 'maven'],
  ] as const) {
    await run(program, args).catch(() => missing.push(`${program} (on Debian: ${packages})`))
  }
  if (missing.length > 0) throw new Error(`These programs are missing: ${missing.join(', ')}`)
  mkdirSync(cache, { recursive: true })
  const [python, pgjdbc, pgx, netHttp] = await Promise.all([venv(), jar(), goProgram('pgx'), goProgram('nethttp')])
  return { ...python, pgjdbc, pgx, netHttp }
}

/** Makes a folder that goes by the contents of a file, if it is not there whole. */
async function once(name: string, pins: string, make: (folder: string) => Promise<void>): Promise<string> {
  const digest = createHash('sha256')
    .update(readFileSync(join(here, pins)))
    .digest('hex')
    .slice(0, 16)
  const folder = join(cache, `${name}-${digest}`)
  const whole = join(folder, 'whole')
  if (!existsSync(whole)) {
    console.log(`installing ${name}, once`)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    await make(folder)
    writeFileSync(whole, '')
  }
  return folder
}

async function venv(): Promise<Pick<Installed, 'python' | 'libpq' | 'libpqVersion'>> {
  const folder = await once('python', 'requirements.txt', async place => {
    await run('python3', ['-m', 'venv', place])
    const quiet = ['--quiet', '--disable-pip-version-check']
    const args = ['-m', 'pip', 'install', ...quiet, '--only-binary', ':all:', '-r', join(here, 'requirements.txt')]
    await run(join(place, 'bin/python'), args)
    const [library] = globSync(join(place, 'lib/python*/site-packages/psycopg_binary.libs/libpq-*.so*'))
    if (library === undefined) throw new Error('psycopg[binary] has no libpq')
    mkdirSync(join(place, 'libpq'))
    symlinkSync(library, join(place, 'libpq/libpq.so.5'))
  })
  const python = join(folder, 'bin/python')
  const [library = ''] = globSync(join(folder, 'lib/python*/site-packages/psycopg_binary.libs/libpq-*.so*'))
  const asked = 'import psycopg; version = psycopg.pq.version(); print(f"libpq {version // 10000}.{version % 10000}")'
  const libpqVersion = (await run(python, ['-c', asked])).stdout.trim()
  return { python, libpq: `${join(folder, 'libpq')}:${dirname(library)}`, libpqVersion }
}

async function jar(): Promise<string> {
  const folder = await once('pgjdbc', 'pgjdbc/pom.xml', async place => {
    const pom = join(here, 'pgjdbc/pom.xml')
    const goal = ['dependency:copy-dependencies', '-DexcludeTransitive=true', `-DoutputDirectory=${place}`]
    await run('mvn', ['--batch-mode', '--quiet', '--file', pom, ...goal])
  })
  const [found] = globSync(join(folder, 'postgresql-*.jar'))
  if (found === undefined) throw new Error('Maven has brought no pgjdbc')
  return found
}

/** Go keeps what it has built: this takes a moment when nothing has changed. */
async function goProgram(name: string): Promise<string> {
  const program = join(cache, name)
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' }
  await run('go', ['build', '-trimpath', '-buildvcs=false', '-o', program, '.'], { cwd: join(here, name), env })
  return program
}

if (process.argv[1] === import.meta.filename) {
  try {
    await install()
  } catch (error) {
    const why = error instanceof Error && 'stderr' in error ? `${error.message}\n${error.stderr}` : error
    console.error(`The drivers could not be installed, and their tests cannot run. ${why}`)
    process.exit(1)
  }
}
