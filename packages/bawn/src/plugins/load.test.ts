import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { loadPlugin } from './load.ts'
import { pluginOptions } from './option.ts'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'bawn-load-')))
after(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string, mode = 0o644): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
  return `sha256-${hash('sha256', text, 'base64')}`
}

const load = (module: string, more: object = {}, from = folder) =>
  loadPlugin('strange', pluginOptions.parse({ module, ...more }), from)

const value = `{ name: 'x', api: 1, tokenChecks: [{ kind: 'c', create: () => ({ check: () => 'accept' }),
  options: { '~standard': { version: 1, vendor: 'x', validate: value => ({ value }) } } }] }`
const plugin = `export default ${value}\n`

const forms: readonly (readonly [name: string, module: string, files: Readonly<Record<string, string>>])[] = [
  ['a file in TypeScript', './a.ts', { 'a.ts': `const api: number = 1\nexport default { ...${value}, api }\n` }],
  ['a module in JavaScript', './b.mjs', { 'b.mjs': plugin }],
  ['CommonJS', './c.cjs', { 'c.cjs': `module.exports = ${value}` }],
  [
    'a file that loads others',
    './d/d.ts',
    { 'd/d.ts': "import { it } from './e.ts'\nexport default it", 'd/e.ts': `export const it = ${value}` },
  ],
  [
    'a package that exports to import alone',
    'bawn-strange',
    {
      'node_modules/bawn-strange/package.json':
        '{"name":"bawn-strange","type":"module","exports":{".":{"import":"./x.js"}}}',
      'node_modules/bawn-strange/x.js': plugin,
    },
  ],
  [
    'a package of a scope, below a path',
    '@corp/strange/plugin.js',
    {
      'node_modules/@corp/strange/package.json': '{"name":"@corp/strange","type":"module"}',
      'node_modules/@corp/strange/plugin.js': plugin,
    },
  ],
]
for (const [name, module, files] of forms) {
  test(`a plug-in may be ${name}`, async () => {
    for (const [file, text] of Object.entries(files)) write(file, text)
    const loaded = await load(module)
    assert.equal(loaded.plugin.tokenChecks?.[0]?.kind, 'c')
    assert.match(loaded.integrity, /^sha256-[A-Za-z0-9+/]{43}=$/)
    assert.equal((await load(module)).plugin, loaded.plugin)
  })
}

test('the folder of the configuration is where it is looked for, and no other', async () => {
  const other = join(folder, 'other')
  mkdirSync(join(other, 'node_modules/bawn-strange'), { recursive: true })
  write('other/node_modules/bawn-strange/package.json', '{"type":"module","exports":"./y.mjs"}')
  write('other/node_modules/bawn-strange/y.mjs', plugin)
  assert.equal((await load('bawn-strange', {}, other)).path, join(other, 'node_modules/bawn-strange/y.mjs'))
  assert.equal((await load('bawn-strange')).path, join(folder, 'node_modules/bawn-strange/x.js'))
  await assert.rejects(load('./a.ts', {}, other), { code: 'plugins.not_found' })
  // What we have ourselves is not there for it.
  await assert.rejects(load('zod'), { code: 'plugins.not_found' })
  await assert.rejects(load('fs'), { code: 'plugins.not_found', message: /which is no file/ })
})

