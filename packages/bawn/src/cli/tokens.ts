import type { CredentialVersion } from '../accounts/credential-version.ts'
import { AccountError } from '../accounts/store.ts'
import { composeTokens } from '../compose.ts'
import { openAccountStore } from '../compose-accounts.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfiguration } from './config.ts'
import { CliError } from './error.ts'
import { partsFor } from './kinds.ts'
import { namesTarget, commands as revocations, revokeTarget, targetOptions } from './revocations.ts'
import { printable } from './terminal-text.ts'

type Manager = NonNullable<Awaited<ReturnType<typeof composeTokens>>>

/** The manager of the running gateways: what this does holds for them at their next request. */
async function withTokens(input: Input, work: (manager: Manager) => Promise<string>): Promise<0> {
  const { config, kinds } = await needConfiguration(input)
  if (config.tokens === undefined) {
    const suggestion = 'Add to the configuration: tokens: { kind: sqlite, path: data/tokens.db }'
    throw new CliError('cli.failed', 'the configuration issues no tokens', { suggestion })
  }
  if (config.tokens.kind === 'memory') {
    const suggestion = 'Restart the gateway to end them all, or keep tokens in kind: sqlite'
    throw new CliError('cli.failed', 'tokens of kind memory are in the gateway’s own memory', { suggestion })
  }
  const manager = await composeTokens(config, kinds, partsFor(input, kinds).surroundings)
  if (manager === undefined) throw new CliError('cli.failed', 'the configuration issues no tokens')
  try {
    input.terminal.out(await work(manager))
  } finally {
    await manager.close()
  }
  return 0
}

/** Which password an account has: its tokens end with it. */
async function credentialOf(input: Input, source: string, user: string): Promise<CredentialVersion | undefined> {
  const { config, kinds } = await needConfiguration(input)
  const options = Object.hasOwn(config.accounts, source) ? config.accounts[source] : undefined
  if (options === undefined) throw new CliError('cli.usage', `no account store is called "${source}"`)
  const store = await openAccountStore(source, options, partsFor(input, kinds))
  try {
    const account = await store.find(user)
    if (account === undefined) {
      throw new AccountError('accounts.not_found', `account store ${source} has no account "${printable(user)}"`)
    }
    return account.credential
  } finally {
    await store.close()
  }
}

const issue: Command = {
  name: 'tokens issue',
  summary: 'issue a token for somebody and print it',
  positionals: ['ID'],
  options: {
    ...configOption,
    role: { value: 'ROLE', many: true, help: 'a role that it has' },
    source: { value: 'STORE', help: 'account store that knows it: its roles are then those of the account' },
  },
  notes: ['Whoever can read the configuration and write the store can do this: there is no line in the audit trail.'],
  run: input =>
    withTokens(input, async manager => {
      const id = input.positionals[0] ?? ''
      const source = input.text('source')
      const credential = source === undefined ? undefined : await credentialOf(input, source, id)
      const subject = { id, roles: input.list('role'), source, clientId: undefined, notAfter: undefined }
      const { token, validUntil } = await manager.issue(subject, credential)
      input.terminal.err(`valid until ${new Date(validUntil).toISOString()}\n`)
      return `${token}\n`
    }),
}

const revoke: Command = {
  name: 'tokens revoke',
  summary: 'end tokens of ours, or take back tokens of issuers and API keys, at every node',
  positionals: ['ID?'],
  options: {
    ...configOption,
    all: { help: 'every token of ours, of everybody' },
    ...targetOptions,
    'not-before': { value: 'TIME', help: 'only what was issued before this: RFC 3339, or now' },
    keep: { value: 'DURATION', help: 'how long it counts; default: revocations.keep, API keys for good' },
  },
  notes: [
    'With an ID or --all: tokens that the gateway has issued itself, in their store.',
    'Else the running gateway is asked: it needs revocations in the configuration, and who did it is in the audit trail.',
  ],
  async run(input) {
    const ofOthers = namesTarget(input)
    if (ofOthers && (input.positionals.length > 0 || input.flag('all'))) {
      throw new CliError('cli.usage', 'an ID or --all is for tokens of ours, and stands alone')
    }
    if (ofOthers) {
      input.terminal.out(await revokeTarget(input))
      return 0
    }
    if (input.text('not-before') !== undefined || input.text('keep') !== undefined) {
      throw new CliError('cli.usage', 'say which: --claim, --jti, --issuer, --api-key or --api-key-stdin')
    }
    return withTokens(input, async manager => {
      const [id] = input.positionals
      if ((id === undefined) !== input.flag('all')) throw new CliError('cli.usage', 'name whose tokens, or say --all')
      const count = id === undefined ? await manager.revokeAll() : await manager.revoke(id)
      const known = (await manager.list()) !== undefined
      return known ? `ended ${count} ${count === 1 ? 'token' : 'tokens'}\n` : 'ended whatever had been issued\n'
    })
  },
}

const list: Command = {
  name: 'tokens list',
  summary: 'list who has running tokens, and until when',
  options: { ...configOption, ...jsonOption },
  run: input =>
    withTokens(input, async manager => {
      const tokens = await manager.list()
      if (tokens === undefined) {
        throw new CliError('cli.failed', 'signed tokens are kept nowhere: nobody knows which there are')
      }
      const rows = tokens.map(({ subject, issuedAt, validUntil }) => ({
        id: subject.id,
        roles: subject.roles,
        source: subject.source,
        issued_at: new Date(issuedAt).toISOString(),
        valid_until: new Date(validUntil).toISOString(),
      }))
      if (input.flag('json')) return `${JSON.stringify(rows)}\n`
      const width = Math.max(2, ...rows.map(row => row.id.length)) + 2
      const lines = rows.map(
        row => `${printable(row.id).padEnd(width)}${row.valid_until}  ${row.roles.join(', ') || '–'}\n`,
      )
      return `${lines.join('')}${rows.length} ${rows.length === 1 ? 'token' : 'tokens'}\n`
    }),
}

export const commands: readonly Command[] = [issue, revoke, list, ...revocations]
