import type { HttpMechanism } from '../../authn/http-mechanism.ts'
import { isFromOwnPage } from '../../authn/own-page.ts'
import { collectBody } from '../body.ts'
import type { RequestCredentials } from '../credentials.ts'
import { tellLogin } from '../login-line.ts'
import { HttpError } from '../problem.ts'
import { setCookie, type TokenCookie, type TokenDoor } from '../token-resource.ts'
import type { Turn } from '../turn.ts'
import { failLogin, give, goTo, refuseLogin, ruleOf } from './answer.ts'
import { goneCookie } from './cookies.ts'
import type { LoginDoor } from './login-door.ts'
import { page } from './page.ts'

/** `GET /logout`: a button. A link that logged people out at once would be anybody's to set. */
export function answerLogoutPage(turn: Turn, door: LoginDoor): void {
  turn.rule = ruleOf(door)
  turn.record('permit', 200)
  const button = { to: door.paths.logout, text: 'Log out' }
  give(turn, page(200, { title: 'Log out', text: 'Do you want to log out?', button }, turn.requestId))
}

/** `GET /logout/done` */
export function answerLoggedOut(turn: Turn, door: LoginDoor): void {
  turn.rule = ruleOf(door)
  turn.record('permit', 200)
  const link = { to: door.paths.login, text: 'Log in again' }
  give(turn, page(200, { title: 'Logged out', text: 'You are logged out.', link }, turn.requestId))
}

/**
 * `POST /logout`: ends every token of the person, takes the cookies away, and lets the browser end its session at the provider too. Where
 * the provider cannot be asked, the session here has ended all the same.
 *
 * @param session recognises it
 */
export async function answerLogout(
  turn: Turn,
  door: LoginDoor,
  tokens: TokenDoor & { readonly cookie: TokenCookie },
  credentials: RequestCredentials,
  session: HttpMechanism,
): Promise<void> {
  const { login, paths } = door
  if (!isFromOwnPage(credentials, ['same-origin'], login.base.origin)) {
    return refuseLogin(turn, door, credentials, 'authn.foreign_page')
  }
  turn.rule = ruleOf(door)
  try {
    const who = await session.authenticate(credentials)
    if (who.kind === 'identified') {
      turn.identity = who.identity
      await tokens.manager.revoke(who.identity.id)
      tellLogin(turn, who.identity, { action: 'logout', resource: 'oidc', rule: turn.rule })
    }
    const elsewhere = await login.logoutUrl(credentials.cookie(login.hintCookie))
    turn.record('permit', 303)
    goTo(turn, 303, elsewhere ?? door.loggedOut, [
      ...['Set-Cookie', setCookie(tokens.cookie, '', 0)],
      ...['Set-Cookie', goneCookie(login.hintCookie, paths.logout)],
    ])
  } catch (error) {
    failLogin(turn, door, credentials, error)
  }
}

const maxFormBytes = 20_480

/** `POST /logout/backchannel`: the provider ends the sessions of somebody (OpenID Connect Back-Channel Logout section 2.5). */
export async function answerBackchannel(
  turn: Turn,
  door: LoginDoor,
  tokens: TokenDoor,
  credentials: RequestCredentials,
): Promise<void> {
  const attempt = await door.failures.attemptNameless('logout', credentials.address)
  if (attempt.kind === 'throttled') {
    const headers = ['Retry-After', String(Math.max(1, Math.ceil(attempt.retryAfterMs / 1000)))]
    return refuseLogin(turn, door, credentials, 'authn.throttled', { reason: 'throttled', headers })
  }
  try {
    const tooLarge = (): HttpError => new HttpError('http.body_too_large', `a form of more than ${maxFormBytes} bytes`)
    const form = (await collectBody(turn.request.body, maxFormBytes, tooLarge)).toString('latin1')
    const [type = ''] = credentials.header('content-type')
    const isForm = /^application\/x-www-form-urlencoded(?:;|$)/i.test(type)
    const [token, second] = isForm ? new URLSearchParams(form).getAll('logout_token') : []
    if (token === undefined || second !== undefined) {
      return refuseLogin(turn, door, credentials, 'authn.bad_logout_token', { reason: 'malformed' })
    }
    const reading = await door.login.judgeLogout(token)
    if (reading.kind === 'rejected') {
      return refuseLogin(turn, door, credentials, 'authn.bad_logout_token', { reason: reading.reason })
    }
    attempt.succeeded()
    turn.rule = ruleOf(door)
    turn.claimedName = reading.subject
    await tokens.manager.revoke(reading.subject)
    turn.record('permit', 200)
    const headers = ['Cache-Control', 'no-store', 'Content-Length', '0', 'X-Request-Id', turn.requestId]
    give(turn, { status: 200, headers, body: Buffer.alloc(0) })
  } catch (error) {
    attempt.undecided()
    failLogin(turn, door, credentials, error)
  }
}
