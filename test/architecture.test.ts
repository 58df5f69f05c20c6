import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { test } from 'node:test'

// Who may import whom in packages/bawn/src (ARCHITECTURE.md). Types count. An arrow that is not here means that the code is in the
// wrong folder, or that this table deserves a decision record.

const doors = ['http', 'postgres', 'translator'] as const
const belowDoors = ['limits', 'accounts', 'tokens', 'authn', 'audit', 'policy', 'fields', 'outbound'] as const

const arrows: Readonly<Record<string, readonly string[]>> = {
  workers: [],
  limits: [],
  accounts: ['limits'],
  tokens: ['accounts'],
  authn: ['accounts', 'tokens'],
  plugins: ['accounts', 'tokens', 'authn'],
  masking: [],
  audit: ['authn'],
  policy: ['accounts', 'authn'],
  keys: [],
  fields: ['authn', 'masking', 'audit', 'policy', 'keys'],
  outbound: [],
  http: belowDoors,
  postgres: belowDoors,
  translator: belowDoors,
  admin: [...belowDoors, 'masking', 'keys'],
  config: [...belowDoors, 'workers', 'plugins', 'masking', 'keys', ...doors, 'admin'],
  convert: ['config'],
  cli: ['accounts', 'audit', 'authn', 'config', 'convert', 'admin', 'keys', 'fields', 'policy'],
}

/** Files directly in src; all may import those of `everywhere`. */
const everywhere = [
  'error.ts',
  'option.ts',
  'version.ts',
  'nearest.ts',
  'file-lock.ts',
  'exclusion.ts',
  'process-secret.ts',
  'random.ts',
  'durable-file.ts',
  'database-client.ts',
  'database-target.ts',
  'json-path.ts',
  'latin1.ts',
  'listening.ts',
  'answer-body.ts',
  'oauth.ts',
  'password-command.ts',
  'server-names.ts',
  'socket-fast-path.ts',
  'sqlite-database.ts',
  'redis-connection.ts',
]
const composing = [
  'server.ts',
  'doors.ts',
  'workers.ts',
  'worker.ts',
  'worker-threads.ts',
  'worker-share.ts',
  'thread-calls.ts',
  'remote-slots.ts',
  'session-control.ts',
  'compose.ts',
  'compose-accounts.ts',
  'compose-databases.ts',
  'compose-grants.ts',
  'compose-login.ts',
  'compose-issuers.ts',
  'compose-limits.ts',
  'compose-mechanisms.ts',
  'configuration.ts',
  'kinds.ts',
  'metered-trail.ts',
  'database-query.ts',
  'log.ts',
  'revocation.ts',
  'revocation-control.ts',
  'server-tls.ts',
  'explain.ts',
  'unconnected-routes.ts',
  'explain-grant.ts',
  'explain-sql.ts',
  'row-filter-sql.ts',
  'propose-firewall.ts',
  'policy-cases.ts',
  'explanation.ts',
  'known-fields.ts',
  'builtin.ts',
  'index.ts',
  'plugin.ts',
  'rehearse.ts',
]

const source = join(import.meta.dirname, '../packages/bawn/src')
const files = globSync('**/*.ts', { cwd: source }).sort()

interface Import {
  readonly from: string
  readonly to: string
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(source, file), 'utf8')
  const found = text.matchAll(/^(?:import|export)\b[^'"]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm)
  return [...found]
    .map(match => match[1] ?? match[2] ?? match[3] ?? '')
    .filter(specifier => specifier.startsWith('.'))
    .map(specifier => ({ from: file, to: normalize(join(dirname(file), specifier)) }))
}

/** The command line stands on top of everything: it starts the server. The border knows what it holds others to. */
const aboveAll = (folder: string, to: string): boolean =>
  (folder === 'cli' && composing.includes(to)) || (folder === 'plugins' && to === 'plugin.ts')

const folderOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : '')
/** Tests may use the real parts of other folders in place of mocks. */
const ships = (file: string) => !/\.(test|fixture)\.ts$/.test(file)
const imports = files.filter(ships).flatMap(importsOf)

