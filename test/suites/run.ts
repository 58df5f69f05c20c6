import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Suite, suites } from './suites.ts'
import { startWay, type Way, ways } from './ways.ts'

// `npm run test:suites [-- NAME ...]`: the test suites of other people's drivers and of PostgreSQL itself, straight at a PostgreSQL and through
// the door. The same tests pass and fail; each one that does not is listed with its reason, or this ends with status 1. The table is
// written into docs/clients.md.

const page = join(import.meta.dirname, '../../docs/clients.md')

interface Difference {
  readonly test: string
  readonly way: Way
  readonly direct: string
  readonly door: string
  readonly reason: string | undefined
}

async function outcomes(suite: Suite, way: Way): Promise<Map<string, string>> {
  const target = await startWay(way, suite.database, suite.setup)
  const began = Date.now()
  try {
    const found = await suite.run(target)
    console.log(`${suite.name}, ${way}: ${found.size} tests in ${Math.round((Date.now() - began) / 1_000)} s`)
    return found
  } finally {
    await target.stop()
  }
}

/** Both in short: outcomes as they are, outputs by their first lines that differ. */
function shown(one: string, other: string): readonly [string, string] {
  if (!one.includes('\n') && !other.includes('\n')) return [one, other]
  const [lines, others] = [one.split('\n'), other.split('\n')]
  const at = lines.findIndex((line, index) => line !== others[index])
  return [lines[at]?.slice(0, 160) ?? 'nothing more', others[at]?.slice(0, 160) ?? 'nothing more']
}

async function compare(suite: Suite): Promise<{ readonly count: number; readonly differences: readonly Difference[] }> {
  await suite.prepare()
  const direct = await outcomes(suite, 'direct')
  if (direct.size === 0) throw new Error(`${suite.name}: no test ran`)
  const differences: Difference[] = []
  for (const way of ways) {
    if (way === 'direct') continue
    const door = await outcomes(suite, way)
    for (const test of new Set([...direct.keys(), ...door.keys()])) {
      const [one, other] = [direct.get(test) ?? 'did not run', door.get(test) ?? 'did not run']
      if (one === other) continue
      const [shownDirect, shownDoor] = shown(one, other)
      const reason = suite.differences.find(([pattern]) => pattern.test(test))?.[1]
      differences.push({ test, way, direct: shownDirect, door: shownDoor, reason })
    }
  }
  if (differences.every(({ reason }) => reason !== undefined)) return { count: direct.size, differences }
  // Some tests are not the same twice, whoever answers.
  const again = await outcomes(suite, 'direct')
  return {
    count: direct.size,
    differences: differences.map(difference => {
      const repeated = again.get(difference.test) === direct.get(difference.test)
      return {
        ...difference,
        reason: difference.reason ?? (repeated ? undefined : 'not the same twice when direct either'),
      }
    }),
  }
}

/** Rows of the table that are there by now, by suite. */
function rowsOf(text: string): Map<string, string> {
  const [, inside = ''] = /<!-- suites -->\n(.*?)<!-- end of suites -->/s.exec(text) ?? []
  return new Map(
    inside
      .split('\n')
      .filter(line => line.startsWith('|'))
      .slice(2)
      .map(line => [line.split('|')[1]?.trim() ?? '', line]),
  )
}

function row(suite: Suite, count: number, differences: readonly Difference[]): string {
  const tests = new Set(differences.map(({ test }) => test))
  const byReason = Map.groupBy(differences, ({ reason }) => reason ?? 'not explained yet')
  const list = Array.from(byReason, ([reason, some]) => {
    const names = [...new Set(some.map(({ test }) => `\`${test.split(/[ .]/).at(-1)}\``))]
    return `${reason}: ${names.join(', ')}`
  })
  const same = count - tests.size
  return `| ${suite.name} | ${suite.version} | ${suite.part} | ${count} | ${same} | ${list.join('; ') || 'none'} |`
}

const wanted = process.argv.slice(2)
const chosen = suites.filter(({ name }) => wanted.length === 0 || wanted.some(word => name.includes(word)))
if (chosen.length === 0) {
  console.error(`no suite is called ${wanted.join(' ')}; there are ${suites.map(({ name }) => name).join(', ')}`)
  process.exit(1)
}
let unexplained = 0
for (const suite of chosen) {
  const { count, differences } = await compare(suite)
  for (const { test, way, direct, door, reason } of differences) {
    if (reason === undefined) unexplained += 1
    console.log(`  ${reason ?? 'NOT EXPLAINED'}: ${test}, ${way}\n    direct: ${direct}\n    door:   ${door}`)
  }
  const text = readFileSync(page, 'utf8')
  const rows = rowsOf(text).set(suite.name, row(suite, count, differences))
  const head =
    '| suite | version | what of it | tests | same as direct | differences, and why |\n|---|---|---|---|---|---|'
  const ordered = suites.flatMap(({ name }) => rows.get(name) ?? [])
  const table = `<!-- suites -->\n${head}\n${ordered.join('\n')}\n<!-- end of suites -->`
  writeFileSync(
    page,
    text.replace(/<!-- suites -->.*?<!-- end of suites -->/s, () => table),
  )
}
process.exit(unexplained === 0 ? 0 : 1)
