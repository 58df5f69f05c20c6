import { type PluggedMechanism, pluggedMechanism } from '../authn/option.ts'
import { PostgresError } from './failure.ts'
import type { WantedHost } from './hosts.ts'
import type { StartupMessage } from './wire/startup.ts'

/** Mechanisms that ask the client something, so that it may wish for one of them. */
export const loginQuestions = ['scram', 'password', 'jwt', 'token', 'oauthbearer'] as const
/** One of them, or the mechanism of a plug-in that judges what is typed as the password. */
export type LoginQuestion = (typeof loginQuestions)[number] | PluggedMechanism

/** Mechanisms of plug-ins that this door can ask for. */
export type PluggedQuestions = Pick<ReadonlySet<PluggedMechanism>, 'has'>
export const noPluggedQuestions: PluggedQuestions = new Set<PluggedMechanism>()

/** The question of this name; `undefined` when there is none. */
export function questionOf(mechanism: string, plugged: PluggedQuestions): LoginQuestion | undefined {
  const name = pluggedMechanism(mechanism)
  if (name !== undefined) return plugged.has(name) ? name : undefined
  return loginQuestions.find(question => question === mechanism)
}

/** What a StartupMessage asks for, sorted into what we decide by and what is passed on. */
export interface StartupRequest {
  readonly user: string
  readonly database: string
  /** `-c bawn.login=jwt` in `options`: which question the client wants to be asked. */
  readonly login: LoginQuestion | undefined
  /** `-c bawn.target=replica` in `options`: where reading is enough. */
  readonly target: WantedHost
  readonly applicationName: string
  /** `true`: physical, of the whole server. */
  readonly replication: 'true' | 'database' | undefined
  /** Run-time settings that are passed on, in order. */
  readonly settings: readonly (readonly [name: string, value: string])[]
  /** What it asked for and may not have: told only once it is known who asks. */
  readonly refused: PostgresError | undefined
}

/**
 * Settings that a client may bring. Everything else changes meaning (`search_path`, `standard_conforming_strings`), identity
 * (`role`, `session_authorization`) or what the server does for all, or is not known to be harmless.
 */
const allowed: ReadonlySet<string> = new Set([
  'bytea_output',
  'client_min_messages',
  'datestyle',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'extra_float_digits',
  'geqo',
  'idle_in_transaction_session_timeout',
  'intervalstyle',
  'jit',
  'lock_timeout',
  'statement_timeout',
  'synchronous_commit',
  'timezone',
])

/** Names of UTF-8, and the two that PostgreSQL's own clients send when they do not care. */
const encodings: ReadonlySet<string> = new Set(['', 'utf8', 'utf-8', 'unicode', 'sql_ascii', "'utf-8'", "'utf8'"])

/**
 * Reads the parameters of a StartupMessage.
 *
 * @throws {PostgresError} `postgres.login_refused` when there is no user name
 */
export function readStartupRequest(message: StartupMessage, plugged: PluggedQuestions): StartupRequest {
  const { user, database, replication, options = '', application_name = '', ...others } = message.parameters
  if (user === undefined || user === '') {
    throw new PostgresError('postgres.login_refused', 'no PostgreSQL user name specified in startup packet')
  }
  let login: LoginQuestion | undefined
  let target: WantedHost = 'primary'
  let applicationName = application_name
  let refused: PostgresError | undefined
  const refuse = (error: PostgresError): void => {
    refused ??= error
  }
  const settings: [string, string][] = []
  const asked: [string, string][] = [...Object.entries(others)]
  const words = parseOptions(options)
  if (words === undefined) refuse(settingRefused('options'))
  else asked.push(...words)
  for (const [name, value] of asked) {
    const key = name.toLowerCase()
    if (key === 'bawn.login') {
      login = questionOf(value, plugged)
      if (login === undefined) refuse(settingRefused(name))
    } else if (key === 'bawn.target') {
      if (value === 'primary' || value === 'replica') target = value
      else refuse(settingRefused(name))
    } else if (key === 'application_name') applicationName = value
    else if (key === 'client_encoding') {
      if (!encodings.has(value.toLowerCase())) refuse(encodingRefused(value))
    } else if (key === 'standard_conforming_strings' && value.toLowerCase() === 'on') continue
    else if (allowed.has(key)) settings.push([name, value])
    else refuse(settingRefused(name))
  }
  const mode = replicationMode(replication)
  if (mode === undefined) refuse(settingRefused('replication'))
  const wanted = mode === 'false' ? undefined : mode
  return { user, database: database || user, login, target, applicationName, replication: wanted, settings, refused }
}

/** `undefined` for what is neither. */
function replicationMode(value: string | undefined): 'true' | 'database' | 'false' | undefined {
  if (value === undefined || /^(?:false|off|no|0|f|n)$/i.test(value)) return 'false'
  if (/^(?:true|on|yes|1|t|y)$/i.test(value)) return 'true'
  return value === 'database' ? 'database' : undefined
}

const shown = (name: string): string => name.slice(0, 63).replaceAll(/[^\x20-\x7e]/g, '?')

function settingRefused(name: string): PostgresError {
  return new PostgresError('postgres.startup_setting', `parameter "${shown(name)}" may not be set at connection start`)
}

function encodingRefused(value: string): PostgresError {
  return new PostgresError('postgres.encoding', `client_encoding "${shown(value)}" is not supported`)
}

/**
 * `-c name=value`, `-cname=value` and `--name=value`, separated by blanks, a backslash before a blank or a backslash
 * (PostgreSQL's pg_split_opts); anything else is a switch of the server program and not for clients.
 *
 * @returns `undefined` when there is another switch
 */
export function parseOptions(options: string): [name: string, value: string][] | undefined {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < options.length; at += 1) {
    const character = options.charAt(at)
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (character === '\\') {
      at += 1
      word = (word ?? '') + options.charAt(at)
    } else word = (word ?? '') + character
  }
  if (word !== undefined) words.push(word)
  const settings: [string, string][] = []
  for (let index = 0; index < words.length; index += 1) {
    const text = words[index] ?? ''
    let assignment: string
    if (text === '-c') {
      index += 1
      assignment = words[index] ?? ''
    } else if (text.startsWith('-c')) assignment = text.slice(2)
    else if (text.startsWith('--')) assignment = text.slice(2)
    else return undefined
    const equals = assignment.indexOf('=')
    if (equals < 1) return undefined
    settings.push([assignment.slice(0, equals).replaceAll('-', '_'), assignment.slice(equals + 1)])
  }
  return settings
}

/** `bawn:<identity> <what the client calls itself>`: printable ASCII, at most 63 bytes, as the server would cut it. */
export function applicationNameOf(identityId: string, clientName: string): string {
  return `bawn:${identityId} ${clientName}`
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .trimEnd()
    .slice(0, 63)
}
