import { configJsonSchema } from '../config/json-schema.ts'
import { probeFiles } from '../config/probe.ts'
import { renderProblems } from '../config/problem.ts'
import { configReference } from '../config/reference.ts'
import { type Command, configOption, jsonOption } from './command.ts'
import { configFile, readConfig } from './config.ts'

export const check: Command = {
  name: 'check',
  summary: 'read the configuration and print every problem; starts nothing',
  options: {
    ...configOption,
    ...jsonOption,
    'no-files': { help: 'do not look for the files and secrets that it names' },
  },
  async run(input) {
    const { terminal } = input
    const file = configFile(input)
    const loaded = readConfig(input)
    const outside =
      loaded.kind === 'ok' && !input.flag('no-files') ? probeFiles(loaded.config, loaded.source, terminal.env) : []
    const found = [...(loaded.kind === 'ok' ? loaded.warnings : loaded.problems), ...outside].map(problem => ({
      ...problem,
      file,
    }))
    const errors = found.filter(problem => problem.level === 'error')
    const warnings = found.length - errors.length
    if (input.flag('json')) {
      terminal.out(`${JSON.stringify({ file, ok: errors.length === 0, problems: found })}\n`)
    } else {
      if (found.length > 0) terminal.err(`${renderProblems(found)}\n`)
      const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`
      const verdict = errors.length === 0 ? 'ok' : counted(errors.length, 'error')
      terminal.out(`${file}: ${verdict}${warnings > 0 ? `, ${counted(warnings, 'warning')}` : ''}\n`)
    }
    return errors.length === 0 ? 0 : 1
  },
}

export const schema: Command = {
  name: 'schema',
  summary: 'print the JSON Schema of the configuration, for editors',
  options: { markdown: { help: 'the reference table of the guide instead' } },
  async run(input) {
    input.terminal.out(input.flag('markdown') ? configReference() : `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    return 0
  },
}
