import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'

// `npm test`: types, then style, then every test; stops at the first of them that fails. `npm run test:clients` runs the suite that
// needs programs npm cannot install, `npm run test:browser` a person at Chromium, `npm run test:mongo` the one with a server that Go builds,
// `npm run test:drivers` clients of other languages (`-- --write` writes what they can into docs/clients.md), `npm run test:keycloak` the one
// with an identity provider that Maven fetches, `npm run test:vectors` the one whose data is not ours to ship, `npm run test:guessing` the one
// that takes some minutes to compare times (needs redis-server), `npm run test:workers` what holds for any number of workers with two of them, `npm run test:ntlm` the one
// whose server pip fetches, `npm run test:postgres-15` SQL with the oldest server, `npm run test:fuzz -- SECONDS` random input for longer,
// `npm run test:smuggling` hostile requests in front of other servers, `npm run test:soak` half load for ten minutes while parts are killed,
// `npm run test:h2spec` what others ask of HTTP/2, `npm run test:aws` signatures beside AWS's own library,
// `npm run test:long` what takes longest of the end-to-end tests,
// `npm run test:suites -- NAME` what other people wrote to test their drivers (CONTRIBUTING.md).

const root = dirname(import.meta.dirname)
const major = Number(process.versions.node.split('.')[0])
assert(major >= 24, `needs Node 24, not ${process.version}`)

// Ours first: the tests start `node`, `npx bawn` and `tsc` by name.
process.env['PATH'] = [join(root, 'node_modules/.bin'), dirname(process.execPath), process.env['PATH']].join(':')
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/node')

const parallel = Math.min(4, availableParallelism())
const countNames = ['tests', 'pass', 'fail', 'skipped', 'todo'] as const
type Counts = Record<(typeof countNames)[number], number>

/** End-to-end tests that take longest; `npm run test:long`. */
const long = [
  'test/account-stores.test.ts',
  'test/pack.test.ts',
  'test/postgres-hosts.test.ts',
  'test/postgres-tokens.test.ts',
  'test/token-claims.test.ts',
  'test/token-origin.test.ts',
]

const suites = {
  long,
  all: ['packages/*/src/**/*.test.ts', 'test/*.test.ts', 'test/fuzz/*.test.ts'],
  fuzz: ['test/fuzz/*.test.ts'],
  clients: ['test/clients/*.test.ts'],
  browser: ['test/browser/*.test.ts'],
  mongo: ['test/mongo/*.test.ts'],
  drivers: ['test/drivers/*.test.ts'],
  keycloak: ['test/keycloak/*.test.ts'],
  smuggling: ['test/smuggling/*.test.ts'],
  h2spec: ['test/h2spec/*.test.ts'],
  aws: ['test/aws/*.test.ts'],
  vectors: ['test/suites/*.test.ts'],
  guessing: ['test/guessing/*.test.ts'],
  workers: [
    'test/workers/*.test.ts',
    'test/sessions.test.ts',
    'test/revocation.test.ts',
    'test/crash.test.ts',
    'test/demo.test.ts',
    'test/postgres-tokens.test.ts',
    'test/postgres-accounts.test.ts',
    'test/account-stores.test.ts',
    'test/renewal.test.ts',
    'test/revocation-http.test.ts',
    'test/passwords.test.ts',
  ],
  ntlm: ['test/ntlm/*.test.ts'],
  'postgres-15': [
    'test/sql-*.test.ts',
    'test/postgres-cancel.test.ts',
    'test/postgres-copy.test.ts',
    'test/postgres-fields.test.ts',
    'packages/bawn/src/postgres/sql/server.test.ts',
  ],
}

const wanted = process.argv[2]
if (wanted === undefined) {
  await step('tsc', ['-p', 'tsconfig.json'])
  await step('biome', ['check', '.'])
  await tests(suites.all, 0, long)
} else if (wanted === 'mongo') {
  await step(process.execPath, ['test/mongo/build-ferretdb.ts'])
  await tests(suites.mongo)
} else if (wanted === 'suites') {
  await step(process.execPath, ['test/suites/run.ts', ...process.argv.slice(3)])
} else if (wanted === 'soak') {
  await step(process.execPath, ['test/soak/soak.ts'])
} else if (wanted === 'fuzz') {
  const seconds = process.argv[3] ?? '300'
  process.env['BAWN_FUZZ_SECONDS'] = seconds
  await tests(suites.fuzz, Number(seconds) * 2_000)
} else if (wanted === 'drivers') {
  if (process.argv.includes('--write')) process.env['BAWN_CLIENTS'] = 'write'
  await step(process.execPath, ['test/drivers/install.ts'])
  await tests(suites.drivers)
} else if (wanted === 'keycloak') {
  await step(process.execPath, ['test/keycloak/get-keycloak.ts'])
  await tests(suites.keycloak)
} else if (wanted === 'smuggling') {
  await step(process.execPath, ['test/smuggling/install.ts'])
  await tests(suites.smuggling)
} else if (wanted === 'aws') {
  // What it installs first takes minutes on a loaded machine.
  await tests(suites.aws, 660_000)
} else if (wanted === 'h2spec') {
  // It runs twice, and waits where something fails.
  await tests(suites.h2spec, 660_000)
} else if (wanted === 'postgres-15') {
  const { postgres15 } = await import('./postgres-15/install.ts')
  process.env['PG_BIN'] = await postgres15()
  await tests(suites[wanted])
} else if (wanted === 'workers') {
  process.env['BAWN_TEST_WORKERS'] = '2'
  await tests(suites[wanted])
} else if (
  wanted === 'clients' ||
  wanted === 'long' ||
  wanted === 'browser' ||
  wanted === 'vectors' ||
  wanted === 'guessing' ||
  wanted === 'ntlm'
) {
  await tests(suites[wanted])
} else {
  // Some files, for whoever works on them: npm test -- packages/bawn/src/http/*.test.ts
  await tests(process.argv.slice(2))
}

