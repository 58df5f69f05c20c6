import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { backendProblems } from './backend-option.ts'
import { createIdentityToken } from './identity-token.ts'
import { type AnswerShape, compileAnswerShape } from './merge-answers.ts'
import type { RouteOptions } from './option.ts'
import { HttpError } from './problem.ts'
import type { HeaderPolicy } from './request-headers.ts'
import type { RoutePattern } from './route-pattern.ts'
import type { RouteContext } from './routes.ts'
import type { Upstream } from './upstream/upstream.ts'
import { compileUpstreamPath, type UpstreamPath } from './upstream-path.ts'

/** One upstream of a route, and what it gets. */
export interface Destination {
  readonly upstream: Upstream
  readonly headers: HeaderPolicy
  /** Path that the upstream gets, behind its prefix; `undefined`: the request's. */
  readonly upstreamPath: UpstreamPath | undefined
}

/** One of several whose answers become one. */
export interface Backend extends Destination {
  readonly shape: AnswerShape
  readonly required: boolean
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
    },
  }
}

/** @param lead compiles what a route would have. @throws {HttpError} `http.bad_route` */
export function compileBackends(
  option: RouteOptions,
  lead: (entry: Leading) => Destination,
): readonly Backend[] | undefined {
  if (option.backends === undefined) return undefined
  backendProblems(option, (path, message) => {
    throw badRoute(option.path, [...path, message].join(': '))
  })
  return option.backends.map(entry => ({
    ...lead(entry),
    shape: compileAnswerShape(entry),
    required: entry.required,
  }))
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
