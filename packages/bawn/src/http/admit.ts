import { insufficientScope } from '../authn/bearer.ts'
import { AuthnError } from '../authn/error.ts'
import type { HttpMechanism } from '../authn/http-mechanism.ts'
import type { Identity } from '../authn/identity.ts'
import type { Standing } from '../authn/revocation/revocation-check.ts'
import {
  type Authentication,
  authenticate,
  challengesOf,
  type RefusedAuthentication,
  refused,
  undecided,
} from './authenticate.ts'
import { RequestCredentials, wantsNoChallenge } from './credentials.ts'
import { createRequestFacts } from './facts.ts'
import { answerKeySet } from './key-set.ts'
import { sendToLogin } from './login/begin.ts'
import { findLoginTarget, type LoginTarget } from './login/login-door.ts'
import { isNavigation } from './login/navigation.ts'
import { parsePath, type RequestPath } from './path.ts'
import { answerPreflight, preflightRoute } from './preflight.ts'
import { withinRate } from './rate.ts'
import { headerOf, parseRequestHead, type RequestHead } from './request-head.ts'
import type { Route } from './routes.ts'
import type { HostRuleFinding } from './state.ts'
import { findTokenTarget, type TokenTarget, tokenGate } from './token-resource.ts'
import type { Turn } from './turn.ts'

/** A request that may go on, to an upstream. */
export interface Admitted {
  readonly kind: 'route'
  readonly head: RequestHead
  readonly path: RequestPath
  readonly route: Route
}

/** A request that the gateway answers itself, of somebody who is identified. */
export interface AdmittedToTokens {
  readonly kind: 'tokens'
  readonly head: RequestHead
  readonly path: RequestPath
  readonly target: TokenTarget
}

/** A request for a page of logging in and out: of anybody, for whom the host rule has `oidc`. */
export interface AdmittedToLogin {
  readonly kind: 'login'
  readonly path: RequestPath
  readonly target: LoginTarget
  readonly credentials: RequestCredentials
}

export type AnyAdmitted = Admitted | AdmittedToTokens | AdmittedToLogin

/**
 * The way in, in this order: a well-formed request, the listener's rate, a route, its rate, a host rule, a mechanism, the route's rate where
 * that is by who asks, its policies.
 * Whether a path has a route is told to anybody: routes are the published interface, what they guard is not.
 *
 * @returns undefined when the request was refused; the turn has answered. At once, unless a mechanism has to wait for something
 */
export function admit(turn: Turn): AnyAdmitted | undefined | Promise<AnyAdmitted | undefined> {
  const { request } = turn
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
  return whenTrue(withinRate(turn, turn.rateLimit), () => findTarget(turn, head))
}

/** Takes one of the route's rate, where it is counted at this point. @param identity `false`: nobody was asked yet */
function withinRouteRate(
  turn: Turn,
  { route, head, path }: Admitted,
  identity: Identity | undefined | false,
): boolean | Promise<boolean> {
  const { rate } = route
  if (rate === undefined || rate.isByIdentity === (identity === false)) return true
  return withinRate(turn, rate.limit, rate.caller({ head, path, identity: identity || undefined }))
}

/** Goes on at once where it is known at once. */
function whenTrue<Result>(
  condition: boolean | Promise<boolean>,
  goOn: () => Result | undefined | Promise<Result | undefined>,
): Result | undefined | Promise<Result | undefined> {
  if (condition instanceof Promise) return condition.then(holds => (holds ? goOn() : undefined))
  return condition ? goOn() : undefined
}

function findTarget(turn: Turn, head: RequestHead): AnyAdmitted | undefined | Promise<AnyAdmitted | undefined> {
  const { request, state } = turn
  const path = parsePath(head.target)
  if (path === undefined) {
    turn.refuse({ code: 'http.bad_path', rule: 'well-formed path', decision: 'error' })
    return undefined
  }
  const keySet = state.keySets.size === 0 ? undefined : state.keySets.get(path.path)
  if (keySet !== undefined) {
    if (isDenied(turn, head, path, path.path)) return undefined
    answerKeySet(turn, path.path, keySet)
    return undefined
  }
  const target = state.tokens && findTokenTarget(state.tokens, path.segments)
  if (target !== undefined) {
    if (isDenied(turn, head, path, target.pattern)) return undefined
    if (!target.allow.includes(request.method)) {
      const headers = ['Allow', target.allow.join(', ')]
      turn.refuse({ code: 'http.method_not_allowed', rule: 'no route', decision: 'deny', headers })
      return undefined
    }
    turn.resource = target.pattern
    return identify(turn, { kind: 'tokens', head, path, target })
  }
  const page = state.login && findLoginTarget(state.login.paths, path.segments)
  if (page !== undefined) return admitToLogin(turn, head, path, page)
  const match = state.routes.match(path.segments, head.host)
  const route = match?.methods.get(request.method)
  if (match !== undefined && request.method === 'OPTIONS') {
    const asked = preflightRoute(head, match)
    if (asked !== undefined) {
      if (!isDenied(turn, head, path, asked.pattern.text)) answerPreflight(turn, head, asked)
      return undefined
    }
  }
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
  turn.route = route
  if (route.cors !== undefined) turn.headers.push(...route.cors.answer(headerOf(head, 'origin')))
  const admitted = { kind: 'route', head, path, route } as const
  return whenTrue(withinRouteRate(turn, admitted, false), () => identify(turn, admitted))
}

