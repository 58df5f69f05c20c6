import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildOnce, call, collect } from './programs.ts'
import { hurried } from './reasons.ts'
import type { Outcome, Suite } from './suite.ts'
import { longWays } from './ways.ts'

// The packages `pg` and `postgres` of npm have no tests in them, in any version, and neither has a registry their sources. What is left
// are the older versions of three packages that belong to node-postgres: their tests, with the present packages.

const pgVersion = '8.23.1'
const parts = [
  { name: 'pg-pool', tested: '2.0.3', present: '3.14.0' },
  { name: 'pg-cursor', tested: '2.0.1', present: '2.22.0' },
  { name: 'pg-query-stream', tested: '2.0.1', present: '4.17.0' },
]
const folderOf = () =>
  buildOnce(`node-postgres-${pgVersion}`, async folder => {
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    const tools = [
      'mocha@10',
      'expect.js@0.3.1',
      'co@4.6.0',
      'bluebird@3.4.1',
      'lodash@4',
      'concat-stream@1',
      'JSONStream@1',
      'through@2',
    ]
    const present = parts.map(({ name, present }) => `${name}@${present}`)
    await call('npm', ['install', '--no-audit', '--no-fund', `pg@${pgVersion}`, ...present, ...tools], folder)
    for (const { name, tested } of parts) {
      const old = join(folder, 'old', name)
      mkdirSync(old, { recursive: true })
      await call(
        'sh',
        ['-c', 'tar xzf "$(npm pack --silent "$1")" --strip-components=1', 'sh', `${name}@${tested}`],
        old,
      )
      await call('cp', ['-R', join(old, 'test'), join(folder, 'node_modules', name, 'test')], folder)
      // Three ask for packages that no registry has whole, and one is about options of then and needs no database.
      await call(
        'rm',
        ['-f', 'stream-tester.js', 'stream-tester-timestamp.js', 'pauses.js', 'config.js'],
        join(folder, 'node_modules', name, 'test'),
      )
    }
  })

const lists: readonly (readonly [list: string, outcome: Outcome])[] = [
  ['passes', 'passed'],
  ['pending', 'skipped'],
  ['failures', 'failed'],
]

/** The tests of one list in mocha's report. */
function titlesOf(report: unknown, list: string): readonly string[] {
  const tests: unknown = report instanceof Object ? Reflect.get(report, list) : undefined
  if (!Array.isArray(tests)) throw new Error(`mocha's report has no ${list}`)
  return tests.map(test => String(test?.fullTitle))
}

export const nodePostgres: Suite = {
  name: 'node-postgres',
  version: pgVersion,
  part: 'pg-pool, pg-cursor and pg-query-stream, by the tests of the last versions that have any in their package; `pg` itself and postgres.js have none',
  database: 'pool',
  setup: '',
  async prepare() {
    await folderOf()
  },
  async run({ host, port, user, password, database }) {
    const cwd = await folderOf()
    // Its tests end at the first warning, and a promise of one's own is one by now.
    const env = {
      NODE_OPTIONS: '--no-deprecation',
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
    }
    const outcomes = new Map<string, Outcome>()
    for (const { name } of parts) {
      const file = join(cwd, 'report.json')
      rmSync(file, { force: true })
      const reporter = ['--reporter', 'json', '--reporter-option', `output=${file}`]
      const args = [...reporter, '--timeout', '20000', '--exit', `node_modules/${name}/test/*.js`]
      const said = await collect(join(cwd, 'node_modules/.bin/mocha'), args, { cwd, env, minutes: 10 })
      if (!existsSync(file)) throw new Error(`mocha wrote no results of ${name}: ${said.slice(-1_500)}`)
      const report: unknown = JSON.parse(readFileSync(file, 'utf8'))
      for (const [list, outcome] of lists) {
        for (const title of titlesOf(report, list)) outcomes.set(`${name} ${title.replaceAll(' ', '_')}`, outcome)
      }
    }
    return outcomes
  },
  ways: longWays,
  differences: [[/should_timeout_on_checkout_of_used_connection$/, hurried]],
}
