import type { Suite } from './suite.ts'
import type { Way } from './ways.ts'

// What a suite gave on one way beside what it gave directly, and a line of the table made of it.

/** What was compared: of each test its outcome, or what it printed. */
export type Outcomes = ReadonlyMap<string, string>

export interface Difference {
  readonly test: string
  readonly way: Way
  readonly direct: string
  readonly door: string
  /** Every one that the suite gives for this test. */
  readonly reasons: readonly string[]
}

/** Both in short: outcomes as they are, outputs by their first lines that differ. */
function shown(one: string, other: string): readonly [string, string] {
  if (!one.includes('\n') && !other.includes('\n')) return [one, other]
  const [lines, others] = [one.split('\n'), other.split('\n')]
  const at = lines.findIndex((line, index) => line !== others[index])
  return [lines[at]?.slice(0, 160) ?? 'nothing more', others[at]?.slice(0, 160) ?? 'nothing more']
}

/** Tests that differ, with their reasons. */
export function differencesOf(suite: Suite, way: Way, direct: Outcomes, door: Outcomes): readonly Difference[] {
  return [...new Set([...direct.keys(), ...door.keys()])].flatMap((test): readonly Difference[] => {
    const [one, other] = [direct.get(test) ?? 'did not run', door.get(test) ?? 'did not run']
    if (one === other) return []
    const [shownDirect, shownDoor] = shown(one, other)
    const reasons = suite.differences.filter(([pattern]) => pattern.test(test)).map(([, reason]) => reason)
    return [{ test, way, direct: shownDirect, door: shownDoor, reasons }]
  })
}

/** Its line of the table in docs/clients.md. */
export function row(suite: Suite, count: number, differences: readonly Difference[]): string {
  const tests = new Set(differences.map(({ test }) => test))
  const named = differences.flatMap(({ test, reasons }) =>
    (reasons.length === 0 ? ['not explained yet'] : reasons).map(reason => ({ reason, test })),
  )
  const list = Array.from(
    Map.groupBy(named, ({ reason }) => reason),
    ([reason, some]) => {
      const names = [...new Set(some.map(({ test }) => `\`${test.split(/[ .]/).at(-1)}\``))]
      return `${reason}: ${names.join(', ')}`
    },
  )
  const same = count - tests.size
  return `| ${suite.name} | ${suite.version} | ${suite.part} | ${count} | ${same} | ${list.join('; ') || 'none'} |`
}

/** The page with this row in its table, in the place of the suite's row before; the others stay. @param names in the order of the table */
export function withRow(text: string, names: readonly string[], name: string, line: string): string {
  const rows = rowsOf(text).set(name, line)
  const head =
    '| suite | version | what of it | tests | same as direct | differences, and why |\n|---|---|---|---|---|---|'
  const ordered = names.flatMap(known => rows.get(known) ?? [])
  const table = `<!-- suites -->\n${head}\n${ordered.join('\n')}\n<!-- end of suites -->`
  return text.replace(/<!-- suites -->.*?<!-- end of suites -->/s, () => table)
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