async function step(program: string, args: readonly string[]): Promise<void> {
  console.log(`> ${program} ${args.join(' ')}`)
  await exit(spawn(program, args, { cwd: root, stdio: 'inherit' }), program)
}

async function tests(patterns: readonly string[], moreMs = 0, except: readonly string[] = []): Promise<void> {
  const files = patterns.flatMap(pattern => globSync(pattern, { cwd: root }))
  const jobs = jobsOf(files.filter(file => !except.includes(file)))
  console.log(`> node --test, ${jobs.length} processes, ${parallel} at a time`)
  const total: Counts = { tests: 0, pass: 0, fail: 0, skipped: 0, todo: 0 }
  const failed: string[] = []
  const slow: (readonly [seconds: number, what: string])[] = []
  const seconds = (since: number) => Math.round((performance.now() - since) / 1_000)
  const began = performance.now()
  const queue = jobs.values()
  const work = async (): Promise<void> => {
    for (const files of queue) {
      const started = performance.now()
      const { output, status } = await testProcess(files, 240_000 + moreMs)
      slow.push([seconds(started), files.length > 1 ? dirname(files[0] ?? '') : (files[0] ?? '')])
      process.stdout.write(output)
      const counts = countsOf(output)
      for (const name of countNames) total[name] += counts[name]
      // Its own summary repeats what failed; here it stands again at the end of all.
      if (status !== 0 || counts.tests === 0)
        failed.push(failuresOf(output) ?? `${files.join(' ')}: ended with ${status}`)
    }
  }
  await Promise.all(Array.from({ length: parallel }, work))
  slow.sort(([a], [b]) => b - a)
  console.log(
    `the longest: ${slow
      .slice(0, 12)
      .map(([time, what]) => `${what} ${time} s`)
      .join(', ')}`,
  )
  console.log(`all of ${jobs.length} processes, ${seconds(began)} s`)
  for (const name of countNames) console.log(`ℹ ${name} ${total[name]}`)
  if (failed.length > 0) {
    console.error(`${failed.join('\n')}\nnode --test failed`)
    process.exit(1)
  }
  assert(total.tests > 0, 'no test ran')
  assert.equal(total.skipped + total.todo, 0, 'a test did not run')
}

/**
 * What one process runs: the tests of one folder of a package, which share what they import, or one file of test/, which starts servers
 * and looks at its own process. The long ones come first, so that none of them is left alone at the end.
 */
function jobsOf(files: readonly string[]): string[][] {
  const groups = Map.groupBy(new Set(files), file => (file.startsWith('packages/') ? dirname(file) : file))
  const isLong = (name: string) => !name.startsWith('packages/')
  return [...groups].toSorted(([a], [b]) => Number(isLong(b)) - Number(isLong(a))).map(([, group]) => group)
}

async function testProcess(files: readonly string[], timeoutMs: number): Promise<{ output: string; status: number }> {
  const args = ['--test', '--test-isolation=none', `--test-timeout=${timeoutMs}`, '--test-reporter=spec', ...files]
  const color = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...color },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [status] = await once(child, 'close')
  return { output, status: status ?? 1 }
}

/** The lines of its summary, such as `ℹ tests 12`. */
function countsOf(output: string): Counts {
  const count = (name: string) => Number(new RegExp(`ℹ ${name} ([0-9]+)`).exec(output.slice(-65_536))?.[1] ?? 0)
  return {
    tests: count('tests'),
    pass: count('pass'),
    fail: count('fail'),
    skipped: count('skipped'),
    todo: count('todo'),
  }
}

function failuresOf(output: string): string | undefined {
  const at = output.lastIndexOf('failing tests:')
  return at < 0 ? undefined : output.slice(at)
}

async function exit(child: ReturnType<typeof spawn>, what: string): Promise<void> {
  const [status] = await once(child, 'close')
  if (status === 0) return
  console.error(`${what} failed`)
  process.exit(1)
}
