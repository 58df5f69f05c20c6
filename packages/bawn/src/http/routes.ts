import type { Identity } from '../authn/identity.ts'
import type { Catalogue } from '../fields/field.ts'
import type { RateLimiter } from '../limits/rate-limit.ts'
import { type PolicyUse, parametersOf } from '../policy/facts.ts'
import type { Gate } from '../policy/policy.ts'
import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { type Acl, behindAcl } from './acl.ts'
import { type Cors, compileCors } from './cors.ts'
import type { Carriers } from './credentials.ts'
import {
  type Aggregation,
  badRoute,
  compileAggregation,
  compileDestination,
  type Destination,
  type Leading,
  signerOf,
} from './destination.ts'
import { type ErrorPages, readErrorPages } from './error-page.ts'
import { compileFieldPlans, type FieldPlan } from './field-plan.ts'
import { headerClass } from './header-class.ts'
import { hintHeaderOf } from './hint-option.ts'
import { compileHints, type Hints } from './hints.ts'
import type { RouteOptions } from './option.ts'
import { ByHost, routeHost } from './route-hosts.ts'
import { foldSegment, parsePattern, patternsOverlap, type RoutePattern } from './route-pattern.ts'
import { compileRouteRate, type RouteRate } from './route-rate.ts'
import type { AnswerSigning } from './sign-answer.ts'
import type { Upstream } from './upstream/upstream.ts'

export interface WebSocketPolicy {
  /** The same after a reload: connections are counted by it. */
  readonly name: string
  /** At a time; `undefined`: as many as the listener has. */
  readonly max: number | undefined
  readonly idleMs: number
  readonly lifetimeMs: number | undefined
  /** Of other pages that may open one, in small letters. */
  readonly origins: ReadonlySet<string>
}

/** A route, compiled. With an aggregation, what it has of a destination is of the first of them. */
export interface Route extends Destination {
  /** Its place in the configuration. */
  readonly at: number
  readonly pattern: RoutePattern
  readonly gate: Gate
  /** Whether everybody gets the same: a policy may permit who is not identified, and yet not everybody. */
  readonly isPublic: boolean
  /** Whether an upstream's answer may be shown; `undefined`: it may. */
  readonly responseGate: Gate | undefined
  /** Of several backends, in place of one upstream. */
  readonly aggregation: Aggregation | undefined
  /** Nobody is to be identified here: `anyone` may come, and the credential is the upstream's own (delegated). */
  readonly delegated: boolean
  /** The upstream may learn by itself who is asking: it sees cookies, or another credential of the caller's. */
  readonly passesCredentials: boolean
  readonly maxJsonBytes: number
  /** Of a request's body, besides the listener's. */
  readonly maxBodyBytes: number
  /** ms until the head of an answer; `undefined`: the upstream's own. */
  readonly responseMs: number | undefined
  /** Of answers with status 200. */
  readonly signing: AnswerSigning | undefined
  /** What the upstream is told of rows and fields. */
  readonly hints: Hints | undefined
  readonly cors: Cors | undefined
  /** May become a WebSocket connection. */
  readonly websocket: WebSocketPolicy | undefined
  /** What caches are told of answers, in seconds; `undefined`: what the upstream says. */
  readonly cacheMaxAge: number | undefined
  readonly errorPages: ErrorPages
  /** Whether tokens of whoever has vouched for this identity are taken here. */
  takes(identity: Identity): boolean
  /** Names of parameters of the query that the upstream may see; `undefined`: all. */
  readonly query: ReadonlySet<string> | undefined
  readonly rate: RouteRate | undefined
  /** What of this route's bodies is protected, for the path of a request; `undefined` when nothing is. */
  fields(segments: readonly string[]): FieldPlan | undefined
}

/** For people: all that are asked, in which way. */
export function upstreamNames({ upstream, aggregation }: Route): string {
  if (aggregation === undefined) return upstream.name
  const names = aggregation.backends.map(backend => backend.upstream.name)
  return names.join(aggregation.isSequential ? ', then ' : ' and ')
}

