import { z } from 'zod'
import { type Frozen, name } from '../option.ts'

const memberPath = z
  .string()
  .max(512)
  .regex(/^[^.]+(?:\.[^.]+)*$/, 'must be names of members with dots between them: user.address.city')

export const backendOptions = z
  .strictObject({
    upstream: name.describe('where the request goes: a name of upstreams'),
    upstream_path: z
      .string()
      .startsWith('/')
      .optional()
      .describe('path that it gets, as upstream_path of a route. Default: the path as it was asked for'),
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
  readonly sign?: unknown
  readonly response_allow?: unknown
  readonly websocket: boolean
}

/** What a route with `backends` cannot have besides. @param report gets the place inside the route, and what is wrong there */
export function backendProblems(
  route: WithBackends,
  report: (path: (string | number)[], message: string) => void,
): void {
  const { backends } = route
  if (backends === undefined) {
    if (route.upstream === undefined) report([], 'needs upstream, or backends for an answer of several')
    return
  }
  if (route.upstream !== undefined) report(['upstream'], 'backends stand in place of upstream: leave one of them out')
  if (route.upstream_path !== undefined)
    report(['upstream_path'], 'with backends, each has an upstream_path of its own')
  for (const [at, method] of route.methods.entries()) {
    if (method !== 'GET')
      report(['methods', at], 'an answer of several backends is for GET: half a write could not be undone')
  }
  if (route.sign !== undefined) report(['sign'], 'answers of several backends are not signed')
  if (route.response_allow !== undefined) {
    report(['response_allow'], 'answers of several backends cannot be withheld: give it a route of its own')
  }
  if (route.websocket) report(['websocket'], 'a WebSocket connection leads to one upstream')
  const groups = new Map<string, number>()
  for (const [at, { group }] of backends.entries()) {
    if (group === undefined) continue
    const first = groups.get(group)
    if (first !== undefined) report(['backends', at, 'group'], `backends[${first}] has this group already`)
    groups.set(group, first ?? at)
  }
}
