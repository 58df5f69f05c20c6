import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

// Keycloak, an identity provider that many run: fetched by its Maven coordinates, checked against the sum below, and made
// ready for its built-in database, once for each version. For tests only: nothing of it is shipped.

const run = promisify(execFile)
const version = '26.4.2'
const sha256 = '2a30e4602d63d4501a4a8263bfa4e14cbd5970b4116c618ea28f339b16190233'
/** Oldest Java that runs it. */
const leastJava = 17

/** Where it is, once it was fetched. */
export const keycloak = join(import.meta.dirname, '../../node_modules/.cache', `keycloak-${version}`)

/** @throws {Error} with what is missing */
async function requirePrograms(): Promise<void> {
  const advice = 'on Debian: apt-get install default-jre-headless maven unzip'
  for (const program of ['java', 'mvn', 'unzip']) {
    await run('which', [program]).catch(cause => {
      throw new Error(`there is no program ${program} (${advice})`, { cause })
    })
  }
  const { stderr } = await run('java', ['-version'])
  const major = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  if (major < leastJava) throw new Error(`Java ${leastJava} or newer is needed, and this is ${major} (${advice})`)
}

async function get(): Promise<void> {
  await requirePrograms()
  mkdirSync(dirname(keycloak), { recursive: true })
  // Beside its place, so that it can be moved there.
  const place = mkdtempSync(`${keycloak}.`)
  try {
    const artifact = `org.keycloak:keycloak-quarkus-dist:${version}:zip`
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy'
    await run('mvn', ['-q', '-B', copy, `-Dartifact=${artifact}`, `-DoutputDirectory=${place}`], { cwd: place })
    const zip = join(place, `keycloak-quarkus-dist-${version}.zip`)
    const sum = createHash('sha256').update(readFileSync(zip)).digest('hex')
    if (sum !== sha256) throw new Error(`${artifact} has the SHA-256 ${sum}, and not ${sha256}`)
    await run('unzip', ['-q', zip, '-d', place])
    const home = join(place, `keycloak-${version}`)
    await run('bash', [join(home, 'bin/kc.sh'), 'build', '--db=dev-file'], { cwd: home, maxBuffer: 16 * 1_048_576 })
    renameSync(home, keycloak)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename && !existsSync(keycloak)) {
  console.log(`fetching Keycloak ${version}: 160 MB and a minute or two, once`)
  try {
    await get()
  } catch (error) {
    const why =
      error instanceof Error && 'stderr' in error ? `${error.message}\n${'stdout' in error ? error.stdout : ''}` : error
    console.error(`Keycloak could not be had, and the tests with it cannot run. ${why}`)
    process.exit(1)
  }
}
