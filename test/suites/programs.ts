import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

// Fetches what other people wrote, from the registries and by their ordinary clients, into a folder that is no part of the repository.

export const cache = join(import.meta.dirname, '../../node_modules/.cache/suites')

const execute = promisify(execFile)

/** Runs a program to its end. @returns what it printed on standard output @throws {Error} with what it said, when it failed */
export async function call(program: string, args: readonly string[], cwd = cache): Promise<string> {
  try {
    return (await execute(program, [...args], { cwd, maxBuffer: 1 << 28 })).stdout
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).slice(-2_000) : ''
    throw new Error(`${program} ${args.join(' ')} failed: ${said || String(error)}`, { cause: error })
  }
}

/**
 * Runs a suite, whose status says nothing: some of its tests fail on every way. With it ends what it started.
 *
 * @returns both outputs, as they came
 * @throws {Error} when it takes longer than `minutes`: half of its results would look like differences
 */
export async function collect(
  program: string,
  args: readonly string[],
  { cwd = cache, env = {}, minutes }: { cwd?: string; env?: NodeJS.ProcessEnv; minutes: number },
): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, detached: true }
  const child = spawn(program, [...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const pieces: Buffer[] = []
  child.stdout.on('data', piece => pieces.push(piece))
  child.stderr.on('data', piece => pieces.push(piece))
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }, minutes * 60_000)
  await once(child, 'close')
  clearTimeout(timer)
  if (isLate) throw new Error(`${program} ${args.join(' ')} did not end within ${minutes} minutes`)
  return Buffer.concat(pieces).toString()
}

/** Makes a folder once: `make` fills a temporary one, which takes the name when it is whole. */
export async function buildOnce(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  const building = `${folder}.${process.pid}`
  mkdirSync(building, { recursive: true })
  try {
    await make(building)
    renameSync(building, folder)
  } finally {
    rmSync(building, { recursive: true, force: true })
  }
  return folder
}

/** The sources of a package of PyPI, its tests among them. */
export function sourcesOf(name: string, version: string): Promise<string> {
  return buildOnce(`${name}-${version}-sources`, async folder => {
    await call('pip', ['download', '-q', '--no-deps', '--no-binary', name, '-d', folder, `${name}==${version}`])
    await call('sh', ['-c', 'tar xzf *.tar.gz --strip-components=1 && rm *.tar.gz'], folder)
  })
}

/** An environment of Python with these packages. @returns its interpreter */
export async function pythonWith(name: string, packages: readonly string[]): Promise<string> {
  const folder = join(cache, `python-${name}`)
  const python = join(folder, 'bin/python')
  if (!existsSync(join(folder, 'complete'))) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(cache, { recursive: true })
    await call('python3', ['-m', 'venv', folder])
    await call(python, ['-m', 'pip', 'install', '-q', ...packages])
    mkdirSync(join(folder, 'complete'))
  }
  return python
}

/** A Go module with its tests, in a folder that can be written. */
export function goModule(path: string, version: string): Promise<string> {
  return buildOnce(`${path.replaceAll('/', '_')}-${version}`, async folder => {
    const said = await call('go', ['mod', 'download', '-json', `${path}@${version}`], folder)
    const found: unknown = JSON.parse(said)
    if (!(found instanceof Object && 'Dir' in found)) throw new Error(`go does not say where ${path} is`)
    await call('sh', ['-c', 'cp -R "$1/." . && chmod -R u+w .', 'sh', String(found.Dir)], folder)
  })
}

/** The sources of a Debian package, with the lists of sources of this machine. Leaves the machine's own lists alone. */
export function debianSources(name: string, version: string, wanted: string): Promise<string> {
  return buildOnce(`${name}-${version}`, async folder => {
    const script = `
      set -e
      mkdir -p apt/parts apt/lists/partial
      for file in /etc/apt/sources.list.d/*.sources; do
        sed 's/^Types:.*/Types: deb-src/' "$file" > "apt/parts/$(basename "$file")"
      done
      sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > apt/parts/main.list 2>/dev/null || true
      options="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$PWD/apt/parts -o Dir::State::lists=$PWD/apt/lists"
      apt-get $options update -qq 2>/dev/null || true
      apt-get $options source -qq --download-only "$1=$2"
      tar xf *.orig.tar.* --strip-components=1 --wildcards "$3"
      rm -rf apt *.tar.* *.dsc`
    await call('sh', ['-c', script, 'sh', name, version, wanted], folder)
  })
}
