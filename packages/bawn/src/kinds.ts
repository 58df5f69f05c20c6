import { resolve } from 'node:path'
import { type PluggedMechanism, pluggedMechanism } from './authn/option.ts'
import { builtinKinds } from './builtin.ts'
import { type CheckOptions, noPluginKinds, type PluggedMechanismKind, type PluginKinds } from './config/kinds.ts'
import { resolveSecret } from './config/secret.ts'
import type { KindSurroundings, OptionsSchema } from './plugin.ts'
import { guardAccountStore } from './plugins/account-store.ts'
import { createBorder } from './plugins/border.ts'
import { PluginError } from './plugins/error.ts'
import type { LoadedPlugin } from './plugins/load.ts'
import { guardMechanism } from './plugins/mechanism.ts'
import { guardTokenCheck } from './plugins/token-check.ts'
import { guardTokenManager } from './plugins/token-manager.ts'
import type {
  TrustedAccountStoreKind,
  TrustedMechanismKind,
  TrustedTokenCheckKind,
  TrustedTokenManagerKind,
} from './plugins/trusted.ts'
import { checkOptions } from './plugins/written-options.ts'

/** Everything that a configuration may name, by the word that it is named with: what is in the box, and what plug-ins have brought. */
export interface Kinds {
  readonly accountStores: ReadonlyMap<string, TrustedAccountStoreKind>
  readonly tokenManagers: ReadonlyMap<string, TrustedTokenManagerKind>
  readonly mechanisms: ReadonlyMap<string, TrustedMechanismKind>
  readonly tokenChecks: ReadonlyMap<string, TrustedTokenCheckKind>
  /** The part of plug-ins, for whoever reads the configuration. */
  readonly plugged: PluginKinds
}

/** What a configuration without plug-ins may name. */
export const plainKinds: Kinds = { ...builtinKinds, plugged: noPluginKinds }

/**
 * What a configuration with these plug-ins may name; theirs behind the border.
 *
 * @throws {PluginError} `plugins.duplicate_kind`
 */
export function kindsWith(plugins: readonly LoadedPlugin[]): Kinds {
  if (plugins.length === 0) return plainKinds
  const kinds = {
    accountStores: new Map(builtinKinds.accountStores),
    tokenManagers: new Map(builtinKinds.tokenManagers),
    mechanisms: new Map(builtinKinds.mechanisms),
    tokenChecks: new Map(builtinKinds.tokenChecks),
  }
  const plugged = {
    accounts: new Map<string, CheckOptions>(),
    tokens: new Map<string, CheckOptions>(),
    mechanisms: new Map<PluggedMechanism, PluggedMechanismKind>(),
    checks: new Map<string, CheckOptions>(),
  }
  for (const loaded of plugins) {
    const border = createBorder(loaded)
    const { accountStores = [], tokenManagers = [], mechanisms = [], tokenChecks = [] } = loaded.plugin
    const taken = (what: string, kind: string): PluginError =>
      new PluginError(
        'plugins.duplicate_kind',
        `plug-in ${loaded.name} has a ${what} "${kind}", and there is one already`,
      )
    const claim = (what: string, { kind }: { readonly kind: string }, known: ReadonlyMap<string, unknown>): void => {
      // What the configuration itself calls an entry of a plug-in.
      if (known.has(kind) || kind === 'plugin') throw taken(what, kind)
    }
    for (const kind of accountStores) {
      claim('kind of account store', kind, kinds.accountStores)
      kinds.accountStores.set(kind.kind, guardAccountStore(kind, border))
      plugged.accounts.set(kind.kind, checker(kind.options))
    }
    for (const kind of tokenManagers) {
      claim('kind of token manager', kind, kinds.tokenManagers)
      kinds.tokenManagers.set(kind.kind, guardTokenManager(kind, border))
      plugged.tokens.set(kind.kind, checker(kind.options))
    }
    for (const kind of mechanisms) {
      claim('mechanism', kind, kinds.mechanisms)
      const name = pluggedMechanism(kind.kind)
      if (name === undefined) throw taken('mechanism', kind.kind)
      kinds.mechanisms.set(name, guardMechanism(kind, name, border))
      plugged.mechanisms.set(name, { doors: [...kind.doors], check: checker(kind.options) })
    }
    for (const kind of tokenChecks) {
      claim('check', kind, kinds.tokenChecks)
      kinds.tokenChecks.set(kind.kind, guardTokenCheck(kind, border))
      plugged.checks.set(kind.kind, checker(kind.options))
    }
  }
  return { ...kinds, plugged }
}

function checker(schema: OptionsSchema): CheckOptions {
  return written => checkOptions(schema, written)
}

/** What every kind is given. @param environment where `env:` references are looked up */
export function kindSurroundings(
  environment: NodeJS.ProcessEnv,
  { clock, log }: Pick<KindSurroundings, 'clock' | 'log'>,
): KindSurroundings {
  const secret = (reference: string): string => resolveSecret(reference, environment).value
  return { clock, log, fetch, secret, path: text => resolve(text) }
}
