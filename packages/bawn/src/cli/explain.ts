import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { compactForm } from '../authn/bearer.ts'
import { createJwtMechanism } from '../authn/jwt.ts'
import { usableMechanisms } from '../authn/option.ts'
import { openAccountStore } from '../compose-accounts.ts'
import type { Config } from '../config/load.ts'
import { resolveSecret } from '../config/secret.ts'
import { type Asking, type ExplainSurroundings, type Explanation, explainLogin, explainRequest } from '../explain.ts'
import { suggest } from '../nearest.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { kindsFor } from './kinds.ts'
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

function surroundingsOf(config: Config, input: Input): ExplainSurroundings {
  return {
    authenticate: async token =>
      createJwtMechanism(config.issuers, {
        fetch,
        clock: input.terminal.now,
        secret: reference => resolveSecret(reference, input.terminal.env).value,
      }).authenticate(token),
    findAccount: async user => {
      for (const [name, options] of Object.entries(config.accounts)) {
        // Opening makes the file; explaining makes nothing.
        if (!existsSync(options.path)) continue
        const store = await openAccountStore(name, options, kindsFor(input))
        try {
          const account = await store.find(user)
          if (account) return { account, store: name }
        } finally {
          await store.close()
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
    tls: { help: 'over TLS' },
  },
  notes: ['Exit status 1 when it would be refused.'],
  async run(input) {
    const [first, second] = input.positionals
    // `bawn explain request /path` means GET.
    const [method, path] = first?.startsWith('/') ? [undefined, first] : [first, second]
    const target = input.text('path') ?? path
    if (target === undefined) throw new CliError('cli.usage', 'which path? bawn explain request GET /orders/7')
    const config = needConfig(input)
    const question = {
      method: (input.text('method') ?? method ?? 'GET').toUpperCase(),
      path: target,
      address: input.text('address') ?? '127.0.0.1',
      tls: input.flag('tls'),
      asking: askingOf(input),
    }
    const explanation = await explainRequest(config, question, surroundingsOf(config, input))
    const how = question.tls ? 'with TLS' : 'without TLS'
    const title = `${question.method} ${printable(target)} at door http, from ${question.address}, ${how}`
    return show(input, title, explanation)
  },
}

const login: Command = {
  name: 'explain login',
  summary: 'why would a PostgreSQL login be permitted or refused, and what would it show',
  options: {
    ...configOption,
    ...jsonOption,
    user: { value: 'NAME', short: 'u', help: 'user of the startup message' },
    database: { value: 'NAME', short: 'd', help: 'database of the startup message (default: the only one)' },
    mechanism: { value: 'NAME', help: `only ${usableMechanisms.join(', ')} (default: what the rule says)` },
    ...askingOptions,
    tls: { help: 'over TLS (default)' },
    'no-tls': { help: 'without TLS' },
  },
  notes: ['Exit status 1 when it would be refused.'],
  async run(input) {
    const user = input.need('user')
    const named = input.text('mechanism')
    const mechanism = usableMechanisms.find(known => known === named)
    if (named !== undefined && mechanism === undefined) {
      const suggestion = suggest(named, usableMechanisms)
      throw new CliError('cli.usage', `"${named}" is no mechanism`, suggestion === undefined ? {} : { suggestion })
    }
    if (input.flag('tls') && input.flag('no-tls'))
      throw new CliError('cli.usage', '--tls and --no-tls exclude each other')
    const config = needConfig(input)
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
    const explanation = await explainLogin(config, question, surroundingsOf(config, input))
    const how = question.tls ? 'with TLS' : 'without TLS'
    const title = `login of ${printable(user)} to ${printable(database)} at door postgres, from ${question.address}, ${how}`
    return show(input, title, explanation)
  },
}

export const commands: readonly Command[] = [request, login]
