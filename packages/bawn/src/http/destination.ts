import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { type BackendOptions, backendProblems } from './backend-option.ts'
import { headerClass } from './header-class.ts'
import { hintHeaderOf } from './hint-option.ts'
import { createIdentityToken } from './identity-token.ts'
import { foldKey } from './json/path-tree.ts'
import { type AnswerShape, compileAnswerShape } from './merge-answers.ts'
import type { RouteOptions } from './option.ts'
import { HttpError } from './problem.ts'
import type { HeaderPolicy } from './request-headers.ts'
import type { RoutePattern } from './route-pattern.ts'
import type { RouteContext } from './routes.ts'
import type { Upstream } from './upstream/upstream.ts'
import {
  compileUpstreamParameters,
  compileUpstreamPath,
  type UpstreamParameters,
  type UpstreamPath,
} from './upstream-path.ts'

/** One upstream of a route, and what it gets. */
export interface Destination {
  readonly upstream: Upstream
  readonly headers: HeaderPolicy
  /** Path that the upstream gets, behind its prefix; `undefined`: the request's. */
  readonly upstreamPath: UpstreamPath | undefined
}

/** One of several whose answers become one. */
export interface Backend extends Destination {
  /** What later ones call its answer. */
  readonly answerName: string | undefined
  /** By which it is asked; `undefined`: as the route was. */
  readonly method: string | undefined
  /** In the query in place of the caller's. */
  readonly parameters: UpstreamParameters
  /** Their names, folded: to many servers names of another case are the same. */
  readonly ownParameters: ReadonlySet<string>
  /** Names of parameters that it may see, besides what the route says of it; `undefined`: all of those. */
  readonly query: ReadonlySet<string> | undefined
  readonly shape: AnswerShape
  readonly group: string | undefined
  readonly required: boolean
  /** Of its answer. */
  readonly maxBytes: number
  /** ms until its answer is whole. */
  readonly responseMs: number | undefined
}

/** How the answers of several backends become one. */
export interface Aggregation {
  /** At least one. */
  readonly backends: readonly Backend[]
  /** One after the other. */
  readonly isSequential: boolean
}

export function badRoute(path: string, what: string): HttpError {
  return new HttpError('http.bad_route', `route ${path}: ${what}`)
}

/** What names an upstream: a route, or one of its backends. */
export type Leading = Pick<RouteOptions, 'upstream' | 'upstream_path'>

/** @throws {HttpError} `http.bad_route` */
export function compileDestination(
  option: RouteOptions,
  { upstream: name = '', upstream_path: path }: Leading,
  parsed: RoutePattern,
  way: Pick<HeaderPolicy, 'allowed' | 'reserved' | 'isDelegated'> & { readonly isAnyone: boolean },
  context: RouteContext,
): Destination {
  const upstream = context.upstreams.get(name)
  if (upstream === undefined) {
    throw badRoute(option.path, `no upstream is named ${name}; there are: ${[...context.upstreams.keys()].join(', ')}`)
  }
  const ours = (option.request_headers ?? []).find(header => upstream.ownHeaders.includes(header.toLowerCase()))
  if (ours !== undefined) {
    throw badRoute(
      option.path,
      `request_headers: ${ours} carries the gateway’s own credential towards ${upstream.name}`,
    )
  }
  const hintHeader = hintHeaderOf(option)
  if (hintHeader !== undefined && upstream.ownHeaders.includes(hintHeader.toLowerCase())) {
    throw badRoute(option.path, `hints: ${hintHeader} carries the gateway’s own credential towards ${upstream.name}`)
  }
  const target = path === undefined ? undefined : compileUpstreamPath(path, parsed)
  if (typeof target === 'string') throw badRoute(option.path, `upstream_path ${target}`)
  const { isAnyone, ...policy } = way
  if (target?.needsIdentity && isAnyone) {
    throw badRoute(option.path, 'upstream_path has something of who is asking, and anyone may ask')
  }
  const identity = option.identity_headers
  return {
    upstream,
    upstreamPath: target?.path,
    headers: {
      ...policy,
      replaced: new Set(upstream.ownHeaders),
      carriers: context.carriers,
      identity: {
        id: identity?.id,
        roles: identity?.roles,
        claims: Object.entries(identity?.claims ?? {}),
        signed: signedIdentity(option, upstream.name, context),
      },
      hints: option.hints && { header: hintHeader },
    },
  }
}

