import { headerOf, type RequestHead } from './request-head.ts'
import type { Route, RouteMatch } from './routes.ts'
import type { Turn } from './turn.ts'

/** The route that a preflight is about, where that says what pages of other origins may. @returns undefined for what is none */
export function preflightRoute(head: RequestHead, match: RouteMatch): Route | undefined {
  const method = headerOf(head, 'access-control-request-method')
  if (headerOf(head, 'origin') === undefined || method === undefined) return undefined
  const route = match.methods.get(method)
  return route?.cors === undefined ? undefined : route
}

/**
 * Answers what a browser asks before a request of a page of another origin (Fetch standard, section 4.8): nobody is identified, for it sends
 * no credential, and nothing is asked of the upstream.
 *
 * @param route that {@link preflightRoute} has found
 */
export function answerPreflight(turn: Turn, head: RequestHead, { cors, pattern }: Route): void {
  turn.resource = pattern.text
  turn.rule = 'cors'
  turn.record('permit', 204)
  if (!turn.claimAnswer() || cors === undefined) return
  const [origin = '', method = ''] = [headerOf(head, 'origin'), headerOf(head, 'access-control-request-method')]
  const permitted = cors.preflight(origin, method, headerOf(head, 'access-control-request-headers'))
  turn.answer.send(204, [...turn.headers, ...permitted, 'X-Request-Id', turn.requestId], undefined)
}
