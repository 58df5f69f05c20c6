import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { AdminError } from '../admin/error.ts'
import { operatorHeader } from '../admin/sessions.ts'
import { readAdminToken } from '../admin/token.ts'
import type { Input } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'

/** Where the admin door is, where the file says port 0. */
export const addressOption = {
  address: { value: 'HOST:PORT', help: 'of the admin door, where the file says port 0' },
} as const

/**
 * Asks the running gateway by its admin door, with the token that it wrote at its start.
 *
 * @param otherwise what else leads there, where there is no such door
 * @throws {AdminError | CliError}
 */
export async function askAdminDoor(
  input: Input,
  request: { readonly method: 'GET' | 'POST'; readonly path: string },
  expected: readonly number[],
  otherwise = 'Add a listener with door: admin',
): Promise<unknown> {
  const config = await needConfig(input)
  const admin = Object.values(config.listeners).find(listener => listener.door === 'admin')
  if (admin?.door !== 'admin') {
    throw new CliError('cli.failed', 'the configuration has no admin listener', { suggestion: otherwise })
  }
  const token = readAdminToken(resolve(input.terminal.cwd, admin.token_file))
  const address = input.text('address') ?? admin.address
  let answer: Response
  try {
    answer = await fetch(`http://${address}${request.path}`, {
      method: request.method,
      headers: { authorization: `Bearer ${token}`, [operatorHeader]: encodeURIComponent(operatorName()) },
      redirect: 'error',
    })
  } catch (cause) {
    throw new AdminError('admin.unreachable', `nobody answers at ${address}`, { cause })
  }
  if (answer.status === 401) {
    throw new AdminError('admin.unauthorized', `the gateway at ${address} does not know this token`)
  }
  if (!expected.includes(answer.status)) {
    throw new CliError('cli.failed', `the admin door at ${address} answered ${answer.status}`)
  }
  return answer.json().catch(() => undefined)
}

function operatorName(): string {
  try {
    return userInfo().username
  } catch {
    // A number without a name, as in containers.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