/** All routes of one shape of path. */
export interface RouteMatch {
  readonly methods: ReadonlyMap<string, Route>
  /** For the Allow header. */
  readonly allow: string
}

export interface RouteTable {
  readonly routes: readonly Route[]
  /**
   * Of the names of the host the longest that has a route for the path; there the most specific: at each segment from the left, a literal
   * before a parameter before the rest; the method has no say. A literal in another case, or with a dot behind it, is no route, and is not
   * left to a less specific one.
   *
   * @param host as Host says it
   */
  match(segments: readonly string[], host: string): RouteMatch | undefined
}

export interface RouteContext {
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** Compiles a list of policies. @param use where they are asked */
  gate(allow: readonly string[], use: PolicyUse): Gate
  /** Where the gateway's own mechanisms look for credentials. */
  readonly carriers: Carriers
  readonly catalogue: Catalogue
  readonly limiter: RateLimiter
  readonly signers: ReadonlyMap<string, JwtSigner>
  /** ms since 1970 */
  readonly clock: () => number
  /** Names of all issuers. */
  readonly issuers: ReadonlySet<string>
  /** Asked before every route's policies. */
  readonly acl?: Acl | undefined
}

interface Node {
  readonly literals: Map<string, Node>
  /** The literals, folded. */
  readonly folded: Set<string>
  parameter: Node | undefined
  here: Map<string, Route> | undefined
  rest: Map<string, Route> | undefined
}

/**
 * Compiles the routes of a configuration.
 *
 * @throws {HttpError} `http.bad_route`: a pattern that is none, an unknown upstream, two routes for one method and path, a field's place
 *   that no route leads to, headers that cannot be what they are said to be
 */
export function compileRoutes(options: readonly RouteOptions[], context: RouteContext): RouteTable {
  const reserved = new Set<string>()
  for (const route of options) {
    const { id, roles, claims = {}, signed } = route.identity_headers ?? {}
    for (const name of [id, roles, signed?.header, hintHeaderOf(route), ...Object.keys(claims)]) {
      if (name !== undefined) reserved.add(identityHeader(route.path, name))
    }
  }
  const patterns = options.map(route => pattern(route.path))
  const plans = compileFieldPlans(context.catalogue, patterns)
  const roots = new ByHost(node)
  const routes = options.map((option, at) => {
    const parsed = patterns[at] ?? pattern(option.path)
    const route = compile(at, option, parsed, plans(parsed), reserved, context)
    for (const host of option.hosts ?? [undefined]) insert(roots.at(host), route, option.methods)
    return route
  })
  const matches = new Map<Map<string, Route>, RouteMatch>()
  return Object.freeze({
    routes: Object.freeze(routes),
    match: (segments, host) => {
      const methods = roots.find(roots.areNamed ? routeHost(host) : '', root => find(root, segments, 0))
      if (methods === undefined || methods === nowhere) return undefined
      let match = matches.get(methods)
      if (match === undefined) {
        match = { methods, allow: [...methods.keys()].sort().join(', ') }
        matches.set(methods, match)
      }
      return match
    },
  } satisfies RouteTable)
}

function pattern(path: string): RoutePattern {
  const parsed = parsePattern(path)
  if (typeof parsed === 'string') throw badRoute(path, parsed)
  return parsed
}

