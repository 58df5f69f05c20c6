import { call, collect, goModule } from './programs.ts'
import { applicationName, settingsStay, startupSettings } from './reasons.ts'
import type { Outcome, Suite } from './suite.ts'

const pgxVersion = 'v5.12.0'
export const pgx: Suite = {
  name: 'pgx',
  version: pgxVersion,
  part: 'pgx, pgconn, pgtype, pgxpool, stdlib',
  database: 'pgx_test',
  setup: 'create extension hstore; create extension ltree; create domain uint64 as numeric(20,0)',
  async prepare() {
    const folder = await goModule('github.com/jackc/pgx/v5', pgxVersion)
    await call('go', ['test', '-count=1', '-run=^$', '.', './pgconn', './pgtype', './pgxpool', './stdlib'], folder)
  },
  async run({ host, port, user, password, database }) {
    const folder = await goModule('github.com/jackc/pgx/v5', pgxVersion)
    const packages = ['.', './pgconn', './pgtype/...', './pgxpool', './stdlib']
    const place = `host=${host} port=${port} user=${user} password=${password} dbname=${database} sslmode=disable`
    const said = await collect('go', ['test', '-count=1', '-p=1', '-timeout=900s', '-json', ...packages], {
      cwd: folder,
      env: { PGX_TEST_DATABASE: place },
      minutes: 20,
    })
    const outcomes = new Map<string, Outcome>()
    for (const line of said.split('\n')) {
      if (!line.startsWith('{')) continue
      const event: unknown = JSON.parse(line)
      if (!(event instanceof Object && 'Action' in event && 'Test' in event && 'Package' in event)) continue
      // Some are called by a temporary file of theirs.
      const name = String(event.Test).replace(/servicefile='[^']*'/, 'servicefile')
      const test = `${String(event.Package).replace('github.com/jackc/pgx/v5', 'pgx')} ${name}`
      if (event.Action === 'pass') outcomes.set(test, 'passed')
      else if (event.Action === 'skip') outcomes.set(test, 'skipped')
      else if (event.Action === 'fail' || event.Action === 'run') outcomes.set(test, 'failed')
    }
    return outcomes
  },
  differences: [
    [/ TestConnSimpleProtocolRefusesNon(UTF8ClientEncoding|StandardConformingStrings)$/, settingsStay],
    [/ TestConnectWithRuntimeParams$/, startupSettings],
    [/ TestPoolBeforeConnect$/, applicationName],
  ],
}
