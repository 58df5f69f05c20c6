import { resolve } from 'node:path'
import pg from 'pg'
import type { Command, Input, Terminal } from './command.ts'
import { type ConnectionInfo, parseConnectionInfo, sslModeOf, tlsOptionsOf } from './conninfo.ts'
import { CliError } from './error.ts'
import { alignedTable } from './table.ts'
import { printable } from './terminal-text.ts'

/** Object identifiers of the types that psql sets at the right: integers, floating point, numeric, oid, money. */
const rightTypes = new Set([20, 21, 23, 26, 28, 700, 701, 790, 1700])

/** Largest script that is read from standard input, in bytes. */
const maxScriptBytes = 16_777_216

async function connect(info: ConnectionInfo, terminal: Terminal, withTls: boolean): Promise<pg.Client> {
  const { env } = terminal
  const client = new pg.Client({
    host: info.host ?? '127.0.0.1',
    port: Number(info.port ?? 5432),
    user: info.user ?? env['PGUSER'] ?? env['USER'] ?? 'postgres',
    database: info.dbname ?? info.user ?? 'postgres',
    password: info.password ?? env['PGPASSWORD'],
    application_name: info.application_name ?? 'bawn sql',
    connectionTimeoutMillis: Number(info.connect_timeout ?? 10) * 1000,
    options: info.options,
    ssl: withTls ? tlsOptionsOf(info, undefined) : false,
    ...(info.sslnegotiation === 'direct' ? { sslnegotiation: 'direct' as const } : {}),
    // Values stay as the server wrote them: what is shown is what was sent.
    types: { getTypeParser: () => (value: unknown) => value },
  })
  // Without a listener a lost connection would end the process; the query that waits hears of it too.
  client.on('error', () => undefined)
  client.on('notice', notice => terminal.err(`${notice.severity ?? 'NOTICE'}:  ${printable(notice.message ?? '')}\n`))
  await client.connect()
  return client
}

/** TLS as sslmode says; `prefer` goes on without where the server has none. */
async function open(info: ConnectionInfo, terminal: Terminal): Promise<pg.Client> {
  const mode = sslModeOf(info)
  try {
    return await connect(info, terminal, mode !== 'disable')
  } catch (error) {
    const isRefused = error instanceof Error && error.message === 'The server does not support SSL connections'
    if (mode === 'prefer' && isRefused) return connect(info, terminal, false)
    throw error
  }
}

/** An ErrorResponse as psql prints it with `\set VERBOSITY verbose`. */
function describeFailure(error: pg.DatabaseError): string {
  const lines = [`${error.severity ?? 'ERROR'}:  ${error.code ?? 'XX000'}: ${printable(error.message)}`]
  if (error.detail !== undefined) lines.push(`DETAIL:  ${printable(error.detail)}`)
  if (error.hint !== undefined) lines.push(`HINT:  ${printable(error.hint)}`)
  return `${lines.join('\n')}\n`
}

interface Result {
  readonly command: string
  readonly rowCount: number | null
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[]
  readonly rows: readonly (readonly unknown[])[]
}

const cellOf = (value: unknown): string | undefined =>
  value === null || value === undefined ? undefined : String(value)

function show(result: Result, asJson: boolean): string {
  if (asJson) {
    const names = result.fields.map(field => field.name)
    const rows = result.rows.map(row => row.map(value => cellOf(value) ?? null))
    return `${JSON.stringify({ command: result.command, rowCount: result.rowCount, columns: names, rows })}\n`
  }
  if (result.fields.length > 0) {
    const columns = result.fields.map(({ name, dataTypeID }) => ({ name, right: rightTypes.has(dataTypeID) }))
    return alignedTable(
      columns,
      result.rows.map(row => row.map(cellOf)),
    )
  }
  if (!result.command) return ''
  const count =
    result.rowCount === null ? '' : result.command === 'INSERT' ? ` 0 ${result.rowCount}` : ` ${result.rowCount}`
  return `${result.command}${count}\n`
}

async function readScript(terminal: Terminal): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of terminal.stdin) {
    const bytes = Buffer.from(piece)
    length += bytes.length
    if (length > maxScriptBytes) throw new CliError('cli.usage', `standard input has more than ${maxScriptBytes} bytes`)
    pieces.push(bytes)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function withPaths(info: ConnectionInfo, cwd: string): ConnectionInfo {
  const path = (text: string | undefined): string | undefined =>
    text === undefined || text === 'system' ? text : resolve(cwd, text)
  const { sslrootcert, sslcert, sslkey, ...rest } = info
  const paths = { sslrootcert: path(sslrootcert), sslcert: path(sslcert), sslkey: path(sslkey) }
  return Object.fromEntries(Object.entries({ ...rest, ...paths }).filter(([, value]) => value !== undefined))
}

async function runStatements(input: Input, client: pg.Client, statements: readonly string[]): Promise<0 | 1> {
  const { terminal } = input
  for (const text of statements) {
    try {
      type Outcome = pg.QueryArrayResult<unknown[]>
      const outcome: Outcome | readonly Outcome[] = await client.query<unknown[]>({ text, rowMode: 'array' })
      // Several statements in one text answer with a list.
      for (const result of [outcome].flat()) terminal.out(show(result, input.flag('json')))
    } catch (error) {
      if (!(error instanceof pg.DatabaseError))
        throw new CliError('cli.failed', 'the connection was lost', { cause: error })
      terminal.err(describeFailure(error))
      return 1
    }
  }
  return 0
}

const sql: Command = {
  name: 'sql',
  summary: 'run SQL over a connection of your own, as psql would',
  positionals: ['CONNECTION'],
  options: {
    command: { value: 'SQL', short: 'c', many: true, help: 'statement to run (default: standard input)' },
    json: { help: 'one JSON document a result' },
  },
  notes: [
    'CONNECTION: "host=127.0.0.1 port=9393 user=alice dbname=shop sslmode=verify-full sslrootcert=ca.crt", or postgres://…',
    'The password comes from the connection string or PGPASSWORD; a token is a password too.',
  ],
  async run(input) {
    const { terminal } = input
    const info = withPaths(parseConnectionInfo(input.positionals[0] ?? ''), terminal.cwd)
    const given = input.list('command')
    const statements = given.length > 0 ? given : [await readScript(terminal)]
    let client: pg.Client
    try {
      client = await open(info, terminal)
    } catch (error) {
      if (error instanceof pg.DatabaseError) {
        terminal.err(describeFailure(error))
        return 1
      }
      if (error instanceof CliError) throw error
      const where = `${info.host ?? '127.0.0.1'} port ${info.port ?? 5432}`
      const why = error instanceof Error && !('syscall' in error) ? `: ${error.message}` : ''
      throw new CliError('cli.failed', `no connection to ${where}${why}`, {
        cause: error,
        suggestion: 'Is the gateway running there? bawn start prints the address of each listener',
      })
    }
    try {
      return await runStatements(input, client, statements)
    } finally {
      await client.end().catch(() => undefined)
    }
  },
}

export const commands: readonly Command[] = [sql]
