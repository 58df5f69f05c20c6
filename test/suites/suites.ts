import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache, call, collect, debianSources, goModule, pythonWith, sourcesOf } from './programs.ts'
import type { Target } from './ways.ts'

// The suites, what of them runs, and where they differ on purpose.

export type Outcome = 'passed' | 'failed' | 'skipped'

export interface Suite {
  readonly name: string
  readonly version: string
  /** What of it runs, for the table. */
  readonly part: string
  readonly database: string
  /** SQL that the suite wants to find done. */
  readonly setup: string
  /** Fetches what is needed; nothing where it is there. */
  prepare(): Promise<void>
  /** Outcome of each test; what a comparison goes by. */
  run(target: Target): Promise<Map<string, string>>
  /** Tests that differ, and why: by design, or because they measure time. The first that matches counts. */
  readonly differences: readonly (readonly [test: RegExp, reason: string])[]
}

/** Tests and outcomes of a JUnit file, as pytest writes it. */
function junit(file: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  const cases = /<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs
  for (const [, attributes = '', inside = ''] of readFileSync(file, 'utf8').matchAll(cases)) {
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1]
    const owner = /\bclassname="([^"]*)"/.exec(attributes)?.[1]
    const outcome = /<(?:failure|error)\b/.test(inside) ? 'failed' : /<skipped\b/.test(inside) ? 'skipped' : 'passed'
    outcomes.set(`${owner}.${name}`, outcome)
  }
  return outcomes
}

