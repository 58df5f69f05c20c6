import { home, parseReturnTo, type ReturnTo } from '../../authn/oidc/return-to.ts'
import type { RequestCredentials } from '../credentials.ts'
import type { Turn } from '../turn.ts'
import { failLogin, goTo, refuseLogin, ruleOf } from './answer.ts'
import { flowCookie, makeRoom } from './cookies.ts'
import type { LoginDoor } from './login-door.ts'

/** `GET /login?return_to=/orders`: a login that somebody asked for. */
export async function answerLogin(turn: Turn, door: LoginDoor, credentials: RequestCredentials): Promise<void> {
  const [stated, second] = credentials.queryAll('return_to')
  const returnTo = stated === undefined ? home : parseReturnTo(stated, door.login.base)
  if (returnTo === undefined || second !== undefined) {
    return refuseLogin(turn, door, credentials, 'authn.bad_return_to')
  }
  turn.rule = ruleOf(door)
  await begin(turn, door, credentials, returnTo, () => turn.record('permit', 302))
}

/**
 * Sends a browser to log in that came without a session, and back to where it wanted to go.
 *
 * @param target path and query of the request; one that is too long is forgotten
 * @param rule which lets nobody else in
 */
export async function sendToLogin(
  turn: Turn,
  door: LoginDoor,
  credentials: RequestCredentials,
  target: string,
  rule: string,
): Promise<void> {
  turn.rule = rule
  const returnTo = parseReturnTo(target, door.login.base) ?? home
  await begin(turn, door, credentials, returnTo, () => turn.record('deny', 302, 'authn.required'))
}

async function begin(
  turn: Turn,
  door: LoginDoor,
  credentials: RequestCredentials,
  returnTo: ReturnTo,
  record: () => void,
): Promise<void> {
  const { login, starts } = door
  const attempt = await starts.attemptNameless('login', credentials.address)
  if (attempt.kind === 'throttled') {
    const headers = ['Retry-After', String(Math.max(1, Math.ceil(attempt.retryAfterMs / 1000)))]
    return refuseLogin(turn, door, credentials, 'authn.throttled', { reason: 'throttled', headers })
  }
  try {
    const { location, cookie } = await login.begin(returnTo)
    record()
    const kept = ['Set-Cookie', flowCookie(cookie.name, cookie.value)]
    goTo(turn, 302, location, [...makeRoom(credentials, login), ...kept])
  } catch (error) {
    failLogin(turn, door, credentials, error)
  }
}
