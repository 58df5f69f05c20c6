import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { proposeRules } from '../propose-firewall.ts'
import { type Command, configOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { databaseOf } from './grant-target.ts'

const propose: Command = {
  name: 'firewall propose',
  summary: 'print rules for a database’s firewall that allow what was seen there',
  options: {
    ...configOption,
    database: { value: 'NAME', short: 'd', help: 'a database of the configuration (default: the only one)' },
    file: { value: 'FILE', help: 'where the shapes are (default: firewall.learn.file of that database)' },
  },
  notes: ['Prints YAML for the configuration; changes nothing. The file holds no values, and neither do the rules.'],
  async run(input) {
    const config = await needConfig(input)
    const database = databaseOf(input, Object.keys(config.databases))
    const named = input.text('file')
    const learned = config.databases[database]?.firewall?.learn?.file
    const file = named === undefined ? learned : resolve(input.terminal.cwd, named)
    if (file === undefined) {
      const suggestion = 'Add to the database: firewall: { mode: observe, learn: { file: data/shapes.jsonl } }'
      throw new CliError('cli.failed', `database ${database} does not collect shapes`, { suggestion })
    }
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (cause) {
      const suggestion = 'It is made when the first statement was sent'
      throw new CliError('cli.failed', `${file} cannot be read`, { cause, suggestion })
    }
    input.terminal.out(proposeRules(database, text, config.policies))
    return 0
  },
}

export const commands: readonly Command[] = [propose]
