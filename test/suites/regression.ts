import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { call, collect, debianSources } from './programs.ts'
import { asExecute, counts, opaque, pageOrder, settingsStay, sqlInText } from './reasons.ts'
import type { Suite } from './suite.ts'
import { longWays } from './ways.ts'

const regressionVersion = '15.18-0+deb12u1'
const regressionFolder = () => debianSources('postgresql-15', regressionVersion, '*/src/test/regress/*')
export const regression: Suite = {
  name: 'PostgreSQL’s regression scripts',
  version: '15.18',
  part: 'the scripts of parallel_schedule, one after the other, by psql; what is compared is what it prints',
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
    for (const name of names) {
      if (!known.has(`${name}.sql`)) continue
      // By its folder, so that no path is in what it prints; and both outputs by one file, so that they come in their order.
      const script = ['-c', 'exec psql "$@" 2>&1', 'psql', ...fixed, '-f', `sql/${name}.sql`]
      outputs.set(name, await collect('sh', script, { cwd: folder, env, minutes: 10 }))
    }
    return outputs
  },
  ways: longWays,
  differences: [
    [
      /^(test_setup|float[48]|expressions|encoding|create_(function_c|operator|table|type|index|view|cast)|triggers|select_into|brin|gin)$/,
      opaque,
    ],
    [
      /^(privileges|matview|lock|join_hash|brin_(bloom|multi)|alter_(generic|operator|table)|misc|merge|misc_functions|collate.icu.utf8)$/,
      opaque,
    ],
    [
      /^(incremental_sort|stats_ext|tsearch|foreign_data|window|indirect_toast|equivclass|plpgsql|temp|conversion|truncate)$/,
      opaque,
    ],
    [/^(partition_prune|explain|memoize|compression_pglz|event_trigger|oidjoins)$/, opaque],
    [/^(tablespace|create_table|select_into|write_parallel|prepare)$/, asExecute],
    [/^(strings|plpgsql)$/, settingsStay],
    [/^(tsearch|xmlmap)$/, sqlInText],
    [/^(index_including|indexing)$/, pageOrder],
    [/^(rules|select_parallel|brin_multi|partition_prune)$/, counts],
  ],
}
