import { type DigestRealm, deriveDigestVerifiers, isDigestRealm } from '../accounts/digest-verifier.ts'
import type { AccountStore } from '../accounts/store.ts'
import type { Verifiers } from '../accounts/verifier.ts'
import { asksAccounts } from '../authn/option.ts'
import type { Input } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'

/** Of commands that set a password. */
export const digestOption = {
  digest: { value: 'REALM', help: 'also keep what digest needs for this realm: as good as the password there' },
  'digest-md5': { help: 'with --digest: for clients that know MD5 only, too' },
  'no-digest': { help: 'keep nothing for digest, whatever the configuration says' },
} as const

export const digestNote =
  'Without --digest it goes by the configuration: mechanisms.digest that asks accounts has its realm and algorithms kept.'

/** What digest needs of a new password; `undefined`: nothing. @throws {CliError} where it is asked for and the store keeps none of it */
export async function digestRealmOf(input: Input, store: AccountStore): Promise<DigestRealm | undefined> {
  const realm = input.text('digest')
  const withMd5 = input.flag('digest-md5')
  if (input.flag('no-digest')) {
    if (realm !== undefined || withMd5) throw new CliError('cli.usage', '--digest and --no-digest exclude each other')
    return undefined
  }
  const isKept = store.findHashed !== undefined
  if (realm !== undefined) {
    if (!isKept) throw new CliError('cli.failed', `account store ${store.name} keeps nothing for digest`)
    if (!isDigestRealm(realm)) throw new CliError('cli.usage', 'a realm is 1 to 128 visible ASCII characters')
    return { realm, algorithms: ['SHA-256', 'SHA-512-256', ...(withMd5 ? (['MD5'] as const) : [])] }
  }
  if (withMd5) throw new CliError('cli.usage', '--digest-md5 goes with --digest REALM')
  const { digest } = (await needConfig(input)).mechanisms
  return isKept && digest !== undefined && asksAccounts(digest) ? digest : undefined
}

/** Verifiers of a password, with what digest needs of it. */
export function withDigest(
  verifiers: Verifiers,
  name: string,
  password: string,
  digest: DigestRealm | undefined,
): Verifiers {
  return { ...verifiers, digest: digest && deriveDigestVerifiers(name, password, digest) }
}
