import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

// h2spec asks a server of HTTP/2 for everything that RFC 7540 and RFC 7541 want of it. One Go program, built from the versions and sums that
// `program` pins, once. For tests only: nothing of it is shipped.

const run = promisify(execFile)
const folder = join(import.meta.dirname, 'program')
const version = /h2spec (v[0-9.]+)/.exec(readFileSync(join(folder, 'go.mod'), 'utf8'))?.[1] ?? 'unknown'
/** Oldest Go that builds it. */
const leastGo = 22

/** Where the program is. @throws {Error} with what is missing */
export async function buildH2spec(): Promise<string> {
  const program = join(import.meta.dirname, '../../node_modules/.cache', `h2spec-${version}`)
  if (existsSync(program)) return program
  const said = await run('go', ['env', 'GOVERSION']).catch(() => ({ stdout: 'there is none' }))
  if (Number(/^go1\.([0-9]+)/.exec(said.stdout)?.[1] ?? 0) < leastGo) {
    throw new Error(`Go 1.${leastGo} or newer is needed (on Debian: golang): ${said.stdout.trim()}`)
  }
  console.log(`building h2spec ${version}, once`)
  mkdirSync(dirname(program), { recursive: true })
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' }
  await run('go', ['build', '-trimpath', '-o', program, 'github.com/summerwind/h2spec/cmd/h2spec'], {
    cwd: folder,
    env,
  })
  return program
}
