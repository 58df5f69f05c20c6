import { AuthnError } from '../../authn/error.ts'
import type { LoginEnd } from '../../authn/oidc/browser-login.ts'
import type { Flow } from '../../authn/oidc/flow.ts'
import { locationOf } from '../../authn/oidc/return-to.ts'
import { originOf } from '../../authn/taken-back.ts'
import type { RequestCredentials } from '../credentials.ts'
import { tellLogin } from '../login-line.ts'
import { carriedClaims } from '../token-claims.ts'
import { setCookie, type TokenCookie, type TokenDoor } from '../token-resource.ts'
import type { Turn } from '../turn.ts'
import { failLogin, goTo, refuseLogin, ruleOf } from './answer.ts'
import { goneCookie, hintCookie } from './cookies.ts'
import type { LoginDoor } from './login-door.ts'

/** `GET /login/callback?code=…&state=…`: the provider sends a browser back. @param query with its `?`, or empty */
export async function answerCallback(
  turn: Turn,
  door: LoginDoor,
  tokens: TokenDoor & { readonly cookie: TokenCookie },
  credentials: RequestCredentials,
  query: string,
): Promise<void> {
  const { login, failures } = door
  const parameters = new URLSearchParams(query)
  // Whoever guesses or replays ends here: it has cost the look at one cookie.
  const resumed = login.resume(parameters, name => credentials.cookie(name))
  if (resumed === undefined) return refuseLogin(turn, door, credentials, 'authn.login_expired')
  const over = ['Set-Cookie', goneCookie(resumed.cookieName)]
  const attempt = await failures.attemptNameless('login callback', credentials.address)
  if (attempt.kind === 'throttled') {
    const retry = ['Retry-After', String(Math.max(1, Math.ceil(attempt.retryAfterMs / 1000)))]
    return refuseLogin(turn, door, credentials, 'authn.throttled', {
      reason: 'throttled',
      headers: [...over, ...retry],
    })
  }
  try {
    const { end, hint } = await login.finish(parameters, resumed.state, resumed.flow)
    if (end.kind !== 'identified') return refuse(turn, door, credentials, end, over)
    attempt.succeeded()
    await welcome(turn, door, tokens, credentials, { end, hint, flow: resumed.flow, over })
  } catch (error) {
    attempt.undecided()
    failLogin(turn, door, credentials, error)
  }
}

function refuse(
  turn: Turn,
  door: LoginDoor,
  credentials: RequestCredentials,
  end: Exclude<LoginEnd, { readonly kind: 'identified' }>,
  headers: readonly string[],
): void {
  switch (end.kind) {
    case 'refused':
      refuseLogin(turn, door, credentials, 'authn.login_refused', { reason: end.reason, headers })
      break
    case 'failed':
      turn.log('a login failed', new AuthnError('authn.login_failed', end.detail))
      refuseLogin(turn, door, credentials, 'authn.login_failed', { headers })
      break
    case 'rejected':
      refuseLogin(turn, door, credentials, 'authn.login_failed', { reason: end.reason, headers })
  }
}

interface Success {
  readonly end: Extract<LoginEnd, { readonly kind: 'identified' }>
  readonly hint: string | undefined
  readonly flow: Flow
  /** Takes the cookie of the flow away; flat. */
  readonly over: readonly string[]
}

/** A session of its own for each login: whatever the browser brought before it is not made worth more (session fixation). */
async function welcome(
  turn: Turn,
  door: LoginDoor,
  { manager, claims: names, cookie }: TokenDoor & { readonly cookie: TokenCookie },
  { now }: RequestCredentials,
  { end, hint, flow, over }: Success,
): Promise<void> {
  const { login, paths, sessionMs } = door
  const { identity } = end
  const { id, roles, source, clientId } = identity
  const notAfter = now + sessionMs
  const claims = carriedClaims(identity, names)
  const issued = await manager.issue({ id, roles, source, clientId, notAfter, origin: originOf(identity), claims })
  turn.identity = identity
  turn.rule = ruleOf(door)
  tellLogin(turn, identity, { action: 'login', resource: 'oidc', rule: turn.rule })
  turn.record('permit', 302)
  // Until the session is over at the latest: the token in it may be renewed meanwhile, and says itself when it ends.
  const seconds = Math.floor(sessionMs / 1000)
  const { hintCookie: name } = login
  const kept = hint === undefined ? goneCookie(name, paths.logout) : hintCookie(name, hint, paths.logout, seconds)
  goTo(turn, 302, locationOf(flow.returnTo, login.base), [
    ...over,
    ...['Set-Cookie', setCookie(cookie, issued.token, seconds)],
    ...['Set-Cookie', kept],
  ])
}
