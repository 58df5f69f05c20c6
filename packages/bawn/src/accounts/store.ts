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
