import { resolve } from 'node:path'
import { AdminError } from '../admin/error.ts'
import type { ReloadProblem, ReloadResult } from '../admin/reload.ts'
import { readAdminToken } from '../admin/token.ts'
import { renderProblems } from '../config/problem.ts'
import { type Command, configOption, jsonOption } from './command.ts'
import { needConfig } from './config.ts'
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

async function post(address: string, token: string): Promise<unknown> {
  let answer: Response
  try {
    answer = await fetch(`http://${address}/reload`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      redirect: 'error',
    })
  } catch (cause) {
    throw new AdminError('admin.unreachable', `nobody answers at ${address}`, { cause })
  }
  if (answer.status === 401) {
    throw new AdminError('admin.unauthorized', `the gateway at ${address} does not know this token`)
  }
  if (answer.status !== 200 && answer.status !== 422) {
    throw new CliError('cli.failed', `the admin door at ${address} answered ${answer.status}`)
  }
  return answer.json().catch(() => undefined)
}

export const reload: Command = {
  name: 'reload',
  summary: 'make the running gateway read its configuration again',
  options: {
    ...configOption,
    ...jsonOption,
    address: { value: 'HOST:PORT', help: 'of the admin door, where the file says port 0' },
  },
  async run(input) {
    const { terminal } = input
    const config = await needConfig(input)
    const admin = Object.values(config.listeners).find(listener => listener.door === 'admin')
    if (admin?.door !== 'admin') {
      const suggestion = 'Add a listener with door: admin, or send the process SIGHUP'
      throw new CliError('cli.failed', 'the configuration has no admin listener', { suggestion })
    }
    const token = readAdminToken(resolve(terminal.cwd, admin.token_file))
    const result = await post(input.text('address') ?? admin.address, token)
    if (!isReloadResult(result)) throw new CliError('cli.failed', 'the admin door gave no answer that can be read')
    if (input.flag('json')) terminal.out(`${JSON.stringify(result)}\n`)
    else terminal.out(`${reloadLines(result).join('\n')}\n`)
    return result.kind === 'reloaded' ? 0 : 1
  },
}
