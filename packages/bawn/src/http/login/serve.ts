import type { AdmittedToLogin } from '../admit.ts'
import type { Turn } from '../turn.ts'
import { answerLogin } from './begin.ts'
import { answerCallback } from './callback.ts'
import { answerBackchannel, answerLoggedOut, answerLogout, answerLogoutPage } from './logout.ts'

/** Answers a request for a page of logging in and out. */
export async function serveLogin(turn: Turn, { path, target, credentials }: AdmittedToLogin): Promise<void> {
  const { login: door, tokens, mechanisms } = turn.state
  // Whatever token the cookie has: what is taken away has ended.
  const [session] = mechanisms.of(['token'])
  const cookie = tokens?.cookie
  if (door === undefined || tokens === undefined || cookie === undefined || session === undefined) {
    throw new TypeError('a login without tokens and their cookie')
  }
  switch (target.kind) {
    case 'login':
      return answerLogin(turn, door, credentials)
    case 'callback':
      return answerCallback(turn, door, { ...tokens, cookie }, credentials, path.query)
    case 'logout':
      if (turn.request.method !== 'POST') return answerLogoutPage(turn, door)
      return answerLogout(turn, door, { ...tokens, cookie }, credentials, session)
    case 'logged-out':
      return answerLoggedOut(turn, door)
    case 'backchannel':
      return answerBackchannel(turn, door, tokens, credentials)
  }
}