function compile(
  at: number,
  option: RouteOptions,
  parsed: RoutePattern,
  fields: Route['fields'],
  reserved: ReadonlySet<string>,
  context: RouteContext,
): Route {
  const allowed = option.request_headers?.map(name => allowedHeader(option.path, name, reserved))
  const place = { route: option.path, parameters: parametersOf(option.path) }
  const allow = context.gate(option.allow, { kind: 'request', ...place })
  const gate = context.acl === undefined ? allow : behindAcl(allow, context.acl)
  const own = (option.request_headers ?? []).find(name => context.carriers.headers.has(name.toLowerCase()))
  if (own !== undefined && !gate.open) {
    throw badRoute(
      option.path,
      `request_headers: ${own} is judged here and goes no further; identity_headers tell the upstream who asks`,
    )
  }
  const delegated = own !== undefined
  const allowedSet = allowed === undefined ? undefined : new Set(allowed)
  const isAnyone = gate.open || delegated
  const lead = (entry: Leading): Destination => {
    const way = { allowed: allowedSet, reserved, isDelegated: delegated, isAnyone }
    return compileDestination(option, entry, parsed, way, context)
  }
  const aggregation = compileAggregation(option, parsed, isAnyone, lead)
  const [first] = aggregation?.backends ?? [lead(option)]
  if (first === undefined) throw badRoute(option.path, 'backends has none')
  return Object.freeze({
    at,
    pattern: parsed,
    gate,
    isPublic:
      option.allow.includes('anyone') &&
      context.acl === undefined &&
      option.response_allow === undefined &&
      option.hints === undefined,
    responseGate: option.response_allow && context.gate(option.response_allow, { kind: 'response', ...place }),
    upstream: first.upstream,
    headers: first.headers,
    upstreamPath: first.upstreamPath,
    aggregation,
    delegated,
    passesCredentials: delegated || (allowed ?? []).some(name => headerClass(name).kind === 'credential'),
    maxJsonBytes: option.max_json_bytes,
    maxBodyBytes: option.max_body_bytes ?? Infinity,
    responseMs: option.response_timeout,
    hints: option.hints && hintsOf(option, option.hints, { kind: 'request', ...place }, gate, context),
    signing: option.sign && answerSigning(option, option.sign, context),
    websocket: webSocketPolicy(option, parsed, context.catalogue),
    cors: option.cors && compileCors(option.cors, option.methods),
    cacheMaxAge: option.cache_max_age === undefined ? undefined : Math.floor(option.cache_max_age / 1000),
    errorPages: readErrorPages(option.errors, option.path),
    takes: option.issuers === undefined ? () => true : onlyOf(new Set(option.issuers), context.issuers),
    query: option.query && new Set(option.query),
    rate: compileRouteRate(option, parsed, reserved, context),
    fields,
  })
}

function hintsOf(
  { path, identity_headers: identity }: RouteOptions,
  options: NonNullable<RouteOptions['hints']>,
  use: PolicyUse,
  gate: Gate,
  context: RouteContext,
): Hints {
  if (identity?.signed !== undefined && gate.open) {
    throw badRoute(path, 'hints: who is not identified has no signed token to carry them; leave out signed, or anyone')
  }
  const hints = compileHints(options, use, context)
  if (typeof hints === 'string') throw badRoute(path, `hints: ${hints}`)
  return hints
}

/** Name of a field that has a place in this route's bodies. */
function fieldLeadingTo(parsed: RoutePattern, { fields }: Catalogue): string | undefined {
  const leadsHere = (place: string): boolean => {
    const other = parsePattern(place)
    return typeof other !== 'string' && patternsOverlap(other, parsed)
  }
  return fields.find(({ json }) => json.some(({ route }) => leadsHere(route)))?.name
}

function webSocketPolicy(
  option: RouteOptions,
  parsed: RoutePattern,
  catalogue: Catalogue,
): WebSocketPolicy | undefined {
  if (!option.websocket) return undefined
  if (!option.methods.includes('GET'))
    throw badRoute(option.path, 'websocket begins with a GET, which methods does not have')
  if (option.sign !== undefined)
    throw badRoute(option.path, 'websocket: nobody signs there; give sign a route of its own')
  if (option.response_allow !== undefined) {
    throw badRoute(
      option.path,
      'websocket: nothing of what is answered there can be withheld; give response_allow a route of its own',
    )
  }
  const field = fieldLeadingTo(parsed, catalogue)
  if (field !== undefined) {
    throw badRoute(option.path, `websocket: nobody opens the field ${field} there; give its place a route of its own`)
  }
  return {
    name: [option.path, ...(option.hosts ?? [])].join(' '),
    max: option.websocket_max,
    idleMs: option.websocket_idle_timeout,
    lifetimeMs: option.websocket_lifetime,
    origins: new Set(option.websocket_origins.map(text => text.toLowerCase())),
  }
}