test('every folder is a word of the field, in the table', () => {
  const folders = new Set(files.map(folderOf).filter(folder => folder !== ''))
  assert.deepEqual(
    [...folders].filter(folder => !(folder in arrows)),
    [],
  )
  const empty = /(^|\/)(utils?|helpers?|commons?|shared|libs?|core|misc|types|services?)(\/|\.ts$)/
  const everyFile = globSync('packages/*/src/**/*.ts', { cwd: join(source, '../../..') })
  assert.deepEqual(
    everyFile.filter(file => empty.test(file.replace(/^packages\/[^/]+\/src\//, ''))),
    [],
  )
})

test('a folder imports only along the arrows', () => {
  const wrong = imports.filter(({ from, to }) => {
    const [source, target] = [folderOf(from), folderOf(to)]
    if (source === '' || source === target) return false
    if (target === '') return !everywhere.includes(to) && !aboveAll(source, to)
    return !arrows[source]?.includes(target)
  })
  assert.deepEqual(wrong, [])
})

test('config takes the option schemas of others and nothing else', () => {
  const wrong = imports.filter(({ from, to }) => {
    const target = folderOf(to)
    return folderOf(from) === 'config' && target !== 'config' && target !== '' && !isOption(to)
  })
  assert.deepEqual(wrong, [])
})

const isOption = (file: string) => file.endsWith('/option.ts')

test('doors never import each other, nor keys', () => {
  const wrong = imports.filter(({ from, to }) => {
    const door = [...doors, 'admin'].find(name => name === folderOf(from))
    const target = folderOf(to)
    if (door === undefined || target === door) return false
    return [...doors, 'admin'].some(name => name === target) || (target === 'keys' && door !== 'admin')
  })
  assert.deepEqual(wrong, [])
})

test('only fields, keys and the command line know the envelope', () => {
  const users = files.filter(file => readFileSync(join(source, file), 'utf8').includes("from '@bawn/envelope'"))
  const permitted = ['fields', 'keys', 'cli']
  assert.deepEqual(
    users.filter(file => ships(file) && !permitted.includes(folderOf(file)) && !composing.includes(file)),
    [],
  )
})

/** Every code of every area in one place, on purpose. */
const isOneTable = (file: string) => file === 'packages/bawn/src/error.ts'

test('folders are at most two deep, files but for tables of tests at most 400 lines, index.ts is the package’s door alone', () => {
  for (const name of ['bawn', 'envelope', 'demo']) {
    const folder = join(source, '../..', name, 'src')
    for (const file of globSync('**/*.ts', { cwd: folder })) {
      const where = `packages/${name}/src/${file}`
      assert(file.split('/').length <= 3, `${where} is too deep`)
      assert(!file.endsWith('/index.ts'), `${where} hides who depends on whom`)
      if (!ships(file)) continue
      if (isOneTable(where)) continue
      const lines = readFileSync(join(folder, file), 'utf8').split('\n').length
      assert(lines <= 401, `${where} has ${lines} lines`)
    }
  }
})

test('one package imports another by its name', () => {
  const packages = join(source, '../..')
  const wrong = globSync('*/src/**/*.ts', { cwd: packages }).flatMap(file => {
    const own = file.slice(0, file.indexOf('/'))
    const found = readFileSync(join(packages, file), 'utf8').matchAll(/from '(\.[^']*)'/g)
    return [...found]
      .map(match => relative(packages, join(packages, dirname(file), match[1] ?? '')))
      .filter(target => !target.startsWith(`${own}/`))
      .map(target => `${file} -> ${target}`)
  })
  assert.deepEqual(wrong, [])
})

test('the envelope imports nothing but Node', () => {
  const folder = join(source, '../../envelope/src')
  const wrong = globSync('**/*.ts', { cwd: folder })
    .filter(file => !file.endsWith('.test.ts'))
    .flatMap(file => {
      const found = readFileSync(join(folder, file), 'utf8').matchAll(/from '([^']+)'/g)
      return [...found].map(match => match[1] ?? '').filter(name => !/^(\.|node:)/.test(name))
    })
  assert.deepEqual(wrong, [])
})

test('there is something to look at', () => {
  assert(imports.length > 10)
})
