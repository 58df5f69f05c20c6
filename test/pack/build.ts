import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

// Makes what npm users install. Node does not strip types below node_modules, so packages are published as JavaScript with
// declarations. `src` and `bin` keep their places, so that a path relative to a file means the same before and after.

const root = join(import.meta.dirname, '../..')

/** In the order in which they need each other. */
export const packages = ['envelope', 'demo', 'bawn'] as const

interface Manifest {
  readonly name: string
  readonly version: string
  readonly exports: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

/** What of a package's manifest users get; scripts and development dependencies are not among it. */
const published = [
  'name',
  'version',
  'description',
  'type',
  'license',
  'sideEffects',
  'engines',
  'bin',
  'exports',
  'dependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'optionalDependencies',
]

/** @param target a folder; each package is built into a folder of its name in it */
export function build(target: string): void {
  for (const name of packages) buildPackage(name, target)
}

function buildPackage(name: string, target: string): void {
  const source = join(root, 'packages', name)
  const out = join(target, name)
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  compile(source, out, target)
  // What is neither code nor test goes along: templates, schemas.
  for (const file of globSync('src/**/*', { cwd: source, withFileTypes: true })) {
    if (!file.isFile() || file.name.endsWith('.ts') || file.parentPath.endsWith('/testdata')) continue
    const path = join(file.parentPath, file.name)
    const copy = join(out, path.slice(source.length))
    mkdirSync(dirname(copy), { recursive: true })
    copyFileSync(path, copy)
  }
  if (existsSync(join(source, 'bin'))) {
    cpSync(join(source, 'bin'), join(out, 'bin'), { recursive: true })
  }
  // tsc renames imports in the code it emits, and neither in declarations nor in the files of `bin`.
  for (const file of globSync(['bin/**/*.js', 'src/**/*.d.ts'], { cwd: out })) {
    const path = join(out, file)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/(['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2'))
  }
  const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as Manifest
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(forUsers(manifest), null, 2)}\n`)
  const readme = join(source, 'README.md')
  copyFileSync(existsSync(readme) ? readme : join(root, 'README.md'), join(out, 'README.md'))
  copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'))
}

function compile(source: string, out: string, target: string): void {
  const project = join(out, 'tsconfig.json')
  const options = {
    noEmit: false,
    declaration: true,
    rootDir: source,
    outDir: out,
    // Our other packages as their users see them, not as sources.
    paths: {
      '@bawn/envelope': [join(target, 'envelope/src/index.d.ts')],
      '@bawn/demo/*': [join(target, 'demo/src/*.d.ts')],
    },
    typeRoots: [join(root, 'node_modules/@types')],
  }
  const config = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: options,
    include: [join(source, 'src')],
    exclude: [join(source, 'src/**/*.test.ts'), join(source, 'src/**/*.fixture.ts')],
  }
  writeFileSync(project, JSON.stringify(config))
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', project], { stdio: 'inherit' })
  rmSync(project)
}

function forUsers(manifest: Manifest): Record<string, unknown> {
  const kept = Object.fromEntries(Object.entries(manifest).filter(([key]) => published.includes(key)))
  const exports = Object.entries(manifest.exports).map(([key, path]) => [
    key,
    { types: path.replace(/\.ts$/, '.d.ts'), default: path.replace(/\.ts$/, '.js') },
  ])
  return { ...kept, exports: Object.fromEntries(exports) }
}

/** @returns the tarball's path */
export function pack(folder: string, into: string): string {
  const printed = execFileSync('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder, encoding: 'utf8' })
  const [made] = JSON.parse(printed) as [{ filename: string }]
  return join(into, made.filename)
}

if (import.meta.main) {
  const target = join(root, 'dist')
  build(target)
  console.log(`Built into ${target}: ${packages.join(', ')}. Publish with: npm publish dist/NAME`)
}