const bad: readonly (readonly [name: string, file: string, text: string, code: string, message: RegExp])[] = [
  ['no default export', 'f1.js', 'export const plugin = 1', 'plugins.bad_module', /no default export/],
  ['a default export that is none', 'f2.js', 'export default {}', 'plugins.wrong_api', /no number of an api/],
  [
    'another api',
    'f3.js',
    plugin.replace('api: 1', 'api: 2'),
    'plugins.wrong_api',
    /states api 2; this gateway has api 1/,
  ],
  [
    'code that throws',
    'f4.js',
    "throw new Error('secret')",
    'plugins.bad_module',
    /\(Error; node \S+f4\.js shows it whole\)/,
  ],
  ['no code', 'f5.js', 'export default {', 'plugins.bad_module', /SyntaxError/],
  [
    'a dependency that is not there',
    'f6.js',
    "import 'nothing-there'",
    'plugins.bad_module',
    /Cannot find package 'nothing-there'/,
  ],
  [
    'types that Node does not strip',
    'f7.ts',
    'enum A { B }\nexport default A',
    'plugins.bad_module',
    /ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX/,
  ],
]
for (const [name, file, text, code, message] of bad) {
  test(`refused: ${name}`, async () => {
    write(file, text)
    await assert.rejects(load(`./${file}`), (error: Error) => {
      assert('code' in error && error.code === code, error.message)
      assert.match(error.message, message)
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
  })
}

test('refused: TypeScript below node_modules, a folder, and what is not there', async () => {
  write('node_modules/bawn-types/package.json', '{"type":"module","exports":"./x.ts"}')
  write('node_modules/bawn-types/x.ts', plugin)
  await assert.rejects(load('bawn-types'), { code: 'plugins.bad_module', message: /NODE_MODULES_TYPE_STRIPPING/ })
  mkdirSync(join(folder, 'empty'))
  for (const module of ['./empty', './none.ts', 'no-such-package']) {
    await assert.rejects(load(module), { code: 'plugins.not_found' })
  }
})

test('a module that is never done is not waited for', async () => {
  write('slow.js', `await new Promise(() => setInterval(() => {}, 1e6).unref())\n${plugin}`)
  await assert.rejects(load('./slow.js', { timeout: '30ms' }), {
    code: 'plugins.bad_module',
    message: /not imported within 30 ms/,
  })
})

test('a pinned plug-in is the very file, and one file', async () => {
  const integrity = write('pinned.js', plugin)
  await assert.rejects(load('./pinned.js', { integrity: `sha256-${'A'.repeat(43)}=` }), (error: Error) => {
    assert('code' in error && error.code === 'plugins.bad_integrity')
    assert(error.message.includes(integrity))
    return true
  })
  assert.equal((await load('./pinned.js', { integrity })).integrity, integrity)
  const node = write('node.js', `import { hash } from 'node:crypto'\nhash('sha256', '')\n${plugin}`)
  assert.equal((await load('./node.js', { integrity: node })).integrity, node)
  write('second.js', 'export const x = 1')
  for (const text of ["import './second.js'", "const { x } = await import('./second.js')"]) {
    const two = write(`two${text.length}.js`, `${text}\n${plugin}`)
    await assert.rejects(load(`./two${text.length}.js`, { integrity: two }), {
      code: 'plugins.bad_integrity',
      message: /loads \.\/second\.js/,
    })
  }
  const required = write('required.cjs', `require('./second.js')\nmodule.exports = ${value}`)
  await assert.rejects(load('./required.cjs', { integrity: required }), { code: 'plugins.bad_integrity' })
})

test('a file that has changed since it was loaded is not what runs', async () => {
  write('changing.js', plugin)
  const first = await load('./changing.js')
  const after = write('changing.js', `${plugin}// more\n`)
  await assert.rejects(load('./changing.js'), { code: 'plugins.changed' })
  // Nor with the digest of what is there now.
  await assert.rejects(load('./changing.js', { integrity: after }), { code: 'plugins.changed' })
  write('changing.js', plugin)
  assert.equal((await load('./changing.js')).plugin, first.plugin)
})

test('a link leads to a file; others who may write it are told of', async () => {
  write('real.js', plugin, 0o646)
  symlinkSync('real.js', join(folder, 'link.js'))
  const { path, warnings } = await load('./link.js')
  assert.equal(path, join(folder, 'real.js'))
  assert.match(warnings.join(), /^UNSAFE: others may write \S+real\.js \(mode 0646\)/)
  chmodSync(join(folder, 'real.js'), 0o644)
  assert.deepEqual((await load('./link.js')).warnings, [])
})

test('what was loaded before it was pinned is not what was looked at', async () => {
  const text = "import './second.js'\n"
  const integrity = write('late.js', `${text}${plugin}`)
  await load('./late.js')
  await assert.rejects(load('./late.js', { integrity }), { code: 'plugins.changed', message: /before it was pinned/ })
  // Nor what another plug-in has loaded.
  const inner = write('inner.js', plugin)
  write('outer.js', "export { default } from './inner.js'")
  await load('./outer.js')
  await assert.rejects(load('./inner.js', { integrity: inner }), { code: 'plugins.changed' })
  write('inner.js', `${plugin}// more`)
  await assert.rejects(load('./inner.js'), { code: 'plugins.changed', message: /has changed since/ })
})
