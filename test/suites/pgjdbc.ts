import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildOnce, call, collect } from './programs.ts'
import { applicationName, itsOwnLogins, opaque, settingsStay, startupSettings } from './reasons.ts'
import { junit, type Outcome, type Suite } from './suite.ts'
import { longWays } from './ways.ts'

const version = '42.7.11'
/** The driver is built from the sources that it publishes for those who package it: its tests are in them. */
const sources = () =>
  buildOnce(`pgjdbc-${version}`, async folder => {
    const artifact = `org.postgresql:postgresql:${version}:tar.gz:jdbc-src`
    await call('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`], folder)
    await call('sh', ['-c', 'tar xzf *.tar.gz --strip-components=1 && rm *.tar.gz'], folder)
    await call('mvn', ['-q', '-B', 'test', '-DskipTests'], folder)
    await call('mvn', ['-q', '-B', 'surefire:test', '-Dtest=ParserTest'], folder)
  })

/** Nothing of them goes to a server. */
const noDatabase = [
  ...[
    'AsciiStringInternerTest',
    'CommandCompleteParser*Test',
    'OidToStringTest',
    'OidValueOfTest',
    'OidValuesCorrectnessTest',
  ],
  ...['ParserTest', 'ReturningParserTest', 'UTF8EncodingTest', 'V3ParameterListTests', 'AdaptiveFetchCacheTest'],
  ...['PgPassParserTest', 'PgServiceConfParserTest', 'PGPropertyTest'],
]

export const pgjdbc: Suite = {
  name: 'pgjdbc',
  version,
  part: 'every class whose tests use a database',
  database: 'test',
  setup: 'create extension hstore',
  async prepare() {
    await sources()
  },
  async run({ host, port, user, password, database }) {
    const cwd = await sources()
    const properties = {
      ...{ 'test.url.PGHOST': host, 'test.url.PGPORT': port, 'test.url.PGDBNAME': database },
      ...{ user, password, privilegedUser: user, privilegedPassword: password },
    }
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`)
    writeFileSync(join(cwd, 'build.local.properties'), `${lines.join('\n')}\n`)
    await call('rm', ['-rf', 'target/surefire-reports'], cwd)
    const without = `-Dtest=${noDatabase.map(name => `!${name}`).join(',')}`
    await collect('mvn', ['-o', '-B', 'surefire:test', without], { cwd, minutes: 90 })
    const reports = join(cwd, 'target/surefire-reports')
    const files = readdirSync(reports).filter(name => name.endsWith('.xml'))
    return new Map(files.flatMap((name): [string, Outcome][] => [...junit(join(reports, name))]))
  },
  ways: longWays,
  differences: [
    [
      /OptionsPropertyTest\.optionsInProperties$|SchemaTest\.(schemaInProperties|currentSchemaProperty\w+)$/,
      startupSettings,
    ],
    [/ClientEncodingTest\.setEncodingAscii|PreparedStatementTest\.testSingleQuotes/, settingsStay],
    [/PasswordUtilTest|ScramTest|RequireAuthTest|AuthenticationPluginTest/, itsOwnLogins],
    [/BlobTransactionTest|StatementTest\.fastCloses$|jdbc4\.DatabaseMetaDataTest\.getSqlTypes$/, opaque],
    [/ParameterStatusTest\.expectedApplicationNameWithMinVersion$/, applicationName],
  ],
}
