import type { Admitted } from './admit.ts'
import { collectBody } from './body.ts'
import type { Backend } from './destination.ts'
import type { OpenedBody } from './field-body.ts'
import { sealBody, tooLarge, upstreamTarget } from './forward.ts'
import { foldKey } from './json/path-tree.ts'
import { HttpError } from './problem.ts'
import { everyParameter, onlyParameters } from './query.ts'
import type { RequestHead } from './request-head.ts'
import { upstreamHead } from './request-headers.ts'
import type { Turn } from './turn.ts'
import type { UpstreamRequest } from './upstream/upstream.ts'
import type { EarlierAnswers } from './upstream-path.ts'

/**
 * What one of several backends is to get, but for its body and for what an earlier one answers.
 *
 * @param body for backends that are not asked by GET
 * @throws {HttpError} `http.unreadable_answer` for what an earlier backend should have said
 */
export type BackendRequest = (body: Buffer | undefined, earlier: EarlierAnswers) => UpstreamRequest

/** A token that says who asks may be good for a second: behind a slow backend, or a slow body, it is made anew. */
const keptMs = 100

/**
 * Makes of a request what one of several backends gets: as a route with one upstream would send it. What of the caller's cannot be sent
 * shows here, before anybody is asked.
 *
 * @throws {HttpError} `http.unusable_claim`, `http.bad_path`
 */
export function backendRequest(turn: Turn, admitted: Admitted, backend: Backend): BackendRequest {
  const { request } = turn
  const method = backend.method ?? request.method
  const getsBody = method !== 'GET' && admitted.head.hasBody
  const forwarding = {
    method,
    peer: request.remoteAddress,
    secure: request.secure,
    requestId: turn.requestId,
    opensBodies: true,
    hint: turn.hint,
  }
  const own = getsBody ? admitted.head : withoutContent(admitted.head)
  const makeHead = (): string => upstreamHead(own, backend.headers, forwarding, turn.identity)
  const head = makeHead()
  const madeAt = performance.now()
  let waits = false
  // Whatever is answered, it would be a text.
  const target = targetOf(turn, admitted, backend, () => {
    waits = true
    return 'x'
  })
  return (body, earlier) => ({
    method,
    target: waits ? targetOf(turn, admitted, backend, earlier) : target,
    head: performance.now() - madeAt < keptMs ? head : makeHead(),
    body: getsBody && body !== undefined ? { kind: 'bytes', bytes: body } : { kind: 'none' },
  })
}

/** Who gets no body is told nothing of one. */
function withoutContent(head: RequestHead): RequestHead {
  const classes = head.classes.map(header =>
    header.kind === 'content' ? ({ ...header, kind: 'framing' } as const) : header,
  )
  return { ...head, classes }
}

function targetOf(turn: Turn, admitted: Admitted, backend: Backend, earlier: EarlierAnswers): string {
  const target = upstreamTarget(turn, admitted, backend, earlier)
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  let query = mark === -1 ? '' : target.slice(mark)
  if (backend.query !== undefined) query = onlyParameters(query, backend.query)
  const own = backend.parameters(admitted.path, turn.identity, earlier)
  if (own.length > 0) query = withOwn(query, own, backend.ownParameters)
  return `${path}${query}`
}

/** To many servers `name[]` and `name[x]` belong to `name`, which then is a list of theirs and ours. */
function isOneOf(names: ReadonlySet<string>, name: string): boolean {
  const folded = foldKey(name)
  const bracket = folded.indexOf('[')
  return names.has(folded) || (bracket !== -1 && names.has(folded.slice(0, bracket)))
}

/** Behind what is left of the caller's; `;` in that divides nothing, for some servers would find a parameter of ours in it. */
function withOwn(query: string, own: readonly string[], names: ReadonlySet<string>): string {
  const others = query === '' ? [] : everyParameter(query).filter(({ name }) => !isOneOf(names, name))
  return `?${[...others.map(({ text }) => text.replaceAll(';', '%3B')), ...own].join('&')}`
}

/**
 * The whole body, for backends that are not asked by GET, with its fields sealed. It is kept until the last of them has it.
 *
 * @returns undefined where there is none
 */
export async function backendBody(
  turn: Turn,
  admitted: Admitted,
  backends: readonly Backend[],
  maxBodyBytes: number,
): Promise<OpenedBody | undefined> {
  const { head, path, route } = admitted
  if (!head.hasBody) return undefined
  if (backends.every(({ method = turn.request.method }) => method === 'GET')) {
    throw new HttpError('http.body_too_large', 'a body for several backends, which none of them gets')
  }
  const plan = route.fields(path.segments)
  const max = Math.min(maxBodyBytes, route.maxBodyBytes, route.maxJsonBytes)
  if (plan?.seals === true) return await sealBody(turn, admitted, plan, max)
  if (head.contentLength !== undefined && head.contentLength > max) throw tooLarge(max)
  return { bytes: await collectBody(turn.request.body, max, () => tooLarge(max)), uses: [] }
}
