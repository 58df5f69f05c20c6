import { pythonWith, sourcesOf } from './programs.ts'
import { settingsStay } from './reasons.ts'
import { pytest, type Suite } from './suite.ts'
import { longWays } from './ways.ts'

const version = '2.1.9'
/** psycopg 3, with the libpq that it brings. */
const packages = ['psycopg[binary]==3.3.9', 'typing_extensions', 'greenlet', 'pytest', 'pytest-xdist']

const engine = ['test/engine/test_reflection.py', 'test/engine/test_transaction.py']

export const sqlalchemy: Suite = {
  name: 'SQLAlchemy',
  version,
  part: 'the PostgreSQL dialect but for round trips of ranges, the suite for dialects, reflection and transactions; over psycopg 3.3.9',
  database: 'test',
  setup: `create schema test_schema; create schema test_schema_2; create extension hstore; create extension citext;
    alter database test set default_text_search_config = 'pg_catalog.english'`,
  async prepare() {
    await sourcesOf('SQLAlchemy', version)
    await pythonWith('sqlalchemy', packages)
  },
  async run({ host, port, user, password, database }) {
    const cwd = await sourcesOf('SQLAlchemy', version)
    const uri = `postgresql+psycopg://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`
    // Thousands of tests of ranges make the same few statements with other values.
    const common = ['--dburi', uri, '--backend-only', '-k', 'not RangeRoundTripTest', '--maxfail=5000', '--tb=short']
    const args = [...common, 'test/dialect/postgresql', 'test/dialect/test_suite.py', ...engine]
    return await pytest(await pythonWith('sqlalchemy', []), args, { cwd, minutes: 60 })
  },
  ways: longWays,
  differences: [[/test_backslash_escapes_detection\[False-True\]$|test_client_encoding$/, settingsStay]],
}
