import { configJsonSchema } from '../config/json-schema.ts'
import { probeFiles } from '../config/probe.ts'
import { renderProblems } from '../config/problem.ts'
import { configReference } from '../config/reference.ts'
import { resolveSecret } from '../config/secret.ts'
import { rehearse } from '../rehearse.ts'
import { type Command, configOption, jsonOption } from './command.ts'
import { configFile, readConfig } from './config.ts'
import { reportError } from './report.ts'

export const check: Command = {
  name: 'check',
  summary: 'read the configuration and print every problem; starts nothing',
  options: {
    ...configOption,
    ...jsonOption,
    'no-files': { help: 'do not look for the files and secrets that it names' },
  },
  notes: ['Plug-ins that it names are imported, as at every command that reads it: so their code runs.'],
  async run(input) {
    const { terminal } = input
    const file = configFile(input)
    const loaded = await readConfig(input)
    const outside =
      loaded.kind === 'ok' && !input.flag('no-files') ? probeFiles(loaded.config, loaded.source, terminal.env) : []
    const found = [...(loaded.kind === 'ok' ? loaded.warnings : loaded.problems), ...outside].map(problem => ({
      ...problem,
      file,
    }))
    const wrong = found.filter(problem => problem.level === 'error').length
    const warnings = found.length - wrong
    // What has no line of its own: it shows when the parts are put together.
    const secret = (reference: string): string => resolveSecret(reference, terminal.env).value
    const unbuildable =
      loaded.kind === 'ok'
        ? await rehearse(loaded.config, loaded.kinds, input.flag('no-files') ? undefined : secret)
        : []
    const errors = wrong + unbuildable.length
    if (input.flag('json')) {
      terminal.out(
        `${JSON.stringify({ file, ok: errors === 0, problems: found, errors: unbuildable.map(({ code, message }) => ({ code, message })) })}\n`,
      )
    } else {
      if (found.length > 0) terminal.err(`${renderProblems(found)}\n`)
      for (const error of unbuildable) reportError(error, terminal, false)
      const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`
      const verdict = errors === 0 ? 'ok' : counted(errors, 'error')
      terminal.out(`${file}: ${verdict}${warnings > 0 ? `, ${counted(warnings, 'warning')}` : ''}\n`)
    }
    return errors === 0 ? 0 : 1
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
