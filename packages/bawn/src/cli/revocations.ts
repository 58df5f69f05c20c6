import { apiKeyHash } from '../authn/api-key.ts'
import { addressOption, askAdminDoor } from './admin-door.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { CliError } from './error.ts'
import { readSecret } from './secret-input.ts'
import { alignedTable, type Column } from './table.ts'

// Tokens of issuers, and API keys, that are taken back: by the running gateway, which holds the trail and is the first to know.

export const targetOptions = {
  ...addressOption,
  claim: { value: 'NAME=VALUE', help: 'tokens of issuers with this claim, or a list that holds it' },
  jti: { value: 'ID', help: 'the token of this id: --claim jti=ID' },
  issuer: { value: 'ISSUER', help: 'of this issuer; alone: all of its tokens' },
  'api-key': {
    value: 'NAME',
    help: 'every API key of this name, or the one of this hash: sha256: and its first 8 digits, or more',
  },
  'api-key-stdin': { help: 'the API key that is typed, or comes by standard input' },
} as const

const otherwise = 'Add a listener with door: admin: the running gateway takes tokens back'

/** Whether a token of an issuer or an API key is meant, and not tokens of ours. */
export function namesTarget(input: Input): boolean {
  return (
    input.flag('api-key-stdin') || ['claim', 'jti', 'issuer', 'api-key'].some(name => input.text(name) !== undefined)
  )
}

async function queryOf(input: Input): Promise<URLSearchParams> {
  const [claim, jti] = [input.text('claim'), input.text('jti')]
  if (claim !== undefined && jti !== undefined) throw new CliError('cli.usage', '--jti and --claim are one too many')
  const stated = claim ?? (jti === undefined ? undefined : `jti=${jti}`)
  const equals = stated?.indexOf('=') ?? -1
  if (stated !== undefined && equals < 1) throw new CliError('cli.usage', 'a claim is NAME=VALUE, for example sub=jane')
  const query = new URLSearchParams()
  if (stated !== undefined) {
    query.set('claim', stated.slice(0, equals))
    query.set('value', stated.slice(equals + 1))
  }
  const [issuer, apiKey] = [input.text('issuer'), input.text('api-key')]
  if (issuer !== undefined) query.set('issuer', issuer)
  if (apiKey !== undefined) query.set('api_key', apiKey)
  if (input.flag('api-key-stdin')) {
    if (apiKey !== undefined) throw new CliError('cli.usage', '--api-key and --api-key-stdin are one too many')
    // The key goes no further than this process.
    query.set('api_key', apiKeyHash(await readSecret(input.terminal, 'API key', false)))
  }
  if (query.size === 0)
    throw new CliError('cli.usage', 'say which: --claim, --jti, --issuer, --api-key or --api-key-stdin')
  return query
}

async function ask(input: Input, method: 'GET' | 'POST', path: string, member: string): Promise<unknown> {
  const answer = await askAdminDoor(input, { method, path }, [200], otherwise)
  return typeof answer === 'object' && answer !== null
    ? Object.getOwnPropertyDescriptor(answer, member)?.value
    : undefined
}

/** `bawn tokens revoke`, for what other issuers have signed, and for API keys. */
export async function revokeTarget(input: Input): Promise<string> {
  const query = await queryOf(input)
  const [notBefore, keep] = [input.text('not-before'), input.text('keep')]
  if (notBefore !== undefined) query.set('not_before', notBefore === 'now' ? new Date().toISOString() : notBefore)
  if (keep !== undefined) query.set('keep', keep)
  const row = await ask(input, 'POST', `/revocations/revoke?${query}`, 'revocation')
  const end = cell(row, 'ends_at')
  return `revoked ${end === undefined ? 'for good' : `until ${end}`}\n`
}

const restore: Command = {
  name: 'tokens restore',
  summary: 'take a revocation back; who did it is in the audit trail',
  options: { ...configOption, ...targetOptions },
  notes: [
    'Say what was said to bawn tokens revoke. What has run out meanwhile stays so; sessions that were ended stay ended.',
  ],
  async run(input) {
    const restored = await ask(input, 'POST', `/revocations/restore?${await queryOf(input)}`, 'restored')
    input.terminal.out(restored === true ? 'restored\n' : 'nothing of that was revoked\n')
    return restored === true ? 0 : 1
  },
}

function cell(row: unknown, of: string): string | undefined {
  const value: unknown =
    typeof row === 'object' && row !== null ? Object.getOwnPropertyDescriptor(row, of)?.value : undefined
  return typeof value === 'string' ? value : undefined
}

/** As much of its hash as tells an API key apart; `--api-key` takes it. */
function keyOf(row: unknown): string | undefined {
  return cell(row, 'api_key_hash')?.slice(0, 'sha256:'.length + 16)
}

const columns: readonly (Column & { readonly of: string })[] = [
  { name: 'claim', of: 'claim', right: false },
  { name: 'value', of: 'value', right: false },
  { name: 'issuer', of: 'issuer', right: false },
  { name: 'API key', of: 'api_key', right: false },
  { name: 'issued before', of: 'not_before', right: false },
  { name: 'revoked', of: 'revoked_at', right: false },
  { name: 'until', of: 'ends_at', right: false },
]

const revoked: Command = {
  name: 'tokens revoked',
  summary: 'list what was taken back: tokens of issuers, and API keys',
  options: { ...configOption, ...addressOption, ...jsonOption },
  async run(input) {
    const rows = await ask(input, 'GET', '/revocations', 'revocations')
    if (!Array.isArray(rows)) throw new CliError('cli.failed', 'the admin door gave no answer that can be read')
    if (input.flag('json')) input.terminal.out(`${JSON.stringify(rows)}\n`)
    else
      input.terminal.out(
        alignedTable(
          columns,
          rows.map((row: unknown) =>
            columns.map(({ of }) => cell(row, of) ?? (of === 'api_key' ? keyOf(row) : undefined)),
          ),
        ),
      )
    return 0
  },
}

export const commands: readonly Command[] = [restore, revoked]
