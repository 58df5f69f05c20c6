import type { SessionRow } from '../admin/sessions.ts'
import { addressOption, askAdminDoor } from './admin-door.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { CliError } from './error.ts'
import { alignedTable, type Column } from './table.ts'

const options = { ...configOption, ...addressOption, ...jsonOption } as const

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined
}

function listIn(answer: unknown, member: string): readonly unknown[] {
  const list = memberOf(answer, member)
  if (!Array.isArray(list)) throw new CliError('cli.failed', 'the admin door gave no answer that can be read')
  return list
}

const columns: readonly (Column & { readonly of: keyof SessionRow })[] = [
  { name: 'id', of: 'id', right: false },
  { name: 'user', of: 'user', right: false },
  { name: 'mechanism', of: 'mechanism', right: false },
  { name: 'address', of: 'address', right: false },
  { name: 'application', of: 'application_name', right: false },
  { name: 'database', of: 'database', right: false },
  { name: 'state', of: 'state', right: false },
  { name: 'since', of: 'since', right: false },
  { name: 'bytes in', of: 'bytes_in', right: true },
  { name: 'bytes out', of: 'bytes_out', right: true },
  { name: 'server', of: 'server', right: false },
  { name: 'pid', of: 'server_pid', right: true },
]

function cell(row: unknown, of: string): string | undefined {
  const value = memberOf(row, of)
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

const list: Command = {
  name: 'sessions',
  summary: 'list the open sessions at the PostgreSQL door of the running gateway',
  options,
  async run(input) {
    const sessions = listIn(await askAdminDoor(input, { method: 'GET', path: '/sessions' }, [200]), 'sessions')
    if (input.flag('json')) input.terminal.out(`${JSON.stringify(sessions)}\n`)
    else {
      const rows = sessions.map(row => columns.map(({ of }) => cell(row, of)))
      input.terminal.out(alignedTable(columns, rows))
    }
    return 0
  },
}

function choice(input: Input): URLSearchParams {
  const [id] = input.positionals
  const said = { id, user: input.text('user'), database: input.text('database') }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(said)) if (value !== undefined) query.set(name, value)
  if (query.size === 0) throw new CliError('cli.usage', 'say which: an id of bawn sessions, --user or --database')
  return query
}

const kill: Command = {
  name: 'sessions kill',
  summary: 'end open sessions at the PostgreSQL door; who did it is in the audit trail',
  positionals: ['ID?'],
  options: {
    ...options,
    user: { value: 'USER', help: 'every session of this user' },
    database: { value: 'DATABASE', help: 'every session in this database' },
  },
  notes: ['Of several conditions all must fit. Ending a session keeps nobody out: see bawn accounts lock.'],
  async run(input) {
    const path = `/sessions/kill?${choice(input)}`
    const killed = listIn(await askAdminDoor(input, { method: 'POST', path }, [200]), 'killed')
    if (input.flag('json')) input.terminal.out(`${JSON.stringify(killed)}\n`)
    else {
      input.terminal.out(`ended ${killed.length} ${killed.length === 1 ? 'session' : 'sessions'}\n`)
    }
    return killed.length === 0 ? 1 : 0
  },
}

export const commands: readonly Command[] = [list, kill]
