import type { Command } from './command.ts'
import { optionsOf } from './parse.ts'

const pad = (text: string, width: number): string => text.padEnd(width)

function usageLine(command: Command): string {
  const positionals = (command.positionals ?? []).map(name =>
    name.includes('?') ? `[${name.replace('?', '')}]` : name,
  )
  return ['bawn', command.name, ...positionals, '[options]'].join(' ')
}

/** One command: how it is called, and each option. */
export function commandHelp(command: Command): string {
  const rows = Object.entries(optionsOf(command)).map(([name, spec]) => {
    const short = spec.short === undefined ? '    ' : `-${spec.short}, `
    const value = spec.value === undefined ? '' : ` ${spec.value}`
    return [`  ${short}--${name}${value}`, `${spec.help}${spec.many ? '; may be repeated' : ''}`] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  const lines = [
    `${command.summary}`,
    '',
    `Usage: ${usageLine(command)}`,
    '',
    ...rows.map(([left, right]) => pad(left, width) + right),
  ]
  if (command.notes) lines.push('', ...command.notes)
  return `${lines.join('\n')}\n`
}

/** All commands, a line each. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(command => command.name.length)) + 4
  const lines = [
    'Bawn: one gateway in front of your HTTP APIs, your PostgreSQL and the sensitive fields inside both.',
    '',
    'Usage: bawn COMMAND [options]',
    '',
    ...commands.map(command => `  ${pad(command.name, width)}${command.summary}`),
    '',
    'bawn help COMMAND shows its options. Exit status: 0 done, 1 refused or failed, 2 called wrongly.',
  ]
  return `${lines.join('\n')}\n`
}
