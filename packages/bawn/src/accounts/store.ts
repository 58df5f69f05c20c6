import { GatewayError } from '../error.ts'
import { name } from '../option.ts'
import { processSecret } from '../process-secret.ts'
import type { CredentialVersion } from './credential-version.ts'
import type { HashedName } from './digest-verifier.ts'
import type { Administration } from './grant.ts'
import type { PasswordVerifier, Verifiers } from './verifier.ts'

/**
 * SCRAM-SHA-256 verifier (RFC 5803, RFC 7677), the same four parts that PostgreSQL keeps in pg_authid:
 * `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
 */
export interface ScramVerifier {
  readonly iterations: number
  /** 16 bytes when we made it; 1 to 64 when imported. */
  readonly salt: Uint8Array
  /** 32 bytes. */
  readonly storedKey: Uint8Array
  /** 32 bytes. */
  readonly serverKey: Uint8Array
}

export interface Account {
  readonly name: string
  /** All that the account has: those that it was given, and theirs. */
  readonly roles: readonly string[]
  readonly scram: ScramVerifier | undefined
  /** Checks a password that comes in clear; where there is none, `scram` does. */
  readonly password?: PasswordVerifier | undefined
  /** Which password it has; `undefined` where the store cannot say. */
  readonly credential?: CredentialVersion | undefined
  /** What digest needs, where somebody asked for it: as `deriveDigestVerifiers` makes it. As good as the password. */
  readonly digest?: string | undefined
  readonly locked: boolean
}

export class AccountError extends GatewayError<
  | 'accounts.not_found'
  | 'accounts.exists'
  | 'accounts.invalid'
  | 'accounts.role_cycle'
  | 'accounts.role_in_use'
  | 'accounts.superuser'
  | 'accounts.unavailable'
  | 'accounts.newer_schema'
  | 'accounts.read_only'
  | 'accounts.busy'
  | 'accounts.bad_file'
  | 'accounts.bad_url'
> {}

/** 1 to 128 characters, none of them a control, format or line-breaking one: what logs and other people can read without doubt. */
export function isAccountName(text: string): boolean {
  return text.length >= 1 && text.length <= 128 && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)
}

/** Roles are names of ours (`option.ts`): what is not can be in no rule, and is nobody's role. */
export function isRoleName(text: string): boolean {
  return name.safeParse(text).success
}

/** An account with what its store knows of its past, in ms since 1970; `undefined` where that was not written down. */
export interface StoredAccount extends Account {
  /** The roles that the user was given; `roles` has those of these roles as well. */
  readonly granted: readonly string[]
  readonly createdAt: number | undefined
  /** When its password was last set or made anew. */
  readonly passwordChangedAt: number | undefined
}

/**
 * Where users live. One file per kind implements it. Methods reject only when the store itself fails ("cannot decide"); an
 * unknown name is `undefined`.
 */
export interface AccountStore {
  readonly name: string
  find(user: string): Promise<Account | undefined>
  /**
   * Another one after each change of anything that `find` says, whoever made it: at once for changes made here, and for those of others
   * from the next turn of the event loop. Absent where that is not known without asking somebody else.
   *
   * @throws {AccountError} `accounts.unavailable`
   */
  version?(): number | string
  /**
   * The account whose name has this hash, by which digest may hide it. Absent where the store keeps nothing that digest needs; the same
   * work for a hash that no name has.
   */
  findHashed?(name: HashedName): Promise<Account | undefined>
  /**
   * Some account that has a password, chosen by the name alone and always the same while the accounts are: a name that is unknown, or has
   * no password, is checked against its verifier, so that it costs what others cost. What the check says is not looked at.
   */
  decoy?(user: string): Promise<Account | undefined>
  /**
   * 32 random bytes that outlive a restart and are the same at every node: what decoy SCRAM verifiers are derived from
   * (`decoyScramVerifier`). Never shown. Absent where no account has a SCRAM verifier.
   */
  decoySecret?(): Promise<Uint8Array>
  list(): Promise<readonly Account[]>
  /** Roles and grants; absent where the store cannot hold any. */
  readonly administration?: Administration
  /** @throws {AccountError} `accounts.exists` when the name is taken, `accounts.read_only` */
  add(account: Account): Promise<void>
  /** Takes effect for the next login, whatever is cached, and ends what the former password proved (`Account.credential`). @throws {AccountError} `accounts.not_found`, `accounts.read_only` */
  setVerifier(user: string, verifiers: Verifiers): Promise<void>
  /**
   * Replaces the verifiers of `account` if they are still the ones that it has: a password that was changed meanwhile stays. Absent where
   * the store cannot be written.
   */
  upgrade?(account: Account, verifiers: Verifiers): Promise<boolean>
  close(): Promise<void>
}

/** A store that Bawn may write: what the command line needs besides what doors see. */
export interface WritableAccountStore extends AccountStore {
  find(user: string): Promise<StoredAccount | undefined>
  decoy(user: string): Promise<StoredAccount | undefined>
  list(): Promise<readonly StoredAccount[]>
  /** The verifiers of a new password, as this store keeps them. @throws {AccountError} `accounts.invalid` for one that it cannot keep */
  derive(password: string): Promise<Verifiers>
  /** Any names of roles: those that a configuration knows need not be made here. @throws {AccountError} `accounts.not_found`, `accounts.invalid` */
  setRoles(user: string, roles: readonly string[]): Promise<void>
  /** A locked account keeps its password and its roles and cannot log in. @throws {AccountError} `accounts.not_found` */
  setLocked(user: string, locked: boolean): Promise<void>
  /** With everything that was granted to it. @throws {AccountError} `accounts.not_found` */
  remove(user: string): Promise<void>
}

/** Can accounts be changed by us there? */
export function isWritable(store: AccountStore): store is WritableAccountStore {
  return ['derive', 'decoy', 'setRoles', 'setLocked', 'remove'].every(method => method in store)
}

/** What decoys are derived from: the secret of the first store that keeps one, else one of this process. Rejects as the store does. */
export function decoySecretOf(stores: readonly AccountStore[]): () => Promise<Uint8Array> {
  const keeper = stores.find(store => store.decoySecret !== undefined)
  const own = processSecret('decoys of accounts')
  return async () => keeper?.decoySecret?.() ?? own
}

/** The account that a name means: of stores in order, the first that knows it decides. */
export async function findAccount(
  stores: readonly AccountStore[],
  user: string,
): Promise<{ readonly account: Account /** Name of the store. */; readonly source: string } | undefined> {
  for (const store of stores) {
    const account = await store.find(user)
    if (account !== undefined) return { account, source: store.name }
  }
  return undefined
}