/**
 * Whether the list denies what the gateway answers itself, which is not behind a route's gate. Then it is refused.
 *
 * @param resource for the trail
 */
function isDenied(turn: Turn, head: RequestHead, path: RequestPath, resource: string): boolean {
  turn.resource = resource
  const denied = turn.state.acl?.deniedBefore(createRequestFacts(turn.request, head, path))
  if (denied === undefined) return false
  turn.refuse({ code: 'policy.denied', rule: denied.rule, decision: 'deny' })
  return true
}

function admitToLogin(turn: Turn, head: RequestHead, path: RequestPath, target: LoginTarget): Entry {
  const { request, state } = turn
  if (isDenied(turn, head, path, target.pattern)) return undefined
  if (!target.allow.includes(request.method)) {
    const headers = ['Allow', target.allow.join(', ')]
    turn.refuse({ code: 'http.method_not_allowed', rule: 'no route', decision: 'deny', headers })
    return undefined
  }
  return underHostRule(turn, target.pattern, ({ rule, use }) => {
    if (!use.includes('oidc')) {
      turn.refuse({ code: 'http.refused_here', rule, decision: 'deny' })
      return undefined
    }
    return { kind: 'login', path, target, credentials: new RequestCredentials(request, head, path.query, state.now()) }
  })
}

type HostRule = Extract<HostRuleFinding, { readonly kind: 'matched' }>
type Entry = AnyAdmitted | undefined | Promise<AnyAdmitted | undefined>

/**
 * Goes on under the host rule that holds, with a certificate that is good where there is one.
 *
 * @param route path of the route, as host rules name it
 */
function underHostRule(turn: Turn, route: string, goOn: (hostRule: HostRule) => Entry): Entry {
  const { request, state } = turn
  const found = state.hostRules.match({
    door: 'http',
    user: undefined,
    address: request.remoteAddress,
    tls: request.secure,
    database: undefined,
    route,
  })
  const settleRule = (finding: HostRuleFinding): Entry => {
    switch (finding.kind) {
      case 'matched':
        return withGoodCertificate(turn, finding, goOn)
      case 'none':
        turn.refuse({ code: 'http.refused_here', rule: 'no host rule', decision: 'deny' })
        return undefined
      case 'undecided':
        turn.log('who may ask from here cannot be decided', new AuthnError('authn.host_undecided', finding.why))
        turn.refuse({ code: 'authn.host_undecided', rule: finding.rule, decision: 'error' })
        return undefined
    }
  }
  return found instanceof Promise ? found.then(settleRule) : settleRule(found)
}

function withGoodCertificate(turn: Turn, hostRule: HostRule, goOn: (hostRule: HostRule) => Entry): Entry {
  const settleStanding = (wrong: RefusedAuthentication | undefined): Entry =>
    wrong === undefined ? goOn(hostRule) : refuse({ turn, rule: hostRule.rule }, wrong)
  const standing = standingOf(turn)
  if (!(standing instanceof Promise)) return settleStanding(standing)
  return standing.then(settleStanding, cause => settleStanding(undecided({ name: 'certificate' }, cause)))
}

/** What is decided by who is asking. */
type AdmittedByIdentity = Exclude<AnyAdmitted, AdmittedToLogin>

function identify(turn: Turn, admitted: AdmittedByIdentity): Entry {
  const { request, state } = turn
  const path = admitted.kind === 'route' ? admitted.route.pattern.text : admitted.target.pattern
  return underHostRule(turn, path, ({ rule, use }) => {
    const mechanisms = state.mechanisms.of(use)
    const credentials = new RequestCredentials(request, admitted.head, admitted.path.query, state.now())
    const asking: Asking = { turn, admitted, rule, mechanisms, credentials }
    if (admitted.kind === 'route' && admitted.route.delegated) return decideWithinRate(asking, undefined, false)
    const who = authenticate(credentials, mechanisms, state.mechanisms.carriers)
    return who instanceof Promise ? who.then(late => settle(asking, late)) : settle(asking, who)
  })
}

/** What is wrong with the connection's certificate; `undefined` when there is none, or it is good. Rejects when that cannot be told. */
function standingOf({
  revocation,
  request,
}: Turn): RefusedAuthentication | undefined | Promise<RefusedAuthentication | undefined> {
  const certificate = revocation && request.clientCertificate?.()
  if (revocation === undefined || certificate === undefined) return undefined
  const standing = revocation.check(certificate)
  return standing instanceof Promise ? standing.then(whatIsWrong) : whatIsWrong(standing)
}

