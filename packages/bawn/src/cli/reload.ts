import type { ReloadProblem, ReloadResult } from '../admin/reload.ts'
import { renderProblems } from '../config/problem.ts'
import { addressOption, askAdminDoor } from './admin-door.ts'
import { type Command, configOption, jsonOption } from './command.ts'
import { CliError } from './error.ts'

const isReloadResult = (value: unknown): value is ReloadResult =>
  typeof value === 'object' &&
  value !== null &&
  'kind' in value &&
  (value.kind === 'reloaded' || value.kind === 'refused')

/** What a reload came to, in lines for a terminal or a log. */
export function reloadLines(result: ReloadResult): readonly string[] {
  const lines = (problems: readonly ReloadProblem[]): string[] =>
    problems.length > 0 ? [renderProblems(problems)] : []
  if (result.kind === 'refused') return [...lines(result.problems), 'refused: kept the last good configuration']
  const changes = result.changes.length > 0 ? result.changes.map(change => `  ${change}`) : ['  nothing changed']
  return [...lines(result.warnings), 'reloaded:', ...changes]
}

export const reload: Command = {
  name: 'reload',
  summary: 'make the running gateway read its configuration again',
  options: {
    ...configOption,
    ...jsonOption,
    ...addressOption,
  },
  async run(input) {
    const { terminal } = input
    const request = { method: 'POST', path: '/reload' } as const
    const otherwise = 'Add a listener with door: admin, or send the process SIGHUP'
    const result = await askAdminDoor(input, request, [200, 422], otherwise)
    if (!isReloadResult(result)) throw new CliError('cli.failed', 'the admin door gave no answer that can be read')
    if (input.flag('json')) terminal.out(`${JSON.stringify(result)}\n`)
    else terminal.out(`${reloadLines(result).join('\n')}\n`)
    return result.kind === 'reloaded' ? 0 : 1
  },
}