async function pytest(
  python: string,
  cwd: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Map<string, Outcome>> {
  const file = join(cache, `junit-${process.pid}.xml`)
  const common = ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', `--junitxml=${file}`]
  const said = await collect(python, [...common, ...args], { cwd, env, minutes: 6 })
  try {
    return junit(file)
  } catch (cause) {
    throw new Error(`pytest wrote no results: ${said.slice(-1_500)}`, { cause })
  }
}

const itsOwnKey =
  'the process id that a client is told is the door’s own: `pg_terminate_backend` and `pg_locks` do not know it'
const settingsStay = '`client_encoding` stays UTF8 and `standard_conforming_strings` stays on: texts are read by them'
const startupSettings = 'a client may not bring `search_path` and the like at the start of a connection'
const otherDatabases = 'it makes a database and connects to it, and the gateway has no entry of that name'
const readAhead =
  'an error comes when some MB more have been written than without the door between, and the test writes only 4'
const hurried = 'it gives a login 0.2 s: too little through the door on a busy machine; by itself it passes'
const untraced = 'passes by itself, and not always on a busy machine: presumably for want of time, which was not traced'
const applicationName = '`application_name` begins with who it is'
const asExecute = '`CREATE TABLE AS EXECUTE` is refused: it would store what a prepared statement yields'
const ownWords =
  'a syntax error in a statement that has to be parsed is told in the door’s words, with the same SQLSTATE'

const pgxVersion = 'v5.12.0'
const pgx: Suite = {
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
    const said = await collect('go', ['test', '-count=1', '-p=1', '-timeout=240s', '-json', ...packages], {
      cwd: folder,
      env: { PGX_TEST_DATABASE: place },
      minutes: 6,
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
    [/ (TestFatal[RT]xError|TestPoolAcquireChecksIdleConns|TestCheckIdleConn)$/, itsOwnKey],
    [/ TestConnSimpleProtocolRefusesNon(UTF8ClientEncoding|StandardConformingStrings)$/, settingsStay],
    [/ TestConnectWithRuntimeParams$/, startupSettings],
    [/ TestPoolBeforeConnect$/, applicationName],
  ],
}

const asyncpgVersion = '0.32.0'
const asyncpgFiles = [
  'adversity',
  'cache_invalidation',
  'cancellation',
  'codecs',
  'copy',
  'cursor',
  'exceptions',
  'execute',
]
const asyncpgMore = [
  'introspection',
  'listeners',
  'logging',
  'pool',
  'prepare',
  'record',
  'timeout',
  'transaction',
  'types',
]
const asyncpg: Suite = {
  name: 'asyncpg',
  version: asyncpgVersion,
  part: 'everything but test_connect.py and test_scram.py, which start servers of their own',
  // Its pools connect to that, whatever they are told.
  database: 'postgres',
  setup: '',
  async prepare() {
    await sourcesOf('asyncpg', asyncpgVersion)
    await pythonWith('asyncpg', [`asyncpg==${asyncpgVersion}`, 'pytest'])
  },
  async run({ host, port, user, password, database }) {
    const python = await pythonWith('asyncpg', [])
    const sources = await sourcesOf('asyncpg', asyncpgVersion)
    const files = [...asyncpgFiles, ...asyncpgMore].map(name => `tests/test_${name}.py`)
    const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database }
    // The package beside the tests is not built: it must not be found before the installed one.
    await call('sh', ['-c', 'rm -rf asyncpg'], sources)
    return await pytest(python, sources, files, env)
  },
  differences: [
    [/test_listeners\.TestListeners\.test_listen_/, itsOwnKey],
    [/test_pool_min_size_restored_after_idle_connection_loss$/, itsOwnKey],
    [
      /test_type_cache_invalidation_in_pool$|test_introspection_(loads_basetypes_of_domains|on_large_db)$/,
      otherDatabases,
    ],
    [/test_pool_(set_connection_args|floor_reconnect_honors_expired_generation)$/, applicationName],
    [/test_executemany_server_failure_during_writes$/, readAhead],
    [/test_pool_remote_close$/, hurried],
    [/test_pool_(min_size_zero_allows_full_expiry|release_after_background_cancel_timeout)$/, untraced],
  ],
}

const regressionVersion = '15.18-0+deb12u1'
/** A few minutes each way. */
const lastScript = 'select'
const regressionFolder = () => debianSources('postgresql-15', regressionVersion, '*/src/test/regress/*')
const regression: Suite = {
  name: 'PostgreSQL’s regression scripts',
  version: '15.18',
  part: `the scripts of parallel_schedule up to ${lastScript}, one after the other, by psql; what is compared is what it prints`,
  database: 'regression',
  setup: `alter database regression set lc_messages = 'C'; alter database regression set intervalstyle = 'postgres_verbose';
    alter database regression set timezone_abbreviations = 'Default'; alter database regression set bytea_output = 'hex'`,
  async prepare() {
    await call('psql', ['--version'], '/')
    await regressionFolder()
  },
  async run({ host, port, user, password, database }) {
    const folder = join(await regressionFolder(), 'src/test/regress')
    const schedule = readFileSync(join(folder, 'parallel_schedule'), 'utf8')
    const names = Array.from(schedule.matchAll(/^test: (.*)$/gm), ([, line = '']) => line.trim().split(/\s+/)).flat()
    const known = new Set(readdirSync(join(folder, 'sql')))
    const env = {
      ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database },
      ...{ PGTZ: 'PST8PDT', PGDATESTYLE: 'Postgres, MDY', LC_ALL: 'C', PG_ABS_SRCDIR: folder, PG_ABS_BUILDDIR: folder },
      ...{ PG_LIBDIR: '/nowhere', PG_DLSUFFIX: '.so' },
    }
    const outputs = new Map<string, string>()
    const fixed = ['-X', '-a', '-q', '-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on']
    for (const name of names.slice(0, names.indexOf(lastScript) + 1)) {
      if (!known.has(`${name}.sql`)) continue
      // By its folder, so that no path is in what it prints; and both outputs by one file, so that they come in their order.
      const script = ['-c', 'exec psql "$@" 2>&1', 'psql', ...fixed, '-f', `sql/${name}.sql`]
      outputs.set(name, await collect('sh', script, { cwd: folder, env, minutes: 3 }))
    }
    return outputs
  },
  differences: [
    [/^(tablespace|create_table)$/, asExecute],
    [/^strings$/, settingsStay],
    [/^(create_operator|create_index|constraints|triggers)$/, ownWords],
  ],
}

export const suites: readonly Suite[] = [pgx, asyncpg, regression]
