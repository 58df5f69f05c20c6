import type { PluggedMechanism } from '../authn/option.ts'

// What plug-ins add to the file. Their code is nobody's business here: only names, and a function that judges what is written there.

/** Something wrong with the options of a plug-in's kind, in the plug-in's words. */
export interface OptionProblem {
  /** From the top of the options. */
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** What is wrong with what is written; empty when nothing is. Does not throw. */
export type CheckOptions = (written: WrittenOptions) => readonly OptionProblem[]

/** As in the file, without the key that names the kind. */
export type WrittenOptions = Readonly<Record<string, unknown>>

export interface PluggedMechanismKind {
  readonly doors: readonly ('http' | 'postgres')[]
  readonly check: CheckOptions
}

/** Names that plug-ins have brought, by where they may stand. */
export interface PluginKinds {
  readonly accounts: ReadonlyMap<string, CheckOptions>
  readonly tokens: ReadonlyMap<string, CheckOptions>
  readonly mechanisms: ReadonlyMap<PluggedMechanism, PluggedMechanismKind>
  /** Of `issuers.<name>.checks`. */
  readonly checks: ReadonlyMap<string, CheckOptions>
}

export const noPluginKinds: PluginKinds = {
  accounts: new Map(),
  tokens: new Map(),
  mechanisms: new Map(),
  checks: new Map(),
}

/** An entry that a plug-in judges and reads: what is written there, as it is. `kind: plugin` cannot be written in a file. */
export interface PluginEntry {
  readonly kind: 'plugin'
  /** The kind as the file names it. */
  readonly name: string
  readonly written: WrittenOptions
}

export function isPluginEntry(value: unknown): value is PluginEntry {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'plugin' && 'written' in value
}

/** The mechanisms of plug-ins that a configuration has. */
export function pluggedMechanisms(mechanisms: object): readonly PluginEntry[] {
  return Object.values(mechanisms).filter(isPluginEntry)
}
