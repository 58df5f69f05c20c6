import type { AccountStore } from '../accounts/store.ts'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import type { NonceMemory } from '../authn/nonce-memory.ts'
import type { PasswordJudge } from '../authn/password-judge.ts'
import type { TokenCheck } from '../authn/token-check.ts'
import type {
  AccountStoreKind,
  Mechanism,
  MechanismKind,
  MechanismSurroundings,
  TokenCheckKind,
  TokenManagerKind,
} from '../plugin.ts'
import type { TokenManager } from '../tokens/token-manager.ts'

// Kinds whose products may be used as they are. Those of the box are such by their type; a stranger's are made such at the border, by
// the other files of this folder.

export type TrustedAccountStoreKind<Options = unknown> = AccountStoreKind<Options, AccountStore>

export type TrustedTokenManagerKind<Options = unknown> = TokenManagerKind<Options, TokenManager>

export interface TrustedMechanism extends Mechanism {
  readonly http?: HttpMechanism | undefined
  readonly postgres?: PasswordJudge | undefined
}

export interface TrustedMechanismSurroundings extends MechanismSurroundings {
  /** In order: the first that knows a name decides. */
  readonly stores: readonly AccountStore[]
  readonly nonces: NonceMemory
}

export interface TrustedMechanismKind<Options = unknown> extends MechanismKind<Options, TrustedMechanism> {
  create(options: Options, surroundings: TrustedMechanismSurroundings): TrustedMechanism | Promise<TrustedMechanism>
}

export interface TrustedTokenCheckKind<Options = unknown> extends TokenCheckKind<Options> {
  create(
    options: Options,
    surroundings: Parameters<TokenCheckKind['create']>[1],
  ): Omit<TokenCheck, 'name'> | Promise<Omit<TokenCheck, 'name'>>
}
