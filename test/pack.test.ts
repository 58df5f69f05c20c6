import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { build, pack } from './pack/build.ts'

// What npm users get: built, packed, installed in an empty folder, type-checked and run there.

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'bawn-pack-'))
const consumer = mkdtempSync(join(tmpdir(), 'bawn-consumer-'))
after(() => {
  for (const path of [folder, consumer]) rmSync(path, { recursive: true, force: true })
})

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { cwd: consumer, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

before(() => {
  build(folder)
  const tarballs = ['envelope', 'bawn'].map(name => pack(join(folder, name), folder))
  writeFileSync(join(consumer, 'package.json'), '{ "type": "module", "private": true }')
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts', ...tarballs])
})

test('a tarball has code, declarations, licence and readme, and neither tests nor sources', () => {
  for (const name of ['@bawn/envelope', 'bawn']) {
    const files = globSync('**/*', { cwd: join(consumer, 'node_modules', name), exclude: ['node_modules'] })
    for (const wanted of ['LICENSE', 'README.md', 'src/index.js', 'src/index.d.ts']) {
      assert(files.includes(wanted), `${name} lacks ${wanted}`)
    }
    assert.deepEqual(
      files.filter(file => /\.(test|fixture)\.|testdata|(?<!\.d)\.ts$/.test(file)),
      [],
    )
    const manifest = readFileSync(join(consumer, 'node_modules', name, 'package.json'), 'utf8')
    assert.doesNotMatch(manifest, /devDependencies|"scripts"/)
  }
})

test('the envelope installs nothing else', () => {
  const manifest: unknown = JSON.parse(readFileSync(join(consumer, 'node_modules/@bawn/envelope/package.json'), 'utf8'))
  assert(typeof manifest === 'object' && manifest !== null)
  for (const key of ['dependencies', 'optionalDependencies', 'peerDependencies']) assert(!(key in manifest), key)
})

const program = `
import { createBlockKey, EnvelopeError, openAcraBlock, sealAcraBlock } from '@bawn/envelope'
import { type ErrorCode, errors } from 'bawn'

const key = createBlockKey(new Uint8Array(32).fill(7))
const sealed: Uint8Array = sealAcraBlock(key, new TextEncoder().encode('alice@example.com'))
const { plaintext } = openAcraBlock([key], sealed)
let code: string | undefined
try {
  openAcraBlock([createBlockKey(new Uint8Array(32).fill(8))], sealed)
} catch (error) {
  if (error instanceof EnvelopeError) code = error.code
}
const known: ErrorCode = 'policy.denied'
console.log(plaintext.toString(), code, errors[known].status)
`

test('a strict consumer type-checks, with the declarations of what it installed, and runs', () => {
  writeFileSync(join(consumer, 'consumer.ts'), program)
  const options = {
    strict: true,
    exactOptionalPropertyTypes: true,
    module: 'nodenext',
    target: 'es2024',
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  }
  writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['consumer.ts'] }))
  run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.json'])
  assert.equal(run('node', ['consumer.ts']), 'alice@example.com envelope.forged 403\n')
})

const plugin = `
import type { MechanismKind, Plugin } from 'bawn'
import { z } from 'zod'

const options = z.strictObject({ word: z.string(), roles: z.array(z.string()).default([]) })
const word: MechanismKind<z.output<typeof options>> = {
  kind: 'word',
  doors: ['http', 'postgres'],
  options,
  carries: () => ({ headers: ['x-word'] }),
  create: ({ word, roles }, { log }) => ({
    http: {
      authenticate: credentials => {
        const [said] = credentials.header('x-word')
        if (said === undefined) return { kind: 'absent' }
        return said === word ? { kind: 'identified', identity: { id: 'it', roles } } : { kind: 'rejected', reason: 'untrusted' }
      },
    },
    postgres: { authenticate: async ({ user }) => ({ kind: 'account', name: user }) },
    close: async () => log('info', 'closed'),
  }),
}
export default { name: 'word', api: 1, mechanisms: [word] } satisfies Plugin
`

test('a plug-in in TypeScript type-checks against what is installed, and the installed command takes it', () => {
  writeFileSync(join(consumer, 'word.ts'), plugin)
  const tsconfig = JSON.parse(readFileSync(join(consumer, 'tsconfig.json'), 'utf8'))
  writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ ...tsconfig, include: ['word.ts'] }))
  run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.json'])
  writeFileSync(
    join(consumer, 'plugin.yaml'),
    `listeners: { web: { door: http, address: "127.0.0.1:0" } }
plugins: { word: { module: ./word.ts } }
mechanisms: { word: { word: open, roles: [staff] } }
host_rules: [{ use: [word] }]
keys: { store: { kind: directory, path: keys }, master: env:MASTER, client_id: packed }
audit: { file: audit.jsonl }
`,
  )
  const check = () => run('npx', ['--no-install', 'bawn', 'check', '--no-files', '--config', 'plugin.yaml'])
  assert.match(check(), /plugin\.yaml: ok/)
  writeFileSync(join(consumer, 'word.ts'), plugin.replace("kind: 'word'", "kind: 'jwt'"))
  assert.throws(check, /plugins\.duplicate_kind/)
})

test('the installed command runs', () => {
  assert.match(run('npx', ['--no-install', 'bawn', 'version']), /0\.1\.0/)
})

test('the installed command checks a configuration', () => {
  writeFileSync(join(consumer, 'bawn.yaml'), 'listners: {}\n')
  assert.throws(
    () => run('npx', ['--no-install', 'bawn', 'check', '--config', 'bawn.yaml']),
    (error: Error & { stderr?: string; stdout?: string; status?: number }) => {
      assert.equal(error.status, 1)
      assert.match(`${error.stdout}${error.stderr}`, /did you mean "listeners"/)
      return true
    },
  )
})

test('without the demo’s package, the installed command says what to install', () => {
  assert.throws(
    () => run('npx', ['--no-install', 'bawn', 'demo', '--check']),
    (error: Error & { stderr?: string; status?: number }) => {
      assert.equal(error.status, 1)
      assert.match(String(error.stderr), /npm install @bawn\/demo/)
      return true
    },
  )
})
