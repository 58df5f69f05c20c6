import { pythonWith, sourcesOf } from './programs.ts'
import { settingsStay } from './reasons.ts'
import { pytest, type Suite } from './suite.ts'
import { longWays } from './ways.ts'

// The package of psycopg 3 has no tests in it, in any version; this one, of the same hands and over the same libpq, has its own.
const version = '2.9.13'
export const psycopg2: Suite = {
  name: 'psycopg2',
  version,
  part: 'everything but replication, which a gateway passes on only where it is told to',
  database: 'psycopg2_test',
  setup: 'create extension hstore',
  async prepare() {
    await sourcesOf('psycopg2', version)
    await pythonWith('psycopg2', [`psycopg2-binary==${version}`, 'pytest'])
  },
  async run({ host, port, user, password, database }) {
    const env = {
      PSYCOPG2_TESTDB: database,
      PSYCOPG2_TESTDB_HOST: host,
      PSYCOPG2_TESTDB_PORT: String(port),
      PSYCOPG2_TESTDB_USER: user,
      PSYCOPG2_TESTDB_PASSWORD: password,
    }
    const cwd = await sourcesOf('psycopg2', version)
    return await pytest(await pythonWith('psycopg2', []), ['tests'], { cwd, env, minutes: 30 })
  },
  ways: longWays,
  differences: [
    [/test_encoding_name$|test_copy_(bytes|text|expert_textiobase)$|received_on_set_client_encoding$/, settingsStay],
    [/test_(koi8|latin1)$|HstoreTestCase\.test_roundtrip(_array)?$|JsonTestCase\.test_scs$/, settingsStay],
  ],
}
