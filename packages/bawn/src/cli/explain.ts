import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { formatNeed } from '../accounts/grant-target.ts'
import type { AccountStore } from '../accounts/store.ts'
import { compactForm } from '../authn/bearer.ts'
import { openHostNames } from '../authn/host-rules.ts'
import type { MechanismName } from '../authn/identity.ts'
import { usableMechanisms } from '../authn/option.ts'
import { openAccountStore, type StoreParts } from '../compose-accounts.ts'
import { composeIssuers } from '../compose-issuers.ts'
import type { Config } from '../config/load.ts'
import { resolveSecret } from '../config/secret.ts'
import { type Asking, type ExplainSurroundings, explainLogin, explainRequest } from '../explain.ts'
import { explainGrant } from '../explain-grant.ts'
import { explainSql } from '../explain-sql.ts'
import type { Explanation } from '../explanation.ts'
import type { Kinds } from '../kinds.ts'
import { suggest } from '../nearest.ts'
import { createGrantGate, type OpenGrantGate } from '../policy/grant-gate.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfiguration } from './config.ts'
import { CliError } from './error.ts'
import { databaseOf, privilegesOf, targetNote, targetOf, targetOptions } from './grant-target.ts'
import { partsFor } from './kinds.ts'
import { printable } from './terminal-text.ts'

function readToken(input: Input, text: string): string {
  if (/^(env|file):/.test(text)) return resolveSecret(text, input.terminal.env).value
  const path = resolve(input.terminal.cwd, text)
  // A JSON Web Token as it is: then it is no file.
  if (compactForm.test(text) && !existsSync(path)) return text
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new CliError('cli.failed', '--token names no file that can be read, and is no token', { cause })
  }
}

function askingOf(input: Input): Asking {
  const token = input.text('token')
  const roles = input.list('role')
  if (token !== undefined && roles.length > 0)
    throw new CliError('cli.usage', '--token says the roles: leave out --role')
  if (token !== undefined) return { kind: 'token', token: readToken(input, token) }
  return roles.length > 0 ? { kind: 'roles', roles } : { kind: 'nobody' }
}

/** Opening makes the file; explaining makes nothing. What a plug-in makes, it knows alone. */
async function openExisting(config: Config, name: string, parts: StoreParts): Promise<AccountStore | undefined> {
  const options = config.accounts[name]
  if (options === undefined || (options.kind !== 'plugin' && 'path' in options && !existsSync(options.path)))
    return undefined
  return openAccountStore(name, options, { ...parts, create: false })
}

/** With the grants of the configuration's store; `undefined` where it has none, or no file yet. */
export async function withGrants<Result>(
  config: Config,
  parts: StoreParts,
  work: (open: OpenGrantGate | undefined) => Promise<Result>,
): Promise<Result> {
  const { grants } = config
  const store = grants === undefined ? undefined : await openExisting(config, grants.accounts, parts)
  let open: OpenGrantGate | undefined
  try {
    if (store?.administration !== undefined) {
      const superusers = grants?.superusers ?? []
      open = await createGrantGate({ administration: store.administration, superusers, now: () => performance.now() })
    }
    return await work(open)
  } finally {
    open?.close()
    await store?.close()
  }
}

function surroundingsOf(config: Config, parts: StoreParts, grants: OpenGrantGate | undefined): ExplainSurroundings {
  const { kinds, surroundings } = parts
  return {
    kinds,
    grants: grants?.gate,
    hostNames: openHostNames(config.host_rules, {
      clock: surroundings.clock,
      log: line => surroundings.log('warn', line),
    }),
    authenticate: async token => {
      const issuers = await composeIssuers(config, kinds, surroundings)
      return (await issuers?.authenticate(token)) ?? { kind: 'rejected', reason: 'untrusted' }
    },
    findAccount: async user => {
      for (const name of Object.keys(config.accounts)) {
        const store = await openExisting(config, name, parts)
        try {
          const account = await store?.find(user)
          if (account) return { account, store: name }
        } finally {
          await store?.close()
        }
      }
      return undefined
    },
  }
}

