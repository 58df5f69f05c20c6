import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { DigestRealm } from '../accounts/digest-verifier.ts'
import { parseUserFile } from '../accounts/file.ts'
import type { WritableAccountStore } from '../accounts/store.ts'
import type { UserEntry } from '../accounts/user-entry.ts'
import type { Verifiers } from '../accounts/verifier.ts'
import { storeOption, withWritableStore } from './account-store.ts'
import type { Command, Input } from './command.ts'
import { digestOption, digestRealmOf, withDigest } from './digest-option.ts'
import { CliError } from './error.ts'

const formats = ['users_yml', 'htpasswd'] as const

function readEntries(input: Input): readonly UserEntry[] {
  const stated = input.need('format')
  const format = formats.find(known => known === stated)
  if (format === undefined) throw new CliError('cli.usage', `--format is one of ${formats.join(', ')}`)
  const roles = input.list('role')
  if (format === 'users_yml' && roles.length > 0) {
    throw new CliError('cli.usage', 'users_yml says the roles of each user: leave out --role')
  }
  const file = input.positionals[0] ?? ''
  let bytes: Buffer
  try {
    bytes = readFileSync(resolve(input.terminal.cwd, file))
  } catch (cause) {
    throw new CliError('cli.failed', `${file} cannot be read`, { cause })
  }
  return parseUserFile(file, format, bytes, roles)
}

/** A password in clear is hashed; a hash stays what it is, and is made anew when its user logs in. */
async function verifiersOf(
  { name, password }: UserEntry,
  store: WritableAccountStore,
  digest: DigestRealm | undefined,
): Promise<Verifiers> {
  if (password?.kind === 'plain')
    return withDigest(await store.derive(password.password), name, password.password, digest)
  return { scram: undefined, password }
}

export const importAccounts: Command = {
  name: 'accounts import',
  summary: 'add the users of a file: RESTHeart’s users.yml, or htpasswd',
  positionals: ['FILE'],
  options: {
    ...storeOption,
    ...digestOption,
    format: { value: 'FORMAT', help: 'users_yml or htpasswd' },
    role: { value: 'ROLE', many: true, help: 'a role of all users of an htpasswd file, which has none' },
  },
  notes: [
    'Users that the store has already stay as they are, so an import that was interrupted can be run again.',
    'Nothing is imported from a file with a mistake in it.',
    'What digest needs can be kept of passwords in clear only; of others it is made when their user logs in by Basic.',
  ],
  run: input =>
    withWritableStore(input, async store => {
      const entries = readEntries(input)
      const digest = await digestRealmOf(input, store)
      let added = 0
      for (const entry of entries) {
        if ((await store.find(entry.name)) !== undefined) continue
        await store.add({
          name: entry.name,
          roles: entry.roles,
          ...(await verifiersOf(entry, store, digest)),
          locked: false,
        })
        added += 1
        if (added % 100 === 0) input.terminal.err(`${added} of ${entries.length} users\n`)
      }
      const kept = entries.length - added
      return `imported ${added} ${added === 1 ? 'user' : 'users'}${kept > 0 ? `, ${kept} were there already` : ''}\n`
    }),
}
