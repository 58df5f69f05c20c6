import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { suggest } from '../nearest.ts'
import { CliError } from './error.ts'

/** libpq's parameters that we know (PostgreSQL manual, 32.1.2). */
const parameters = [
  'host',
  'port',
  'user',
  'dbname',
  'password',
  'application_name',
  'connect_timeout',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'options',
] as const
type Parameter = (typeof parameters)[number]

export type ConnectionInfo = Readonly<Partial<Record<Parameter, string>>>

const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

function parameterOf(word: string): Parameter {
  const known = parameters.find(parameter => parameter === word)
  if (known !== undefined) return known
  const suggestion = suggest(word, parameters)
  throw new CliError(
    'cli.usage',
    `unknown connection parameter "${word}"`,
    suggestion === undefined ? {} : { suggestion },
  )
}

/** `host=… dbname='my db'`: values in single quotes may hold spaces; backslash escapes (PostgreSQL manual, 32.1.1.1). */
function parsePairs(text: string): Partial<Record<Parameter, string>> {
  const found: Partial<Record<Parameter, string>> = {}
  const pair = /\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gy
  let end = 0
  for (const match of text.matchAll(pair)) {
    const [whole, word = '', quoted, bare = ''] = match
    found[parameterOf(word)] = (quoted ?? bare).replace(/\\(.)/g, '$1')
    end = match.index + whole.length
  }
  // What is left may hold a password: it is not repeated.
  if (text.slice(end).trim() !== '') {
    throw new CliError('cli.usage', `the connection string cannot be read after character ${end}`, {
      suggestion:
        'Write host=… port=… user=… dbname=…, with single quotes round values that have spaces, or a postgres:// URL',
    })
  }
  return found
}

/** `postgres://user:password@host:port/dbname?sslmode=…` (PostgreSQL manual, 32.1.1.2). */
function parseUrl(text: string): Partial<Record<Parameter, string>> {
  if (!URL.canParse(text)) throw new CliError('cli.usage', 'the connection URL cannot be read')
  const url = new URL(text)
  const found: Partial<Record<Parameter, string>> = {}
  const put = (parameter: Parameter, value: string): void => {
    if (value !== '') found[parameter] = value
  }
  try {
    put('host', decodeURIComponent(url.hostname.replace(/^\[|\]$/g, '')))
    put('port', url.port)
    put('user', decodeURIComponent(url.username))
    put('password', decodeURIComponent(url.password))
    put('dbname', decodeURIComponent(url.pathname.slice(1)))
  } catch {
    throw new CliError('cli.usage', 'the connection URL has a % that escapes nothing')
  }
  for (const [word, value] of url.searchParams) put(parameterOf(word), value)
  return found
}

/**
 * Reads a connection string as psql does.
 *
 * @throws {CliError} `cli.usage`; the message never repeats a value
 */
export function parseConnectionInfo(text: string): ConnectionInfo {
  const info = /^postgres(ql)?:\/\//i.test(text) ? parseUrl(text) : parsePairs(text)
  const mode = info.sslmode
  if (mode !== undefined && !sslModes.some(known => known === mode)) {
    throw new CliError('cli.usage', `sslmode is one of: ${sslModes.join(', ')}`)
  }
  const port = info.port
  if (port !== undefined && (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535)) {
    throw new CliError('cli.usage', 'port is a number from 0 to 65535')
  }
  return info
}

export const sslModeOf = (info: ConnectionInfo): SslMode => sslModes.find(mode => mode === info.sslmode) ?? 'prefer'

/** What Node's TLS needs for an sslmode, as libpq means it: only verify-full looks at the name, require with a root verifies. */
export function tlsOptionsOf(
  info: ConnectionInfo,
  readFile = (path: string): Buffer => readFileSync(path),
): ConnectionOptions {
  const mode = sslModeOf(info)
  const read = (parameter: 'sslrootcert' | 'sslcert' | 'sslkey'): Buffer | undefined => {
    const path = info[parameter]
    if (path === undefined || path === 'system') return undefined
    try {
      return readFile(path)
    } catch (cause) {
      throw new CliError('cli.failed', `${parameter}: ${path} cannot be read`, { cause })
    }
  }
  const [ca, cert, key] = [read('sslrootcert'), read('sslcert'), read('sslkey')]
  const isVerified = mode === 'verify-ca' || mode === 'verify-full' || (mode === 'require' && ca !== undefined)
  return {
    rejectUnauthorized: isVerified,
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
}