function show(input: Input, title: string, explanation: Explanation): 0 | 1 {
  const { terminal } = input
  if (input.flag('json')) terminal.out(`${JSON.stringify(explanation)}\n`)
  else {
    const lines = [title, '']
    let before = ''
    for (const { about, text } of explanation.steps) {
      lines.push(`${(about === before ? '' : about).padEnd(12)}${printable(text)}`)
      before = about
    }
    lines.push('', `${explanation.verdict}: ${explanation.by}`)
    terminal.out(`${lines.join('\n')}\n`)
  }
  return explanation.verdict === 'refused' ? 1 : 0
}

const askingOptions = {
  token: { value: 'TOKEN', help: 'file with the caller’s token, or env:NAME, file:path, or the token' },
  role: { value: 'ROLE', many: true, help: 'suppose a caller with this role instead' },
  address: { value: 'ADDRESS', help: 'where the caller comes from (default: 127.0.0.1)' },
} as const

function headersOf(input: Input): readonly string[] {
  return input.list('header').flatMap(line => {
    const [, name, value] = /^([A-Za-z0-9-]+): *([^\r\n]*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) {
      throw new CliError('cli.usage', "a header is written as --header 'Name: value'")
    }
    return [name, value]
  })
}

const request: Command = {
  name: 'explain request',
  summary: 'why would an HTTP request be permitted or refused, and what would it show',
  positionals: ['METHOD?', 'PATH?'],
  options: {
    ...configOption,
    ...jsonOption,
    method: { value: 'METHOD', help: 'instead of the first argument (default: GET)' },
    path: { value: 'PATH', help: 'instead of the second argument' },
    ...askingOptions,
    host: { value: 'NAME', help: 'the name it is asked for by, as Host says it (default: localhost)' },
    header: { value: 'NAME: VALUE', many: true, help: 'a header of the request' },
    tls: { help: 'over TLS' },
  },
  notes: ['Exit status 1 when it would be refused.'],
  async run(input) {
    const [first, second] = input.positionals
    // `bawn explain request /path` means GET.
    const [method, path] = first?.startsWith('/') ? [undefined, first] : [first, second]
    const target = input.text('path') ?? path
    if (target === undefined) throw new CliError('cli.usage', 'which path? bawn explain request GET /orders/7')
    const { config, kinds } = await needConfiguration(input)
    const question = {
      method: (input.text('method') ?? method ?? 'GET').toUpperCase(),
      path: target,
      host: input.text('host') ?? 'localhost',
      address: input.text('address') ?? '127.0.0.1',
      tls: input.flag('tls'),
      headers: headersOf(input),
      asking: askingOf(input),
    }
    const parts = partsFor(input, kinds)
    const explanation = await withGrants(config, parts, open =>
      explainRequest(config, question, surroundingsOf(config, parts, open)),
    )
    const how = question.tls ? 'with TLS' : 'without TLS'
    const title = `${question.method} ${printable(target)} at door http, from ${question.address}, ${how}`
    return show(input, title, explanation)
  },
}

const known = ({ plugged }: Kinds): readonly MechanismName[] => [...usableMechanisms, ...plugged.mechanisms.keys()]

const login: Command = {
  name: 'explain login',
  summary: 'why would a PostgreSQL login be permitted or refused, and what would it show',
  options: {
    ...configOption,
    ...jsonOption,
    user: { value: 'NAME', short: 'u', help: 'user of the startup message' },
    database: { value: 'NAME', short: 'd', help: 'database of the startup message (default: the only one)' },
    mechanism: {
      value: 'NAME',
      help: `only ${usableMechanisms.join(', ')}, or a plug-in’s (default: what the rule says)`,
    },
    ...askingOptions,
    tls: { help: 'over TLS (default)' },
    'no-tls': { help: 'without TLS' },
  },
  notes: ['Exit status 1 when it would be refused.'],
  async run(input) {
    const user = input.need('user')
    if (input.flag('tls') && input.flag('no-tls'))
      throw new CliError('cli.usage', '--tls and --no-tls exclude each other')
    const { config, kinds } = await needConfiguration(input)
    const named = input.text('mechanism')
    const mechanism = known(kinds).find(name => name === named)
    if (named !== undefined && mechanism === undefined) {
      const suggestion = suggest(named, known(kinds))
      throw new CliError('cli.usage', `"${named}" is no mechanism`, suggestion === undefined ? {} : { suggestion })
    }
    const only = Object.keys(config.databases)
    const database = input.text('database') ?? (only.length === 1 ? only[0] : undefined)
    if (database === undefined)
      throw new CliError('cli.usage', `which database? Add --database: one of ${only.join(', ')}`)
    const question = {
      user,
      database,
      mechanism,
      address: input.text('address') ?? '127.0.0.1',
      tls: !input.flag('no-tls'),
      asking: askingOf(input),
    }
    const parts = partsFor(input, kinds)
    const explanation = await withGrants(config, parts, open =>
      explainLogin(config, question, surroundingsOf(config, parts, open)),
    )
    const how = question.tls ? 'with TLS' : 'without TLS'
    const title = `login of ${printable(user)} to ${printable(database)} at door postgres, from ${question.address}, ${how}`
    return show(input, title, explanation)
  },
}

