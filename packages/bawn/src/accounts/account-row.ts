import { randomBytes } from 'node:crypto'
import { argon2idDefaults } from './argon2id.ts'
import { CredentialVersion } from './credential-version.ts'
import { decoyHa1 } from './digest-verifier.ts'
import { effectiveRoles, type RoleHierarchy } from './role-hierarchy.ts'
import { defaultScramIterations, formatScramVerifier, parseScramVerifier } from './scram-verifier.ts'
import { AccountError, isAccountName, isRoleName, type ScramVerifier, type StoredAccount } from './store.ts'
import {
  formatVerifier,
  type PasswordVerifier,
  parseVerifier,
  type StoredVerifier,
  type Verifiers,
} from './verifier.ts'

// Between accounts and the columns of a table: the rules that every store with tables has, whatever its database.

/** Verifiers as text, `null` where there is none. @throws {AccountError} `accounts.invalid` for a password in clear */
export function verifierColumns({
  scram,
  password,
  digest,
}: Partial<Verifiers>): [scram: string | null, password: string | null, digest: string | null] {
  if (password?.kind === 'plain') throw new AccountError('accounts.invalid', 'a password in clear is not stored')
  return [
    scram === undefined ? null : formatScramVerifier(scram),
    password === undefined ? null : formatVerifier(password),
    digest ?? null,
  ]
}

/** A version of a credential (`credential-version.ts`): never the same twice, also for whoever gets a name after it was removed. */
export function newCredential(): string {
  return randomBytes(12).toString('hex')
}

/** Each role once, sorted. @throws {AccountError} `accounts.invalid` */
export function roleColumn(roles: readonly string[]): readonly string[] {
  for (const role of roles) {
    if (!isRoleName(role))
      throw new AccountError('accounts.invalid', `${JSON.stringify(role.slice(0, 128))} is not a role name`)
  }
  return [...new Set(roles)].sort()
}

/** @throws {AccountError} `accounts.invalid` */
export function requireAccountName(name: string): void {
  if (!isAccountName(name)) throw new AccountError('accounts.invalid', 'the account name cannot be used')
}

/** Opened by no password: nothing hashes to zeros. */
const nobody: { readonly scram: ScramVerifier; readonly password: StoredVerifier } = {
  scram: {
    iterations: defaultScramIterations,
    salt: Buffer.alloc(16),
    storedKey: Buffer.alloc(32),
    serverKey: Buffer.alloc(32),
  },
  password: { kind: 'argon2id', ...argon2idDefaults, salt: Buffer.alloc(16), tag: Buffer.alloc(32) },
}

/**
 * What a look-up finds where it finds nothing, and reads to its end as any other row: otherwise the time of a failed login tells which
 * names are known. The texts hold no quote.
 */
export const nobodyColumns = {
  name: 'nobody',
  scram: formatScramVerifier(nobody.scram),
  password: formatVerifier(nobody.password),
  digest: `SHA-256 ${decoyHa1['SHA-256']} bawn`,
  role: 'none',
} as const

/** The columns of one account as a database gives them. */
export interface AccountColumns {
  readonly name: unknown
  /** `null`: none. */
  readonly scram: unknown
  /** `null`: none. */
  readonly password: unknown
  /** `null`: none. */
  readonly digest: unknown
  readonly credential: unknown
  readonly roles: unknown
  readonly locked: unknown
  /** Ms since 1970; anything else: not known. */
  readonly created: unknown
  /** Ms since 1970; anything else: not known. */
  readonly passwordChanged: unknown
}

/**
 * Reads a row.
 *
 * @param hierarchy roles of roles, as they were when the row was read
 * @throws {AccountError} `accounts.unavailable` for one that cannot be read: that is a store that failed, not an account that is missing,
 *   and the login must not fall through to another store
 */
export function parseAccountColumns(store: string, columns: AccountColumns, hierarchy: RoleHierarchy): StoredAccount {
  const { name, roles, locked, created, passwordChanged, digest, credential } = columns
  const scram = parseText(columns.scram, parseScramVerifier, nobodyColumns.scram)
  const password = parseText<PasswordVerifier>(columns.password, parseVerifier, nobodyColumns.password)
  if (
    typeof name !== 'string' ||
    typeof locked !== 'boolean' ||
    !isStringList(roles) ||
    scram === 'damaged' ||
    password === 'damaged'
  ) {
    throw damagedRow(store)
  }
  return {
    name,
    roles: effectiveRoles(roles, hierarchy),
    granted: roles,
    scram,
    password,
    digest: typeof digest === 'string' ? digest : undefined,
    credential: new CredentialVersion(typeof credential === 'string' ? credential : ''),
    locked,
    createdAt: typeof created === 'number' ? created : undefined,
    passwordChangedAt: typeof passwordChanged === 'number' ? passwordChanged : undefined,
  }
}

export function damagedRow(store: string): AccountError {
  return new AccountError('accounts.unavailable', `account store ${store} holds a damaged row`)
}

/** @param instead read where there is nothing, and forgotten: who has no password must not be found faster than others */
function parseText<Value>(
  column: unknown,
  parse: (text: string) => Value | undefined,
  instead: string,
): Value | 'damaged' | undefined {
  const value = typeof column === 'string' || column === null ? parse(column ?? instead) : undefined
  return column === null ? undefined : (value ?? 'damaged')
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
