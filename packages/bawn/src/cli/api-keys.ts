import { isAccountName } from '../accounts/store.ts'
import { apiKeyHash, generateApiKey } from '../authn/api-key.ts'
import { name as nameForm } from '../option.ts'
import type { Command } from './command.ts'
import { CliError } from './error.ts'

const generate: Command = {
  name: 'api-keys generate',
  summary: 'make an API key: prints it once, and the line that the configuration keeps of it',
  positionals: ['NAME'],
  options: {
    role: { value: 'ROLE', many: true, help: 'a role of whoever has the key' },
    expires: { value: 'INSTANT', help: 'after which it is refused: 2027-01-31, or 2027-01-31T00:00:00Z' },
  },
  notes: ['The key goes to standard output, alone; the line for mechanisms.api-key.keys to standard error.'],
  async run(input) {
    const { terminal } = input
    const [name = ''] = input.positionals
    if (!isAccountName(name))
      throw new CliError('cli.usage', 'a name has 1 to 128 characters and no control characters')
    const roles = input.list('role')
    const wrong = roles.find(role => !nameForm.safeParse(role).success)
    if (wrong !== undefined) throw new CliError('cli.usage', 'a role has letters, digits, "_", "-" and "."')
    const expires = instantOf(input.text('expires'))
    const key = generateApiKey()
    const parts = [`name: ${JSON.stringify(name)}`, `hash: "${apiKeyHash(key)}"`, `roles: [${roles.join(', ')}]`]
    if (expires !== undefined) parts.push(`expires: "${expires}"`)
    terminal.out(`${key}\n`)
    terminal.err(
      `This is the only time that the key is shown. Put into the configuration, under mechanisms.api-key.keys:\n`,
    )
    terminal.err(`  - { ${parts.join(', ')} }\n`)
    return 0
  },
}

function instantOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const form = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2}))?$/
  const at = form.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new CliError('cli.usage', '--expires is a day or an instant: 2027-01-31T00:00:00Z')
  return new Date(at).toISOString()
}

export const commands: readonly Command[] = [generate]