/** @param lead compiles what a route would have. @throws {HttpError} `http.bad_route` */
export function compileAggregation(
  option: RouteOptions,
  parsed: RoutePattern,
  isAnyone: boolean,
  lead: (entry: Leading) => Destination,
): Aggregation | undefined {
  if (option.backends === undefined) return undefined
  backendProblems(option, (path, message) => {
    throw badRoute(option.path, [...path, message].join(': '))
  })
  const sized = option.backends.flatMap(({ max_json_bytes: bytes }) => bytes ?? [])
  const left = option.max_json_bytes - sized.reduce((sum, bytes) => sum + bytes, 0)
  // Each has its share: who answers too much must not decide about the others, and all together stay within the limit.
  const share = Math.max(1, Math.floor(left / Math.max(1, option.backends.length - sized.length)))
  const backends = option.backends.map((entry): Backend => {
    const destination = lead(entry)
    const parameters = compileUpstreamParameters(entry.upstream_query, parsed)
    if (typeof parameters === 'string') throw badRoute(option.path, `upstream_query ${parameters}`)
    if (parameters.needsIdentity && isAnyone) {
      throw badRoute(option.path, 'upstream_query has something of who is asking, and anyone may ask')
    }
    return {
      ...destination,
      headers: { ...destination.headers, allowed: narrowed(option, entry, destination.headers) },
      answerName: entry.name,
      method: entry.method,
      parameters: parameters.parameters,
      ownParameters: new Set(Object.keys(entry.upstream_query).map(foldKey)),
      query: entry.query && new Set(entry.query),
      shape: compileAnswerShape(entry),
      group: entry.group,
      required: entry.required,
      maxBytes: entry.max_json_bytes ?? share,
      responseMs: entry.response_timeout,
    }
  })
  return Object.freeze({ backends, isSequential: option.sequential })
}

/** What passes of the caller's headers: of what passes to the route. */
function narrowed(
  { path, request_headers: all }: RouteOptions,
  { request_headers: own }: BackendOptions,
  { allowed, reserved }: HeaderPolicy,
): HeaderPolicy['allowed'] {
  if (own === undefined) return allowed
  const names = own.map(name => headerClass(name))
  const refused = names.find(
    ({ name, kind }) =>
      reserved.has(name) ||
      (kind !== 'pass' && kind !== 'validator' && kind !== 'content' && allowed?.has(name) !== true),
  )
  if (refused !== undefined) {
    const why = all === undefined && refused.kind === 'credential' ? 'passes where the route says so' : 'is never taken'
    throw badRoute(path, `backends: request_headers: ${refused.name} ${why}`)
  }
  return new Set(names.map(({ name }) => name))
}

/** @throws {HttpError} `http.bad_route` */
export function signerOf(path: string, name: string, { signers }: RouteContext): JwtSigner {
  const signer = signers.get(name)
  if (signer === undefined) throw badRoute(path, `no entry of signing is named ${name}`)
  return signer
}

function signedIdentity(
  { path, identity_headers: headers }: RouteOptions,
  upstream: string,
  context: RouteContext,
): HeaderPolicy['identity']['signed'] {
  const signed = headers?.signed
  if (signed === undefined) return undefined
  const { header, audience = upstream, ttl: ttlMs, claims } = signed
  const signer = signerOf(path, signed.signing, context)
  return { header, token: createIdentityToken({ signer, audience, ttlMs, claims }, context.clock) }
}