const grant: Command = {
  name: 'explain grant',
  summary: 'why would somebody be permitted or refused to do something with a table, a schema, or accounts',
  positionals: ['PRIVILEGE'],
  options: {
    ...configOption,
    ...jsonOption,
    ...targetOptions,
    user: { value: 'NAME', short: 'u', help: 'an account of the store that holds the grants' },
    token: { value: 'TOKEN', help: 'file with the caller’s token, or env:NAME, file:path, or the token' },
    role: { value: 'ROLE', many: true, help: 'suppose a caller from elsewhere with this role instead' },
  },
  notes: ['PRIVILEGE is DQL, DML, DDL or AL. Exit status 1 when it would be refused.', targetNote],
  async run(input) {
    const { config, kinds } = await needConfiguration(input)
    const store = config.grants?.accounts
    if (store === undefined) {
      const suggestion = 'Add to the configuration: grants: { accounts: … }, with the name of an account store'
      throw new CliError('cli.failed', 'the configuration has no section grants: nothing is enforced', { suggestion })
    }
    const target = targetOf(input, config)
    const [privilege, ...more] = privilegesOf(input.positionals[0] ?? '', target)
    if (privilege === undefined || more.length > 0) throw new CliError('cli.usage', 'one privilege at a time')
    const [user, given] = [input.text('user'), askingOf(input)]
    if ((user === undefined) === (given.kind === 'nobody'))
      throw new CliError('cli.usage', 'who asks? Either --user, or --role, or --token')
    const need = { privilege, target }
    const parts = partsFor(input, kinds)
    const explanation = await withGrants(config, parts, async open => {
      if (open === undefined)
        throw new CliError('cli.failed', `account store ${store} is not made yet: nothing is granted`)
      const question = { need, user, asking: given.kind === 'nobody' ? undefined : given }
      return explainGrant(config, store, question, { ...surroundingsOf(config, parts, undefined), grants: open })
    })
    return show(input, printable(formatNeed(need)), explanation)
  },
}

const sql: Command = {
  name: 'explain sql',
  summary: 'which rule of a database’s firewall decides over a statement',
  positionals: ['STATEMENT'],
  options: {
    ...configOption,
    ...jsonOption,
    database: { value: 'NAME', short: 'd', help: 'a database of the configuration (default: the only one)' },
    user: { value: 'NAME', short: 'u', help: 'an account, with its roles' },
    token: { value: 'TOKEN', help: 'file with the caller’s token, or env:NAME, file:path, or the token' },
    role: { value: 'ROLE', many: true, help: 'suppose a caller with this role instead' },
    connect: { help: 'ask the database which tables the names in the statement mean' },
  },
  notes: ['Nothing is run: the statement is read, as the door would. Exit status 1 when it would be refused.'],
  async run(input) {
    const { config, kinds } = await needConfiguration(input)
    const database = databaseOf(input, Object.keys(config.databases))
    const [user, asking] = [input.text('user'), askingOf(input)]
    if (user === undefined && asking.kind === 'nobody')
      throw new CliError('cli.usage', 'who asks? --user, or --role, or --token')
    const parts = partsFor(input, kinds)
    const { terminal } = input
    const databases = {
      clock: terminal.now,
      log: ({ message }: { readonly message: string }) => terminal.err(`${message}\n`),
      secret: (reference: string) => resolveSecret(reference, terminal.env).value,
    }
    const question = { database, sql: input.positionals[0] ?? '', user, asking, connect: input.flag('connect') }
    const explanation = await withGrants(config, parts, open =>
      explainSql(config, question, { ...surroundingsOf(config, parts, undefined), grants: open?.gate, databases }),
    )
    return show(input, `a statement at database ${printable(database)}`, explanation)
  },
}

export const commands: readonly Command[] = [request, login, grant, sql]
