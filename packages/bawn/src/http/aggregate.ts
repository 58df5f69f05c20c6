import { GatewayError } from '../error.ts'
import type { Admitted } from './admit.ts'
import { answerHeaders } from './answer-headers.ts'
import type { Backend } from './destination.ts'
import { parseExact } from './exact-json.ts'
import { upstreamTarget } from './forward.ts'
import { mergeAnswers } from './merge-answers.ts'
import { HttpError } from './problem.ts'
import { upstreamHead } from './request-headers.ts'
import { checkReadable, wholeBody } from './respond.ts'
import type { Turn } from './turn.ts'
import type { UpstreamAnswer, UpstreamRequest } from './upstream/upstream.ts'

type Part = Readonly<Record<string, unknown>> | undefined

/**
 * Asks all backends of a route at once, and makes one answer of theirs. What comes first has no say in it: neither in what the answer holds,
 * nor in the code of a failure.
 *
 * @param backends at least one
 * @throws {HttpError} (or rejects with) `http.backend_failed`; and before anything is sent `http.body_too_large`, `http.unusable_claim`
 */
export async function aggregate(turn: Turn, admitted: Admitted, backends: readonly Backend[]): Promise<void> {
  const { head, route } = admitted
  if (head.hasBody) throw new HttpError('http.body_too_large', 'a body for several backends, which none of them gets')
  const requests = backends.map(backend => ({ backend, request: requestTo(backend, turn, admitted) }))
  // Each has its share: who answers too much must not decide about the others, and all together stay within the limit.
  const maxBytes = Math.max(1, Math.floor(route.maxJsonBytes / backends.length))

  const giveUps: (() => void)[] = []
  turn.giveUp = () => {
    for (const giveUp of giveUps.splice(0)) giveUp()
  }
  let isComplete = true
  const parts = await Promise.all(
    requests.map(async ({ backend, request }): Promise<Part> => {
      try {
        const answer = await send(backend, request, giveUps)
        return await partOf(backend, answer, maxBytes)
      } catch (cause) {
        const error = failed(backend, cause)
        if (backend.required) throw error
        isComplete = false
        turn.log('a backend was left out', error)
        return undefined
      }
    }),
  )
  if (!isComplete && parts.every(part => part === undefined)) {
    throw new HttpError('http.backend_failed', 'no backend of the route answered')
  }
  const body = mergeAnswers(parts)
  // What backends say of caches is of their parts: the whole is kept where the route says so, and never when something is missing.
  const maxAge = isComplete ? route.cacheMaxAge : undefined
  const headers = answerHeaders(
    [...said, String(isComplete), ...(maxAge === undefined ? ['Cache-Control', 'no-store'] : [])],
    {
      requestId: turn.requestId,
      length: body.length,
      replaced: false,
      token: turn.tokenHeaders,
      own: turn.headers,
      isPrivate: turn.identity !== undefined || !route.isPublic,
      maxAge,
      ownsCors: true,
    },
  )
  turn.record('permit', 200)
  if (turn.claimAnswer()) turn.answer.send(200, headers, body)
}

const said = ['Content-Type', 'application/json', 'X-Bawn-Complete']

/** As a route with one upstream would send it. */
function requestTo(backend: Backend, turn: Turn, admitted: Admitted): UpstreamRequest {
  const { request } = turn
  const forwarding = {
    method: request.method,
    peer: request.remoteAddress,
    secure: request.secure,
    requestId: turn.requestId,
    opensBodies: true,
  }
  return {
    method: request.method,
    target: upstreamTarget(turn, admitted, backend),
    head: upstreamHead(admitted.head, backend.headers, forwarding, turn.identity),
    body: { kind: 'none' },
    responseMs: admitted.route.responseMs,
  }
}

function send({ upstream }: Backend, request: UpstreamRequest, giveUps: (() => void)[]): Promise<UpstreamAnswer> {
  return new Promise((answer, fail) => {
    giveUps.push(upstream.send(request, { answer, fail }))
  })
}

/** @returns undefined where there is nothing (204) */
async function partOf({ shape }: Backend, answer: UpstreamAnswer, maxBytes: number): Promise<Part> {
  const { head, body } = answer
  if (head.status === 204) return undefined
  try {
    if (head.status < 200 || head.status > 299) throw new HttpError('http.upstream_error', `status ${head.status}`)
    checkReadable(head)
  } catch (error) {
    if (answer.whole === undefined) body.cancel()
    throw error
  }
  const document = parse(await wholeBody(answer, maxBytes))
  const part = shape(document)
  if (typeof part === 'string') throw new HttpError('http.unreadable_answer', part)
  return part
}

function parse(document: Buffer): unknown {
  try {
    return parseExact(document)
  } catch {
    throw new HttpError('http.unreadable_answer', 'it is no JSON in UTF-8, or nested too deep')
  }
}

/** One code for all: which of two failures came first must not show. */
function failed({ upstream }: Backend, cause: unknown): HttpError {
  const why = cause instanceof GatewayError ? `${cause.code}: ${cause.message}` : 'a fault'
  return new HttpError('http.backend_failed', `backend ${upstream.name}: ${why}`, { cause })
}
