import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

// FerretDB speaks MongoDB's protocol over SQLite, and is one Go program: a server that can be had where MongoDB's own cannot. Built from
// the versions and sums that test/mongo/ferretdb pins, once for each of them. For tests only: nothing of it is shipped.

const run = promisify(execFile)
const folder = join(import.meta.dirname, 'ferretdb')
const version = /FerretDB (v[0-9.]+)/.exec(readFileSync(join(folder, 'go.mod'), 'utf8'))?.[1] ?? 'unknown'
/** Oldest Go that builds it. */
const leastGo = 22

/** Where the program is, once it is built. */
export const ferretdb = join(import.meta.dirname, '../../node_modules/.cache', `ferretdb-${version}`)

/** @throws {Error} with what is missing */
async function requireGo(): Promise<void> {
  const advice = `Go 1.${leastGo} or newer is needed to build FerretDB (on Debian: apt-get install golang)`
  const said = await run('go', ['env', 'GOVERSION']).catch(cause => {
    throw new Error(`${advice}: there is no program go`, { cause })
  })
  const minor = Number(/^go1\.([0-9]+)/.exec(said.stdout)?.[1] ?? 0)
  if (minor < leastGo) throw new Error(`${advice}: this is ${said.stdout.trim()}`)
}

async function build(): Promise<void> {
  await requireGo()
  const place = mkdtempSync(join(tmpdir(), 'bawn-ferretdb-'))
  const go = (...args: readonly string[]) =>
    run('go', [...args], { cwd: place, env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' } })
  try {
    cpSync(folder, place, { recursive: true })
    await go('mod', 'vendor')
    // Its own build writes this file; without it the program does not start.
    writeFileSync(join(place, 'vendor/github.com/FerretDB/FerretDB/build/version/version.txt'), `${version}\n`)
    const tags = ['-tags', 'ferretdb_no_postgresql']
    await go('build', '-trimpath', '-mod=vendor', ...tags, '-o', 'built', 'github.com/FerretDB/FerretDB/cmd/ferretdb')
    mkdirSync(dirname(ferretdb), { recursive: true })
    cpSync(join(place, 'built'), `${ferretdb}.${process.pid}`)
    renameSync(`${ferretdb}.${process.pid}`, ferretdb)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename && !existsSync(ferretdb)) {
  console.log(`building FerretDB ${version}: one to three minutes, once`)
  try {
    await build()
  } catch (error) {
    const why = error instanceof Error && 'stderr' in error ? `${error.message}\n${error.stderr}` : error
    console.error(`FerretDB could not be built, and the tests of accounts in MongoDB cannot run. ${why}`)
    process.exit(1)
  }
}
