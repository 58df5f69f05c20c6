import type { Identity } from '../authn/identity.ts'
import type { RateLimit } from '../limits/rate-limit.ts'
import { claimText } from './claim-text.ts'
import { badRoute } from './destination.ts'
import { headerClass } from './header-class.ts'
import type { RouteOptions } from './option.ts'
import type { RequestPath } from './path.ts'
import type { RequestHead } from './request-head.ts'
import { foldSegment, type RoutePattern } from './route-pattern.ts'
import type { RouteContext } from './routes.ts'

/** How often callers may ask for a route, and who is one caller. */
export interface RouteRate {
  readonly limit: RateLimit
  /** Taken from when it is known who asks; else before. */
  readonly isByIdentity: boolean
  /** Who is counted; `undefined`: by address. */
  caller(asked: Asked): string | undefined
}

interface Asked {
  readonly head: RequestHead
  readonly path: RequestPath
  readonly identity: Identity | undefined
}

/**
 * @param reserved headers in which upstreams learn who asks
 * @throws {HttpError} `http.bad_route`: nothing that could be counted has that name
 */
export function compileRouteRate(
  route: RouteOptions,
  pattern: RoutePattern,
  reserved: ReadonlySet<string>,
  { limiter, carriers }: Pick<RouteContext, 'limiter' | 'carriers'>,
): RouteRate | undefined {
  if (route.rate_limit === undefined) return undefined
  const { per } = route.rate_limit
  const limit = limiter.limit(`route ${route.methods} ${route.path}`, 'route', route.rate_limit)
  if (per === 'address') return { limit, isByIdentity: false, caller: () => undefined }
  if (per === 'client') return { limit, isByIdentity: true, caller: ({ identity }) => clientOf(identity) }
  if ('claim' in per) {
    const { claim } = per
    return {
      limit,
      isByIdentity: true,
      // Two issuers may each have a tenant of that name.
      caller: ({ identity }) =>
        counted(identity && claimText(identity.claims, claim), JSON.stringify(identity?.source ?? null)),
    }
  }
  if ('parameter' in per) {
    const at = pattern.segments.findIndex(segment => segment.kind === 'parameter' && segment.name === per.parameter)
    if (at === -1) throw badRoute(route.path, `rate_limit: {${per.parameter}} is no parameter of the path`)
    return { limit, isByIdentity: false, caller: ({ path }) => counted(foldSegment(path.segments[at] ?? '')) }
  }
  const { name, kind } = headerClass(per.header)
  if (kind !== 'pass' || reserved.has(name) || carriers.headers.has(name)) {
    throw badRoute(
      route.path,
      `rate_limit: ${per.header} is not what a caller is told apart by; address, client or a claim would do`,
    )
  }
  return { limit, isByIdentity: false, caller: ({ head }) => counted(saidOnce(head, name)) }
}

const clientOf = (identity: Identity | undefined): string | undefined =>
  identity && JSON.stringify([identity.source ?? null, identity.id])

/** All without a value are one caller: leaving it out is no way round the limit. */
const counted = (value: string | undefined, source = ''): string =>
  value === undefined || value === '' ? '' : `${source}=${value}`

/** @returns undefined when it is missing, for this connection only, or there twice: upstreams would differ about which one counts */
function saidOnce({ classes, rawHeaders, connectionNames }: RequestHead, name: string): string | undefined {
  if (connectionNames.includes(name)) return undefined
  let found: string | undefined
  for (let at = 0; at < classes.length; at++) {
    if (classes[at]?.name !== name) continue
    if (found !== undefined) return undefined
    found = rawHeaders[2 * at + 1] ?? ''
  }
  return found
}
