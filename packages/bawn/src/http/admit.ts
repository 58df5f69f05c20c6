import type { MechanismName } from '../authn/identity.ts'
import { type Authentication, authenticate, bearerChallenge, insufficientScope } from './authenticate.ts'
import { parsePath, type RequestPath } from './path.ts'
import { parseRequestHead, type RequestHead } from './request-head.ts'
import type { Route } from './routes.ts'
import type { HostRuleMatcher } from './state.ts'
import type { Turn } from './turn.ts'

/** A request that may go on. */
export interface Admitted {
  readonly head: RequestHead
  readonly path: RequestPath
  readonly route: Route
}

const jwt: MechanismName = 'jwt'

/**
 * The way in, in this order: a well-formed request, a route, a host rule, a mechanism, the route's policies. Whether a path has a route is
 * told to anybody: routes are the published interface, what they guard is not.
 *
 * @returns undefined when the request was refused; the turn has answered. A promise only where a mechanism has to wait
 */
export function admit(turn: Turn): Admitted | undefined | Promise<Admitted | undefined> {
  const { request, state } = turn
  const outcome = parseRequestHead(request.method, request.target, request.httpVersion, request.rawHeaders)
  if (outcome.kind === 'refused') {
    turn.refuse({
      code: outcome.code,
      rule: 'well-formed request',
      decision: 'error',
      malformed: true,
    })
    return undefined
  }
  const { head } = outcome
  const path = parsePath(head.target)
  if (path === undefined) {
    turn.refuse({ code: 'http.bad_path', rule: 'well-formed path', decision: 'error' })
    return undefined
  }
  const match = state.routes.match(path.segments)
  const route = match?.methods.get(request.method)
  if (match === undefined || route === undefined) {
    if (match === undefined) turn.refuse({ code: 'http.not_found', rule: 'no route', decision: 'deny' })
    else
      turn.refuse({
        code: 'http.method_not_allowed',
        rule: 'no route',
        decision: 'deny',
        headers: ['Allow', match.allow],
      })
    return undefined
  }
  turn.resource = route.pattern.text
  const admitted = { head, path, route }
  const hostRule = hostRuleOf(turn)
  if (hostRule === undefined) return undefined
  const mechanism = hostRule.use.includes(jwt) ? state.jwt : undefined
  if (route.delegated || head.authorization.length === 0) {
    return decide(turn, route, hostRule.rule, mechanism !== undefined) ? admitted : undefined
  }
  const who = authenticate(head.authorization, mechanism)
  if (who instanceof Promise) {
    return who.then(known => (settle(turn, route, hostRule.rule, known) ? admitted : undefined))
  }
  return settle(turn, route, hostRule.rule, who) ? admitted : undefined
}

type MatchedRule = Extract<ReturnType<HostRuleMatcher['match']>, { readonly kind: 'matched' }>

/** @returns undefined when there is none; the turn has answered */
function hostRuleOf(turn: Turn): MatchedRule | undefined {
  const { request, state } = turn
  const hostRule = state.hostRules.match({
    door: 'http',
    user: undefined,
    address: request.remoteAddress,
    tls: request.secure,
    database: undefined,
  })
  if (hostRule.kind === 'none') {
    turn.refuse({ code: 'http.refused_here', rule: 'no host rule', decision: 'deny' })
    return undefined
  }
  return hostRule
}

/** After a credential was judged. */
function settle(turn: Turn, route: Route, hostRule: string, who: Authentication): boolean {
  if (who.kind === 'refused') {
    if (who.cause !== undefined) turn.log('who is asking cannot be decided', who.cause)
    turn.refuse({
      code: who.code,
      rule: hostRule,
      decision: who.cause === undefined ? 'deny' : 'error',
      reason: who.reason,
      ...(who.challenge === undefined ? {} : { headers: ['WWW-Authenticate', who.challenge] }),
    })
    return false
  }
  if (who.kind === 'identified') turn.identity = who.identity
  return decide(turn, route, hostRule, true)
}

/** @param canIdentify a mechanism may be used here */
function decide(turn: Turn, route: Route, hostRule: string, canIdentify: boolean): boolean {
  const { identity } = turn
  if (identity === undefined && !route.gate.open) {
    if (!canIdentify) turn.refuse({ code: 'http.refused_here', rule: hostRule, decision: 'deny' })
    else
      turn.refuse({
        code: 'authn.required',
        rule: hostRule,
        decision: 'deny',
        headers: ['WWW-Authenticate', bearerChallenge],
      })
    return false
  }
  const decision = route.gate.decide(identity, { door: 'http', verb: turn.request.method })
  if (decision.kind === 'deny') {
    // RFC 6750 section 3.1: only a token can have too little scope; who has none is asked for one.
    if (identity === undefined) {
      turn.refuse({
        code: 'authn.required',
        rule: decision.rule,
        decision: 'deny',
        headers: ['WWW-Authenticate', bearerChallenge],
      })
    } else {
      const headers = identity.mechanism === jwt ? ['WWW-Authenticate', insufficientScope] : []
      turn.refuse({ code: 'policy.denied', rule: decision.rule, decision: 'deny', headers })
    }
    return false
  }
  turn.rule = decision.rule
  return true
}
