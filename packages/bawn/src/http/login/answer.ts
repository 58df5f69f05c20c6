import { type ErrorCode, GatewayError } from '../../error.ts'
import type { RequestCredentials } from '../credentials.ts'
import { isForTheLog, type Problem, problem } from '../problem.ts'
import type { Turn } from '../turn.ts'
import type { LoginDoor } from './login-door.ts'
import { acceptsHtml } from './navigation.ts'
import { errorPage } from './page.ts'

/** Takes the browser elsewhere. @param headers flat: cookies */
export function goTo(turn: Turn, status: 302 | 303, location: string, headers: readonly string[]): void {
  // What is in the address of a callback is nobody's to see.
  const fixed = ['Cache-Control', 'no-store', 'Referrer-Policy', 'no-referrer', 'Content-Length', '0']
  give(turn, {
    status,
    headers: ['Location', location, ...fixed, 'X-Request-Id', turn.requestId, ...headers],
    body: Buffer.alloc(0),
  })
}

/** Sends an answer of ours, once; the trail has its line. */
export function give(turn: Turn, { status, headers, body }: Problem): void {
  if (turn.claimAnswer()) turn.answer.send(status, headers, turn.request.method === 'HEAD' ? undefined : body)
}

export interface LoginRefusal {
  /** For the trail, beyond the code. */
  readonly reason?: string
  /** More headers, flat. */
  readonly headers?: readonly string[]
}

/** Refuses: a page for a browser, a problem document for a program. */
export function refuseLogin(
  turn: Turn,
  door: LoginDoor,
  credentials: RequestCredentials,
  code: ErrorCode,
  { reason, headers = [] }: LoginRefusal = {},
): void {
  const document = documentOf(turn, door, credentials, code, headers)
  turn.refuse({ code, rule: ruleOf(door), decision: 'deny', reason, document })
}

/** What went wrong on our side or the provider's: nobody is let through. */
export function failLogin(turn: Turn, door: LoginDoor, credentials: RequestCredentials, error: unknown): void {
  const code = error instanceof GatewayError ? error.code : 'gateway.bug'
  if (isForTheLog(error)) turn.log('somebody could not log in or out', error)
  const document = documentOf(turn, door, credentials, code, [])
  turn.refuse({ code, rule: ruleOf(door), decision: 'error', document })
}

/** Who decides at these paths, for the trail. */
export function ruleOf({ login }: LoginDoor): string {
  return `oidc: ${login.issuer}`
}

function documentOf(
  { requestId }: Turn,
  { paths }: LoginDoor,
  credentials: RequestCredentials,
  code: ErrorCode,
  headers: readonly string[],
): Problem {
  return acceptsHtml(credentials) ? errorPage(code, requestId, paths.login, headers) : problem(code, requestId, headers)
}
