import { createHash, hash, randomBytes } from 'node:crypto'
import type { CookieSeal } from './cookie-seal.ts'
import { parseReturnTo, type ReturnTo } from './return-to.ts'

/** What one login needs between the two visits of the browser. */
export interface Flow {
  /** Of the ID token (OpenID Connect Core section 3.1.2.1). */
  readonly nonce: string
  /** RFC 7636 section 4.1 */
  readonly verifier: string
  readonly returnTo: ReturnTo
}

/** A login that begins: what the provider is told, and what the browser keeps. */
export interface BegunFlow {
  readonly state: string
  readonly nonce: string
  /** RFC 7636 section 4.2, S256 */
  readonly challenge: string
  readonly cookie: { readonly name: string; readonly value: string }
}

/** Logins under way. Nothing of them is kept here: each is a cookie of its own, so tabs do not disturb each other and any node can go on. */
export interface Flows {
  begin(returnTo: ReturnTo): BegunFlow
  /** The name of the cookie of a flow; `undefined` when the text is no state of ours. */
  cookieName(state: string): string | undefined
  /** @returns `undefined` when the cookie is not the one that was made for this state, or has expired */
  resume(state: string, cookie: string): Flow | undefined
}

/** Until a person has to have logged in. */
export const flowMs = 900_000

const stateForm = /^[A-Za-z0-9_-]{43}$/
const random = (): string => randomBytes(32).toString('base64url')

/**
 * @param prefix of cookie names
 * @param client what the seal binds a flow to besides its state: issuer, client id and redirect URI
 * @param clock ms since 1970
 */
export function createFlows(
  seal: CookieSeal,
  options: { readonly prefix: string; readonly client: readonly string[]; readonly base: URL },
  clock: () => number,
): Flows {
  const contextOf = (state: string): string => JSON.stringify(['flow', ...options.client, state])
  // The state itself is in addresses, which logs keep: the name of the cookie does not repeat it.
  const nameOf = (state: string): string => `${options.prefix}${hash('sha256', state, 'base64url').slice(0, 12)}`
  return {
    begin(returnTo) {
      const [state, nonce, verifier] = [random(), random(), random()]
      const text = JSON.stringify([clock() + flowMs, nonce, verifier, returnTo])
      return {
        state,
        nonce,
        challenge: createHash('sha256').update(verifier).digest('base64url'),
        cookie: { name: nameOf(state), value: seal.seal(text, contextOf(state)) },
      }
    },
    cookieName: state => (stateForm.test(state) ? nameOf(state) : undefined),
    resume(state, cookie) {
      const text = stateForm.test(state) ? seal.open(cookie, contextOf(state)) : undefined
      if (text === undefined) return undefined
      const [end, nonce, verifier, path]: readonly unknown[] = JSON.parse(text)
      if (typeof end !== 'number' || typeof nonce !== 'string' || typeof verifier !== 'string') return undefined
      const returnTo = typeof path === 'string' ? parseReturnTo(path, options.base) : undefined
      return returnTo === undefined || clock() >= end ? undefined : { nonce, verifier, returnTo }
    },
  }
}
