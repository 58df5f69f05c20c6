import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const pages = globSync(['*.md', 'docs/**/*.md', 'packages/*/*.md', 'examples/**/*.md', 'vectors/**/*.md'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
}).sort()
const read = (page: string) => readFileSync(join(root, page), 'utf8')

test('every relative link leads to a file, and to a heading where it names one', () => {
  const broken: string[] = []
  for (const page of pages) {
    const text = read(page).replace(/^```[\s\S]*?^```/gm, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(root, file))) broken.push(`${page}: ${target}`)
      else if (anchor !== undefined && file.endsWith('.md') && !anchors(read(file)).includes(anchor)) {
        broken.push(`${page}: ${target} (no such heading)`)
      }
    }
  }
  assert.deepEqual(broken, [])
})

test('every file that a page names is there', () => {
  const files = globSync(['packages/*/{src,bin}/**/*', 'test/**/*', 'bench/*', 'docs/**/*'], { cwd: root })
  const missing = pages.flatMap(page =>
    [...read(page).matchAll(/`([a-z0-9/_.-]+\.(?:ts|js))`/g)]
      .map(match => match[1] ?? '')
      .filter(name => !files.some(file => file === name || file.endsWith(`/${name}`)))
      .map(name => `${page}: ${name}`),
  )
  assert.deepEqual(missing, [])
})

function anchors(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test('every ts block type-checks', () => {
  const folder = mkdtempSync(join(root, 'test/.docs-'))
  try {
    for (const page of pages) {
      for (const [index, [, code = '']] of [...read(page).matchAll(/^```ts\n([\s\S]*?)^```/gm)].entries()) {
        // A block is a module of its own, also where it imports nothing.
        writeFileSync(join(folder, `${page.replaceAll('/', '-')}-${index + 1}.ts`), `${code}\nexport {}\n`)
      }
    }
    // Examples may declare what they do not use. `run.ts` is there because tsc wants at least one file.
    const compilerOptions = { noEmit: true, noUnusedLocals: false, noUnusedParameters: false }
    const config = { extends: '../../tsconfig.base.json', compilerOptions, include: ['*.ts', '../run.ts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const { status, output } = tsc(folder)
    assert.equal(status, 0, output)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

function tsc(folder: string): { readonly status: number; readonly output: string } {
  try {
    return { status: 0, output: execFileSync('tsc', ['-p', folder], { encoding: 'utf8' }) }
  } catch (error) {
    if (error instanceof Error && 'stdout' in error) return { status: 1, output: String(error.stdout) }
    throw error
  }
}

test('no page names a folder of somebody’s machine', () => {
  const found = pages.filter(page => /(?:^|[\s"'(`])\/(?:home|root|work|Users)\//m.test(read(page)))
  assert.deepEqual(found, [])
})
