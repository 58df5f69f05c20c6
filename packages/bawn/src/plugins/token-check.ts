import type { TokenCheckKind } from '../plugin.ts'
import { type Border, isObject, methodOf, narrowSurroundings, parseOptions, printable } from './border.ts'
import { exactIdentity } from './claims.ts'
import type { TrustedTokenCheckKind } from './trusted.ts'

/** A check of a plug-in behind the border: what is neither yes nor no, or comes later, is "cannot decide". */
export function guardTokenCheck(kind: TokenCheckKind, border: Border): TrustedTokenCheckKind {
  const what = `check ${kind.kind}`
  return {
    kind: kind.kind,
    options: kind.options,
    async create(written, given) {
      const surroundings = narrowSurroundings(border, what, written, given)
      const options = parseOptions(border, what, kind.options, written)
      const made = await border.ask(`creating ${what}`, () => kind.create(options, surroundings))
      const check = isObject(made) ? methodOf(made, 'check') : undefined
      if (check === undefined) throw border.fault(what, 'was created as nothing that has check')
      return {
        check(_claims, identity) {
          const exact = exactIdentity(identity)
          const answer = border.askNow(what, () => check(exact.claims, exact))
          const verdict = border.askNow(what, () => {
            if (answer === 'accept') return answer
            const reject = isObject(answer) ? answer['reject'] : undefined
            return typeof reject === 'string' ? { reject: printable(reject) } : undefined
          })
          if (verdict === undefined) throw border.fault(what, 'answered neither accept nor a reason')
          return verdict
        },
      }
    },
  }
}
