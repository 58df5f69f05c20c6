import { resolve } from 'node:path'
import type { AccountStore } from './accounts/store.ts'
import type { HttpMechanism } from './authn/http-mechanism.ts'
import { resolveSecret } from './config/secret.ts'
import type { AccountStoreKind, KindSurroundings, Mechanism, MechanismKind, TokenManagerKind } from './plugin.ts'
import type { TokenManager } from './tokens/token-manager.ts'

// Kinds whose products may be used as they are. Those of the box are such by their type; a stranger's are made such at the border.

export interface TrustedMechanism extends Mechanism {
  readonly http?: HttpMechanism | undefined
}

export type TrustedAccountStoreKind<Options = unknown> = AccountStoreKind<Options, AccountStore>
export type TrustedTokenManagerKind<Options = unknown> = TokenManagerKind<Options, TokenManager>
export type TrustedMechanismKind<Options = unknown> = MechanismKind<Options, TrustedMechanism>

/** Everything that a configuration may name, by the word that it is named with. */
export interface Kinds {
  readonly accountStores: ReadonlyMap<string, TrustedAccountStoreKind>
  readonly tokenManagers: ReadonlyMap<string, TrustedTokenManagerKind>
  readonly mechanisms: ReadonlyMap<string, TrustedMechanismKind>
}

/** What every kind is given. @param environment where `env:` references are looked up */
export function kindSurroundings(
  environment: NodeJS.ProcessEnv,
  { clock, log }: Pick<KindSurroundings, 'clock' | 'log'>,
): KindSurroundings {
  return {
    clock,
    log,
    fetch,
    path: text => resolve(text),
    secret: reference => resolveSecret(reference, environment).value,
  }
}
