import { call, pythonWith, sourcesOf } from './programs.ts'
import { applicationName, hurried, otherDatabases, readAhead } from './reasons.ts'
import { pytest, type Suite } from './suite.ts'

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
export const asyncpg: Suite = {
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
    return await pytest(python, files, { cwd: sources, env, minutes: 30 })
  },
  differences: [
    [
      /test_type_cache_invalidation_in_pool$|test_introspection_(loads_basetypes_of_domains|on_large_db)$/,
      otherDatabases,
    ],
    [/test_pool_(set_connection_args|floor_reconnect_honors_expired_generation)$/, applicationName],
    [/test_executemany_server_failure_during_writes$/, readAhead],
    [/test_pool_(remote_close|release_after_background_cancel_timeout)$/, hurried],
  ],
}
