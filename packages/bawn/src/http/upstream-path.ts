import type { Identity } from '../authn/identity.ts'
import { claimText } from './claim-text.ts'
import { parsePath, type RequestPath } from './path.ts'
import { HttpError } from './problem.ts'
import type { RoutePattern } from './route-pattern.ts'

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  /** A segment of the request's path, by its place. */
  | { readonly kind: 'segment'; readonly at: number }
  | Source

/** What is not of the request's path. */
type Source =
  | { readonly kind: 'identity'; readonly of: IdentityPart }
  /** What a backend before this one has answered. */
  | { readonly kind: 'answer'; readonly backend: string; readonly path: string }

type IdentityPart = { readonly kind: 'id' } | { readonly kind: 'claim'; readonly path: string }

/** Where requests of a route go: its own path, or another made of parts of it and of who is asking. */
export type UpstreamPath = (path: RequestPath, identity: Identity | undefined, answers?: EarlierAnswers) => string

/** A member of what a backend has answered, as text. @returns undefined where there is none */
export type EarlierAnswers = (backend: string, path: string) => string | undefined

/** Parameters of the query, of a backend's own: `name=value`, encoded. */
export type UpstreamParameters = (
  path: RequestPath,
  identity: Identity | undefined,
  answers?: EarlierAnswers,
) => readonly string[]

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
    path: ({ path }, identity, answers) => {
      const given = path.split('/')
      let target = ''
      for (const part of parts) {
        if (part.kind === 'literal') target += `/${part.text}`
        else if (part.kind === 'segment') target += `/${given[part.at + 1]}`
        else target += `/${sourceSegment(part, identity, answers)}`
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
  const source = parseSource(name)
  if (source !== undefined) return source
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

function parseSource(name: string): Source | undefined {
  if (name === 'identity.id') return { kind: 'identity', of: { kind: 'id' } }
  const claim = /^identity\.claims\.(.+)$/.exec(name)?.[1]
  if (claim !== undefined) return { kind: 'identity', of: { kind: 'claim', path: claim } }
  const [, backend, path] = /^answers\.([^.]+)\.(.+)$/.exec(name) ?? []
  return backend === undefined || path === undefined ? undefined : { kind: 'answer', backend, path }
}

function sourceSegment(source: Source, identity: Identity | undefined, answers: EarlierAnswers | undefined): string {
  const segment = asSegment(sourceText(source, identity, answers) ?? '')
  if (segment !== undefined) return segment
  throw unusable(source, 'cannot be a segment of the upstream’s path')
}

function sourceText(
  source: Source,
  identity: Identity | undefined,
  answers: EarlierAnswers | undefined,
): string | undefined {
  if (source.kind === 'answer') return answers?.(source.backend, source.path)
  return source.of.kind === 'id' ? identity?.id : identity && claimText(identity.claims, source.of.path)
}

function unusable(source: Source, why: string): HttpError {
  if (source.kind === 'answer') {
    const what = `${source.path} of the answer of ${source.backend}`
    return new HttpError('http.unreadable_answer', `${what} is missing, or ${why}`)
  }
  const what = source.of.kind === 'id' ? 'the id' : `the claim ${source.of.path}`
  return new HttpError('http.unusable_claim', `${what} is missing, or ${why}`)
}

/**
 * Compiles what a backend gets in its query: a text, or one `{parameter}`, `{identity.id}`, `{identity.claims.name}`, `{answers.name.member}`.
 *
 * @returns what is wrong with it in words
 */
export function compileUpstreamParameters(
  options: Readonly<Record<string, string>>,
  route: RoutePattern,
): { readonly parameters: UpstreamParameters; readonly needsIdentity: boolean } | string {
  const all: { readonly name: string; readonly part: Part }[] = []
  for (const [name, text] of Object.entries(options)) {
    const isSource = /[{}]/.test(text)
    if (!name.isWellFormed() || !text.isWellFormed()) return `${name}: half a character`
    const part: Part | string = isSource ? parsePart(text, route) : { kind: 'literal', text }
    if (typeof part === 'string') return `${name}: ${part}`
    all.push({ name: encodeURIComponent(name), part })
  }
  return {
    needsIdentity: all.some(({ part }) => part.kind === 'identity'),
    parameters: ({ segments }, identity, answers) =>
      all.map(({ name, part }) => {
        const value =
          part.kind === 'literal'
            ? part.text
            : part.kind === 'segment'
              ? segments[part.at]
              : sourceText(part, identity, answers)
        if (value?.isWellFormed() === true) return `${name}=${encodeURIComponent(value)}`
        if (part.kind === 'identity' || part.kind === 'answer') throw unusable(part, 'cannot be in a query')
        throw new HttpError('http.bad_path', 'a part of the path cannot be in a query')
      }),
  }
}
