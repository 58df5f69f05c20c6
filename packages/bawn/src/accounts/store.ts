import { GatewayError } from '../error.ts'
import { name } from '../option.ts'

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
  readonly roles: readonly string[]
  readonly scram: ScramVerifier | undefined
  readonly locked: boolean
}

export class AccountError extends GatewayError<
  'accounts.not_found' | 'accounts.exists' | 'accounts.invalid' | 'accounts.unavailable' | 'accounts.newer_schema'
> {}

/** 1 to 128 characters, none of them a control, format or line-breaking one: what logs and other people can read without doubt. */
export function isAccountName(text: string): boolean {
  return text.length >= 1 && text.length <= 128 && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)
}

/** Roles are names of ours (`option.ts`): what is not can be in no rule, and is nobody's role. */
export function isRoleName(text: string): boolean {
  return name.safeParse(text).success
}

/**
 * Where users live. One file per kind implements it. Methods reject only when the store itself fails ("cannot decide"); an
 * unknown name is `undefined`.
 */
export interface AccountStore {
  readonly name: string
  find(user: string): Promise<Account | undefined>
  list(): Promise<readonly Account[]>
  /** @throws {AccountError} `accounts.exists` when the name is taken. */
  add(account: Account): Promise<void>
  /** Takes effect for the next login, whatever is cached. @throws {AccountError} `accounts.not_found` */
  setVerifier(user: string, scram: ScramVerifier): Promise<void>
  close(): Promise<void>
}
