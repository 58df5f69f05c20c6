import type { TokenManager } from '../../tokens/token-manager.ts'
import type { HttpMechanism } from '../http-mechanism.ts'
import { judgeCookie, type PresentedTokenJudge, readPresentedToken } from '../token.ts'

export interface SessionOptions {
  /** Whole name of the cookie with the token. */
  readonly cookie: string
  /** What names of the cookies of logins under way begin with. */
  readonly flowPrefix: string
  /** Of the cookie with the hint for logging out. */
  readonly hintCookie: string
  /** What browsers call this gateway, in lower case. */
  readonly origin: string
  /** The issuer's name in the configuration: sessions of its people count here, whatever else the token manager has issued. */
  readonly issuer: string
}

/**
 * The session of somebody who logged in by a browser: a token of our own, in its cookie. That there is none is no reason to refuse; where
 * the door may send the browser to log in, it does.
 */
export function createSessionMechanism(
  tokens: Pick<TokenManager, 'recognizes'>,
  judge: PresentedTokenJudge,
  { cookie, flowPrefix, hintCookie, origin, issuer }: SessionOptions,
): HttpMechanism {
  return {
    name: 'oidc',
    carries: { headers: [], query: [], cookies: [cookie, hintCookie], cookiePrefixes: [flowPrefix] },
    async authenticate(credentials) {
      const presented = readPresentedToken(credentials, tokens, cookie)
      if (presented?.as !== 'cookie') return { kind: 'absent' }
      const outcome = await judgeCookie(presented, credentials, judge, origin)
      return outcome.kind === 'identified' && outcome.identity.source !== issuer ? { kind: 'absent' } : outcome
    },
    // Nothing that a program could answer: people are sent to log in, by Location.
    challenge: () => undefined,
  }
}