/** Whoever came by a token of an issuer, or has one of ours for it. */
function onlyOf(taken: ReadonlySet<string>, all: ReadonlySet<string>): Route['takes'] {
  return ({ mechanism, source }) => {
    if (mechanism === 'jwt') return source !== undefined && taken.has(source)
    const isOfIssuer = mechanism === 'token' && source !== undefined && all.has(source)
    return !isOfIssuer || taken.has(source)
  }
}

function answerSigning(
  { path, methods }: RouteOptions,
  sign: NonNullable<RouteOptions['sign']>,
  context: RouteContext,
): AnswerSigning {
  if (methods.includes('HEAD')) throw badRoute(path, 'sign: HEAD has no answer that could be signed')
  const protectedHere = context.catalogue.fields.find(field =>
    field.json.some(place => patternsOverlap(pattern(place.route), pattern(path))),
  )
  if (protectedHere !== undefined) throw badRoute(path, `sign: field ${protectedHere.name} has a place in its answers`)
  const { members, claims, typ, format, ttl: ttlMs } = sign
  return { signer: signerOf(path, sign.signing, context), members, claims, typ, format, ttlMs }
}

function identityHeader(path: string, name: string): string {
  const { name: lower, kind } = headerClass(name)
  const ours = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-request-id', 'forwarded', 'via']
  if (['hop', 'framing', 'host', 'content', 'credential', 'override'].includes(kind) || ours.includes(lower)) {
    throw badRoute(path, `identity_headers, hints: ${name} has a meaning of its own; X-User-Id would do`)
  }
  return lower
}

function allowedHeader(path: string, name: string, reserved: ReadonlySet<string>): string {
  const { name: lower, kind } = headerClass(name)
  if (!['pass', 'credential', 'validator', 'content'].includes(kind) || reserved.has(lower)) {
    throw badRoute(path, `request_headers: ${name} is never taken from a caller`)
  }
  return lower
}

function node(): Node {
  return { literals: new Map(), folded: new Set(), parameter: undefined, here: undefined, rest: undefined }
}

function insert(root: Node, route: Route, methods: readonly string[]): void {
  let at = root
  for (const segment of route.pattern.segments) {
    let next = segment.kind === 'literal' ? at.literals.get(segment.text) : at.parameter
    if (next === undefined) {
      next = node()
      if (segment.kind === 'literal') {
        at.literals.set(segment.text, next)
        at.folded.add(foldSegment(segment.text))
      } else at.parameter = next
    }
    at = next
  }
  const table = (route.pattern.rest ? at.rest : at.here) ?? new Map<string, Route>()
  if (route.pattern.rest) at.rest = table
  else at.here = table
  for (const method of methods) {
    const other = table.get(method)
    if (other !== undefined) {
      throw badRoute(
        route.pattern.text,
        `${method} can never get here: ${other.pattern.text} has the same paths and stands before it`,
      )
    }
    table.set(method, route)
  }
}

/** No route, and none that is less specific either. */
const nowhere: Map<string, Route> = new Map()

function find(at: Node, segments: readonly string[], depth: number): Map<string, Route> | undefined {
  const segment = segments[depth]
  if (segment === undefined) return at.here ?? at.rest
  const literal = at.literals.get(segment)
  // Many servers do not tell /Admin, or /admin., from /admin. Where the route for /admin is not the one that would take /Admin, the
  // upstream would do what the first guards under the rules of the second.
  if (literal === undefined && at.folded.size > 0 && at.folded.has(foldSegment(segment))) return nowhere
  const deeper = literal === undefined ? undefined : find(literal, segments, depth + 1)
  if (deeper !== undefined) return deeper
  const through = at.parameter === undefined ? undefined : find(at.parameter, segments, depth + 1)
  return through ?? at.rest
}
