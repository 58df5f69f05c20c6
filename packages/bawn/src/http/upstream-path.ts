import type { Identity } from '../authn/identity.ts'
import { claimText } from './claim-text.ts'
import { parsePath, type RequestPath } from './path.ts'
import { HttpError } from './problem.ts'
import type { RoutePattern } from './route-pattern.ts'

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  /** A segment of the request's path, by its place. */
  | { readonly kind: 'segment'; readonly at: number }
  | { readonly kind: 'identity'; readonly of: IdentityPart }

type IdentityPart = { readonly kind: 'id' } | { readonly kind: 'claim'; readonly path: string }

/** Where requests of a route go: its own path, or another made of parts of it and of who is asking. */
export type UpstreamPath = (path: RequestPath, identity: Identity | undefined) => string

export interface UpstreamPathReading {
  readonly path: UpstreamPath
  /** It names somebody: a route without anybody cannot use it. */
  readonly needsIdentity: boolean
}

/**
 * Compiles `/internal/{customer}/{identity.claims.tenant}/*`: each segment is a literal, a parameter of the route, or something of the
 * identity; `*` at the end is what the route's `*` stands for.
 *
 * @returns what is wrong with it in words
 */
export function compileUpstreamPath(text: string, route: RoutePattern): UpstreamPathReading | string {
  // Names of claims may be URLs: a slash between braces divides nothing.
  const pieces = text === '/' ? [] : text.slice(1).split(/\/(?![^{]*\})/)
  const rest = pieces.at(-1) === '*'
  if (rest) pieces.pop()
  if (rest && !route.rest) return 'ends in *, which the route’s path does not'
  const parts: Part[] = []
  for (const piece of pieces) {
    const part = parsePart(piece, route)
    if (typeof part === 'string') return part
    parts.push(part)
  }
  const skipped = route.segments.length
  return {
    needsIdentity: parts.some(({ kind }) => kind === 'identity'),
    path: ({ path }, identity) => {
      const given = path.split('/')
      let target = ''
      for (const part of parts) {
        if (part.kind === 'literal') target += `/${part.text}`
        else if (part.kind === 'segment') target += `/${given[part.at + 1]}`
        else target += `/${identitySegment(part.of, identity)}`
      }
      // Normalised already, with its trailing slash.
      for (const segment of rest ? given.slice(skipped + 1) : []) target += `/${segment}`
      return target === '' ? '/' : target
    },
  }
}

function parsePart(piece: string, route: RoutePattern): Part | string {
  const name = /^\{([^{}]+)\}$/.exec(piece)?.[1]
  if (name === undefined) {
    const literal = /[{}*%]/.test(piece) ? undefined : asSegment(piece)
    return literal === undefined
      ? `has "${piece}": a segment is a literal (not encoded), {parameter}, {identity.id} or {identity.claims.name}`
      : { kind: 'literal', text: literal }
  }
  if (name === 'identity.id') return { kind: 'identity', of: { kind: 'id' } }
  const claim = /^identity\.claims\.(.+)$/.exec(name)?.[1]
  if (claim !== undefined) return { kind: 'identity', of: { kind: 'claim', path: claim } }
  const at = route.segments.findIndex(segment => segment.kind === 'parameter' && segment.name === name)
  return at === -1 ? `{${name}} is no parameter of the route’s path` : { kind: 'segment', at }
}

/**
 * Percent-encoded, and only what the border would take from a caller as well (`path.ts`): no value is a dot segment, has a slash in any
 * form, or reads in two ways.
 */
function asSegment(text: string): string | undefined {
  if (!text.isWellFormed()) return undefined
  const encoded = encodeURIComponent(text)
  const reading = parsePath(`/${encoded}`)
  return reading?.segments.length === 1 && reading.segments[0] === text ? reading.path.slice(1) : undefined
}

function identitySegment(of: IdentityPart, identity: Identity | undefined): string {
  const text = of.kind === 'id' ? identity?.id : identity && claimText(identity.claims, of.path)
  const segment = text === undefined ? undefined : asSegment(text)
  if (segment !== undefined) return segment
  const what = of.kind === 'id' ? 'the id' : `the claim ${of.path}`
  throw new HttpError('http.unusable_claim', `${what} is missing, or cannot be a segment of the upstream’s path`)
}
