import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { nearest } from '../nearest.ts'
import type { Command, Input, OptionSpec, Terminal } from './command.ts'
import { CliError } from './error.ts'

/** Every command has it. */
const helpOption = { help: { short: 'h', help: 'show this' } } as const satisfies Record<string, OptionSpec>

export const optionsOf = (command: Command): Readonly<Record<string, OptionSpec>> => ({
  ...command.options,
  ...helpOption,
})

function usage(message: string, command: Command, suggestion?: string): CliError {
  return new CliError('cli.usage', message, { suggestion: suggestion ?? `See: bawn help ${command.name}` })
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const wanted = command.positionals ?? []
  const required = wanted.filter(name => !name.includes('?'))
  const missing = required[given.length]
  if (given.length < required.length && missing !== undefined) {
    throw usage(`bawn ${command.name} needs ${missing.replace('…', '')}`, command)
  }
  const isOpen = wanted.at(-1)?.endsWith('…') ?? false
  const surplus = given[wanted.length]
  if (!isOpen && surplus !== undefined) throw usage(`bawn ${command.name} does not take "${surplus}"`, command)
}

/**
 * Reads the arguments after the command's name.
 *
 * @returns `help` when help was asked for
 * @throws {CliError} `cli.usage`
 */
export function parseInput(command: Command, args: readonly string[], terminal: Terminal): Input | 'help' {
  const specs = optionsOf(command)
  const config: ParseArgsOptionsConfig = {}
  for (const [name, spec] of Object.entries(specs)) {
    config[name] = {
      type: spec.value === undefined ? 'boolean' : 'string',
      multiple: true,
      ...(spec.short === undefined ? {} : { short: spec.short }),
    }
  }
  const { tokens } = parseArgs({
    args: [...args],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined
    if (!spec) {
      const best = nearest(token.name, Object.keys(specs))
      throw usage(`unknown option ${token.rawName}`, command, best && `Did you mean --${best}?`)
    }
    const isSwitch = spec.value === undefined
    if (isSwitch && token.value !== undefined) throw usage(`--${token.name} takes no value`, command)
    if (!isSwitch && (token.value === undefined || (!token.inlineValue && /^--[a-z]/.test(token.value)))) {
      throw usage(`--${token.name} needs a value: ${spec.value}`, command)
    }
    const before = values.get(token.name) ?? []
    if (before.length > 0 && !spec.many && !isSwitch) throw usage(`--${token.name} is given twice`, command)
    values.set(token.name, [...before, token.value ?? ''])
  }
  if (values.has('help')) return 'help'
  checkPositionals(command, positionals)
  const text = (option: string): string | undefined => values.get(option)?.[0]
  return {
    text,
    need: option => {
      const value = text(option)
      if (value === undefined)
        throw usage(`bawn ${command.name} needs --${option} ${specs[option]?.value ?? ''}`.trimEnd(), command)
      return value
    },
    list: option => values.get(option) ?? [],
    flag: option => values.has(option),
    positionals,
    terminal,
  }
}
