import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Difference, differencesOf, type Outcomes, row, withRow } from './compare.ts'
import type { Suite } from './suite.ts'
import { suites } from './suites.ts'
import { startWay, type Way, ways } from './ways.ts'

// `npm run test:suites [-- NAME ...]`: the test suites of other people's drivers and of PostgreSQL itself, straight at a PostgreSQL and through
// the door. The same tests pass and fail; each one that does not is listed with its reason, or this ends with status 1. The table is
// written into docs/clients.md.

const page = join(import.meta.dirname, '../../docs/clients.md')

async function outcomes(suite: Suite, way: Way): Promise<Outcomes> {
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

async function compare(suite: Suite): Promise<{ readonly count: number; readonly differences: readonly Difference[] }> {
  await suite.prepare()
  const direct = await outcomes(suite, 'direct')
  if (direct.size === 0) throw new Error(`${suite.name}: no test ran`)
  const differences: Difference[] = []
  for (const way of suite.ways ?? ways) {
    if (way !== 'direct') differences.push(...differencesOf(suite, way, direct, await outcomes(suite, way)))
  }
  if (differences.every(({ reasons }) => reasons.length > 0)) return { count: direct.size, differences }
  // Some tests are not the same twice, whoever answers.
  const again = await outcomes(suite, 'direct')
  return {
    count: direct.size,
    differences: differences.map(difference => {
      const repeated = again.get(difference.test) === direct.get(difference.test)
      return difference.reasons.length > 0 || repeated
        ? difference
        : { ...difference, reasons: ['not the same twice when direct either'] }
    }),
  }
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
  for (const { test, way, direct, door, reasons } of differences) {
    if (reasons.length === 0) unexplained += 1
    console.log(
      `  ${reasons.join('; ') || 'NOT EXPLAINED'}: ${test}, ${way}\n    direct: ${direct}\n    door:   ${door}`,
    )
  }
  const names = suites.map(({ name }) => name)
  writeFileSync(page, withRow(readFileSync(page, 'utf8'), names, suite.name, row(suite, count, differences)))
}
process.exit(unexplained === 0 ? 0 : 1)
