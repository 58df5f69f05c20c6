import { headerOf, type RequestHead } from './request-head.ts'
import type { RouteMatch } from './routes.ts'
import type { Turn } from './turn.ts'

/**
 * Answers what a browser asks before a request of a page of another origin (Fetch standard, section 4.8): nobody is identified, for it sends
 * no credential, and nothing is asked of the upstream.
 *
 * @returns whether it was one, for a route that says what such pages may
 */
export function answerPreflight(turn: Turn, head: RequestHead, match: RouteMatch): boolean {
  const origin = headerOf(head, 'origin')
  const method = headerOf(head, 'access-control-request-method')
  if (origin === undefined || method === undefined) return false
  const route = match.methods.get(method)
  if (route?.cors === undefined) return false
  turn.resource = route.pattern.text
  turn.rule = 'cors'
  turn.record('permit', 204)
  if (!turn.claimAnswer()) return true
  const permitted = route.cors.preflight(origin, method, headerOf(head, 'access-control-request-headers'))
  turn.answer.send(204, [...turn.headers, ...permitted, 'X-Request-Id', turn.requestId], undefined)
  return true
}
