import { resolve } from 'node:path'
import { readSource } from '../config/load.ts'
import { renderProblems } from '../config/problem.ts'
import { type CaseResult, readCases, runCases } from '../policy-cases.ts'
import { type Command, configOption, jsonOption } from './command.ts'
import { needConfiguration } from './config.ts'
import { CliError } from './error.ts'
import { withGrants } from './explain.ts'
import { partsFor } from './kinds.ts'
import { alignedTable } from './table.ts'

const columns = ['case', 'asked', 'expected', 'decided', 'by', 'as expected'].map(name => ({ name, right: false }))

const row = ({ name, asked, expected, decided, by, isAsExpected }: CaseResult): readonly string[] => [
  ...[name, asked, expected, decided, by],
  isAsExpected ? 'yes' : 'NO',
]

const test: Command = {
  name: 'policy test',
  summary: 'decide a table of cases by the configuration’s policies, and compare',
  positionals: ['FILE'],
  options: { ...configOption, ...jsonOption },
  notes: ['FILE is YAML: docs/guide/policies.md. Exit status 1 when a case is decided otherwise.'],
  async run(input) {
    const { terminal } = input
    const file = input.positionals[0] ?? ''
    const read = readSource(resolve(terminal.cwd, file))
    const cases = read.kind === 'ok' ? readCases(read.source) : read
    if (cases.kind === 'invalid') {
      terminal.err(`${renderProblems(cases.problems.map(problem => ({ ...problem, file })))}\n`)
      throw new CliError('cli.failed', `${file} is no table of cases`)
    }
    const { config, kinds } = await needConfiguration(input)
    const results = await withGrants(config, partsFor(input, kinds), async grants =>
      runCases(cases.cases, config, kinds, grants?.gate, terminal.now),
    )
    const wrong = results.filter(({ isAsExpected }) => !isAsExpected).length
    if (input.flag('json')) terminal.out(`${JSON.stringify({ ok: wrong === 0, cases: results })}\n`)
    else {
      const verdict = wrong === 0 ? 'all as expected' : `${wrong} of ${results.length} not as expected`
      const hints = results.flatMap(({ name, wrongHints }) =>
        wrongHints === undefined ? [] : [`${name}: ${wrongHints}\n`],
      )
      terminal.out(`${alignedTable(columns, results.map(row))}${hints.join('')}${verdict}\n`)
    }
    return wrong === 0 ? 0 : 1
  },
}

export const commands: readonly Command[] = [test]
