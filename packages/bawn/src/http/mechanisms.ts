import type { HttpMechanism } from '../authn/http-mechanism.ts'
import { type Carriers, carriersOf } from './credentials.ts'

/** The mechanisms that this door can use under the running configuration. */
export interface MechanismTable {
  /** Those that a host rule names and that are there, in its order. @param use of the rule; the same list gives the same answer without a search */
  of(use: readonly string[]): readonly HttpMechanism[]
  readonly carriers: Carriers
}

export function createMechanismTable(mechanisms: readonly HttpMechanism[]): MechanismTable {
  const byName = new Map<string, HttpMechanism>(mechanisms.map(mechanism => [mechanism.name, mechanism]))
  const byRule = new WeakMap<readonly string[], readonly HttpMechanism[]>()
  return Object.freeze({
    carriers: carriersOf(mechanisms),
    of: use => {
      const known = byRule.get(use)
      if (known !== undefined) return known
      const found = use.flatMap(name => byName.get(name) ?? [])
      byRule.set(use, found)
      return found
    },
  } satisfies MechanismTable)
}
