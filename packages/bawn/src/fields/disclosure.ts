import { createMask } from '../masking/create.ts'
import type { Disclosure } from './field.ts'
import type { RevealOptions } from './option.ts'

/** Says what somebody with these roles sees. */
export type DisclosureRule = (roles: readonly string[]) => Disclosure

const rank = { plain: 2, masked: 1, withheld: 0 } as const satisfies Record<Disclosure['kind'], number>

/**
 * Compiles the `reveal` of a field. Of the listed roles that somebody has, the one that sees most decides, and of equal ones the first in the
 * configuration; `default` is for whoever has none of them, and a role that is called `default` is not listed.
 */
export function compileDisclosure(fieldName: string, reveal: Readonly<Record<string, RevealOptions>>): DisclosureRule {
  const listed = new Map<string, { readonly order: number; readonly disclosure: Disclosure }>()
  let otherwise: Disclosure = { kind: 'withheld', rule: `fields.${fieldName}.reveal.default` }
  for (const [order, [role, options]] of Object.entries(reveal).entries()) {
    const disclosure = createDisclosure(`fields.${fieldName}.reveal.${role}`, options)
    if (role === 'default') otherwise = disclosure
    else listed.set(role, { order, disclosure })
  }
  return roles => {
    let best: { readonly order: number; readonly disclosure: Disclosure } | undefined
    for (const role of roles) {
      const own = listed.get(role)
      if (own === undefined) continue
      const more = best === undefined ? 1 : rank[own.disclosure.kind] - rank[best.disclosure.kind]
      if (best === undefined || more > 0 || (more === 0 && own.order < best.order)) best = own
    }
    return best?.disclosure ?? otherwise
  }
}

function createDisclosure(rule: string, options: RevealOptions): Disclosure {
  if (options === 'plain') return Object.freeze({ kind: 'plain', rule })
  if (options === 'nothing') return Object.freeze({ kind: 'withheld', rule })
  return Object.freeze({ kind: 'masked', rule, mask: createMask(options) })
}
