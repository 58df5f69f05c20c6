import { z } from 'zod'
import { type Frozen, name, timeLimit } from '../option.ts'

const memberPath = z
  .string()
  .max(512)
  .regex(/^[^.]+(?:\.[^.]+)*$/, 'must be names of members with dots between them: user.address.city')

const unsafeMethods = ['POST', 'PUT', 'PATCH', 'DELETE'] as const
const isUnsafe = (method: string): boolean => unsafeMethods.some(unsafe => unsafe === method)

const headerName = z.string().regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header')

export const backendOptions = z
  .strictObject({
    upstream: name.describe('where the request goes: a name of upstreams'),
    name: z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be a letter, then up to 63 letters, digits, - and _')
      .optional()
      .describe('what later backends call its answer, with sequential: {answers.name.member}'),
    method: z
      .enum(['GET', ...unsafeMethods])
      .optional()
      .describe('by which it is asked. Default: as the route was asked. Only others than GET get the body'),
    upstream_path: z
      .string()
      .startsWith('/')
      .optional()
      .describe(
        'path that it gets, as upstream_path of a route; with sequential {answers.name.member} too. Default: the path as it was asked for',
      ),
    upstream_query: z
      .record(z.string().min(1), z.string())
      .default({})
      .describe(
        'parameters that it gets in place of the caller’s of these names: each a text, or one {parameter}, {identity.id}, {identity.claims.name} or {answers.name.member}',
      ),
    request_headers: z
      .array(headerName)
      .optional()
      .describe('what it may see of the caller’s headers: of those of the route. Default: all of those'),
    query: z
      .array(z.string().min(1))
      .optional()
      .describe('parameters of the query that it may see: of those of the route. Default: all of those'),
    response_timeout: timeLimit
      .optional()
      .describe('until its answer is whole. Default: that of the route, which is for all together'),
    max_json_bytes: z
      .int()
      .min(1)
      .optional()
      .describe('of its answer, a part of max_json_bytes of the route. Default: an equal share of what is left'),
    target: memberPath.optional().describe('member of its answer that is taken, in place of the whole: data.user'),
    collection: z
      .boolean()
      .default(false)
      .describe('what it answers is a list: it becomes an object with the list as its member collection'),
    allow: z
      .array(memberPath)
      .min(1)
      .optional()
      .describe('members that are taken, and nothing else; a dotted path reaches into objects, and each item of lists'),
    deny: z.array(memberPath).min(1).optional().describe('members that are not taken; or allow, not both'),
    mapping: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe('members that are called otherwise in the answer, at its top: theirs: ours'),
    group: z.string().min(1).optional().describe('member of the answer that gets all of it. Default: the top'),
    required: z
      .boolean()
      .default(true)
      .describe('without it there is no answer: 502. Else it is left out, and X-Bawn-Complete is false'),
  })
  .refine(({ allow, deny }) => allow === undefined || deny === undefined, 'takes allow or deny, and not both')
  .refine(
    ({ mapping }) => new Set(Object.values(mapping)).size === Object.keys(mapping).length,
    'mapping: two members would have one name',
  )
export type BackendOptions = Frozen<z.output<typeof backendOptions>>

interface WithBackends {
  readonly methods: readonly string[]
  readonly upstream?: string | undefined
  readonly upstream_path?: string | undefined
  readonly backends?: readonly BackendOptions[] | undefined
  readonly sequential: boolean
  readonly request_headers?: readonly string[] | undefined
  readonly query?: readonly string[] | undefined
  readonly max_json_bytes: number
  readonly websocket: boolean
}

type Report = (path: (string | number)[], message: string) => void

/** What a route with `backends` cannot have besides. @param report gets the place inside the route, and what is wrong there */
export function backendProblems(route: WithBackends, report: Report): void {
  const { backends, sequential } = route
  if (backends === undefined) {
    if (route.upstream === undefined) report([], 'needs upstream, or backends for an answer of several')
    if (sequential) report(['sequential'], 'is for backends')
    return
  }
  if (route.upstream !== undefined) report(['upstream'], 'backends stand in place of upstream: leave one of them out')
  if (route.upstream_path !== undefined)
    report(['upstream_path'], 'with backends, each has an upstream_path of its own')
  for (const [at, method] of route.methods.entries()) methodProblems(route, backends, at, method, report)
  if (route.websocket) report(['websocket'], 'a WebSocket connection leads to one upstream')
  once(backends, 'group', 'has this group already', report)
  once(backends, 'name', 'has this name already', report)
  for (const [at, backend] of backends.entries()) {
    narrowingProblems(route, backend, (path, message) => report(['backends', at, ...path], message))
    referenceProblems(backends, sequential, at, report)
  }
  const taken = backends.reduce((sum, { max_json_bytes: bytes = 0 }) => sum + bytes, 0)
  if (taken > route.max_json_bytes)
    report(['max_json_bytes'], `its backends together have ${taken} bytes, which is more`)
}

function methodProblems(
  { sequential }: WithBackends,
  backends: readonly BackendOptions[],
  at: number,
  method: string,
  report: Report,
): void {
  if (method === 'HEAD' || method === 'OPTIONS') {
    report(
      ['methods', at],
      `an answer of several backends is not for ${method}: all of it would have to be made for nothing`,
    )
    return
  }
  const writers = backends.flatMap(({ method: own = method }, place) => (isUnsafe(own) ? [place] : []))
  const [first, second] = writers
  if (method === 'GET' && first !== undefined) {
    report(['backends', first, 'method'], 'a GET of the route writes nothing: any page could ask for it')
  } else if (second !== undefined && !sequential) {
    const message =
      'would write at the same time as another, and half of that cannot be undone: sequential, or method: GET'
    report(['backends', second, 'method'], message)
  }
}

function once(backends: readonly BackendOptions[], key: 'group' | 'name', message: string, report: Report): void {
  const places = new Map<string, number>()
  for (const [at, { [key]: value }] of backends.entries()) {
    if (value === undefined) continue
    const first = places.get(value)
    if (first !== undefined) report(['backends', at, key], `backends[${first}] ${message}`)
    places.set(value, first ?? at)
  }
}

/** A backend sees no more of a request than its route does. */
function narrowingProblems(route: WithBackends, backend: BackendOptions, report: Report): void {
  const headers = route.request_headers?.map(header => header.toLowerCase())
  const header = backend.request_headers?.find(name => headers?.includes(name.toLowerCase()) === false)
  if (header !== undefined) report(['request_headers'], `${header} is not among the request_headers of the route`)
  const parameter = backend.query?.find(name => route.query?.includes(name) === false)
  if (parameter !== undefined) report(['query'], `${parameter} is not in the query of the route`)
}

function referenceProblems(backends: readonly BackendOptions[], sequential: boolean, at: number, report: Report): void {
  const { upstream_path: path = '', upstream_query: query = {} } = backends[at] ?? {}
  const earlier = backends.slice(0, at).flatMap(({ name: own }) => own ?? [])
  const look = (place: (string | number)[], text: string): void => {
    for (const [, named = ''] of text.matchAll(/\{answers\.([^.{}]*)/g)) {
      if (!sequential) report(place, 'answers of other backends are there with sequential: true')
      else if (!earlier.includes(named)) report(place, `no backend before it has the name ${named}`)
    }
  }
  look(['backends', at, 'upstream_path'], path)
  for (const [name, text] of Object.entries(query)) look(['backends', at, 'upstream_query', name], text)
}