/** Whoever shows such a certificate gets in by no other way either: its key is in the wrong hands. */
function whatIsWrong({ kind }: Standing): RefusedAuthentication | undefined {
  switch (kind) {
    case 'good':
      return undefined
    case 'revoked':
      return refused('authn.failed', 'certificate', 'revoked')
    case 'unknown':
      return refused('authn.failed', 'certificate', 'certificate-unknown')
  }
}

/** A request whose host rule is known. */
interface Asking {
  readonly turn: Turn
  readonly admitted: AdmittedByIdentity
  readonly rule: string
  readonly mechanisms: readonly HttpMechanism[]
  readonly credentials: RequestCredentials
}

function settle(asking: Asking, who: Authentication): Entry {
  if (who.kind === 'refused') return refuse(asking, who)
  if (who.kind === 'identified') {
    const { admitted } = asking
    if (admitted.kind === 'route' && !admitted.route.takes(who.identity)) {
      return refuse(asking, refused('authn.failed', who.identity.mechanism, 'other-issuer'))
    }
    if (who.headers !== undefined) asking.turn.headers.push(...who.headers)
    return decideWithinRate(asking, who.identity, false)
  }
  return decideWithinRate(asking, undefined, who.foreignPage)
}

/** Whoever is refused by a policy is counted as well. */
function decideWithinRate(asking: Asking, identity: Identity | undefined, foreignPage: boolean): Entry {
  const { turn, admitted } = asking
  turn.identity = identity
  const within = admitted.kind !== 'route' || withinRouteRate(turn, admitted, identity)
  return whenTrue(within, () => decide(asking, identity, foreignPage))
}

function refuse({ turn, rule }: Pick<Asking, 'turn' | 'rule'>, who: RefusedAuthentication): undefined {
  if (who.cause !== undefined) turn.log('who is asking cannot be decided', who.cause)
  turn.claimedName = who.claimedName
  turn.refuse({
    code: who.code,
    rule: who.mechanism === undefined ? rule : `${rule}, ${who.mechanism}`,
    decision: who.cause === undefined ? 'deny' : 'error',
    reason: who.reason,
    headers: who.headers,
  })
}

/** @param foreignPage a page of another origin made the browser send a cookie, which identified nobody */
function decide(
  asking: Asking,
  identity: Identity | undefined,
  foreignPage: boolean,
): AnyAdmitted | undefined | Promise<undefined> {
  const { turn, admitted, rule, mechanisms, credentials } = asking
  const gate = admitted.kind === 'route' ? admitted.route.gate : tokenGate
  turn.identity = identity
  if (identity === undefined && !gate.open && mechanisms.length === 0) {
    turn.refuse({ code: 'http.refused_here', rule, decision: 'deny' })
    return undefined
  }
  const required = (by: string): undefined | Promise<undefined> => {
    if (foreignPage) {
      turn.refuse({ code: 'authn.foreign_page', rule: by, decision: 'deny' })
      return undefined
    }
    const { login } = turn.state
    const isForPeople = login !== undefined && mechanisms.some(({ name }) => name === 'oidc')
    if (isForPeople && !wantsNoChallenge(credentials) && isNavigation(credentials)) {
      return sendToLogin(turn, login, credentials, admitted.head.target, by).then(() => undefined)
    }
    const headers = challengesOf(credentials, mechanisms, undefined)
    turn.refuse({ code: 'authn.required', rule: by, decision: 'deny', headers })
    return undefined
  }
  if (identity === undefined && !gate.open) return required(rule)
  const facts = createRequestFacts(turn.request, admitted.head, admitted.path)
  const decision = gate.decide(identity, { door: 'http', verb: turn.request.method, request: facts })
  if (decision.kind === 'permit') {
    turn.rule = decision.rule
    const hints = admitted.kind === 'route' ? admitted.route.hints : undefined
    const hinted = hints?.decide(identity, { door: 'http', verb: turn.request.method, request: facts })
    if (hinted?.kind !== 'refused') {
      turn.hint = hinted?.hint
      return admitted
    }
    if (identity === undefined && hinted.code === 'policy.denied') return required(hinted.rule)
    const headers =
      identity !== undefined && isByToken(identity) ? ['WWW-Authenticate', insufficientScope(undefined)] : []
    turn.refuse({ code: hinted.code, rule: hinted.rule, decision: 'deny', headers })
    return undefined
  }
  const by = decision.reason ?? decision.rule
  // RFC 6750 section 3.1: only a token can have too little scope; who has none is asked for one.
  if (identity === undefined) return required(by)
  const headers = isByToken(identity) ? ['WWW-Authenticate', insufficientScope(decision.scope)] : []
  turn.refuse({ code: 'policy.denied', rule: by, decision: 'deny', headers })
  return undefined
}

/** Whether a token of an issuer's proved it: a bearer token, which may permit more another time. */
const isByToken = ({ mechanism }: Identity): boolean => mechanism === 'jwt' || mechanism === 'introspection'
