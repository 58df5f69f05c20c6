import type { FieldUse } from '../audit/event.ts'
import type { Admitted } from './admit.ts'
import { collectBody, limitBody } from './body.ts'
import { bodyKind } from './content-type.ts'
import { protectBody } from './field-body.ts'
import type { FieldPlan } from './field-plan.ts'
import { HttpError } from './problem.ts'
import { withoutParameters } from './query.ts'
import { upstreamHead } from './request-headers.ts'
import { nobody } from './state.ts'
import type { Turn } from './turn.ts'
import type { UpstreamAnswer, UpstreamRequest } from './upstream/upstream.ts'

export interface Forwarded {
  readonly answer: UpstreamAnswer
  readonly plan: FieldPlan | undefined
  /** What was sealed on the way in. */
  readonly sealed: readonly FieldUse[]
}

/**
 * Sends an admitted request to its upstream.
 *
 * @param maxBodyBytes of the request's body, whatever becomes of it
 * @returns with the head of the answer; never settles when the client leaves before
 * @throws {HttpError} what `upstream` and `field-body.ts` throw, `http.body_too_large`, `http.media_type`
 */
export async function forward(turn: Turn, admitted: Admitted, maxBodyBytes: number): Promise<Forwarded> {
  const { head, path, route } = admitted
  const { request } = turn
  if (head.contentLength !== undefined && head.contentLength > maxBodyBytes) throw tooLarge(maxBodyBytes)
  const plan = route.fields(path.segments)
  const text = upstreamHead(
    head,
    route.headers,
    {
      method: request.method,
      target: `${route.upstream.prefix}${path.path}${withoutParameters(path.query, route.headers.carriers.query)}`,
      host: route.upstream.host,
      peer: request.remoteAddress,
      secure: request.secure,
      requestId: turn.requestId,
      opensBodies: plan !== undefined,
    },
    turn.identity,
  )

  let sealed: readonly FieldUse[] = []
  let body: UpstreamRequest['body'] = { kind: 'none' }
  let exceeded: ((error: HttpError) => void) | undefined
  if (head.hasBody && plan?.seals === true) {
    const opened = await seal(turn, admitted, plan, maxBodyBytes)
    sealed = opened.uses
    body = { kind: 'bytes', bytes: opened.bytes }
  } else if (head.hasBody) {
    const source = limitBody(request.body, maxBodyBytes, () => exceeded?.(tooLarge(maxBodyBytes)))
    body = { kind: 'stream', source, length: head.contentLength }
  }
  const answer = await new Promise<UpstreamAnswer>((resolve, reject) => {
    exceeded = reject
    turn.giveUp = route.upstream.send({ method: request.method, head: text, body }, { answer: resolve, fail: reject })
  })
  return { answer, plan, sealed }
}

async function seal(turn: Turn, { head, route }: Admitted, plan: FieldPlan, maxBodyBytes: number) {
  const encoding = head.contentEncoding?.trim().toLowerCase() ?? 'identity'
  if (bodyKind(head.contentType) !== 'json' || encoding !== 'identity') {
    throw new HttpError('http.media_type', 'a body that cannot be opened, on a route with fields')
  }
  const max = Math.min(maxBodyBytes, route.maxJsonBytes)
  if (head.contentLength !== undefined && head.contentLength > max) throw tooLarge(max)
  const document = await collectBody(turn.request.body, max, () => tooLarge(max))
  return protectBody(document, plan, turn.state.catalogue, turn.identity ?? nobody)
}

function tooLarge(max: number): HttpError {
  return new HttpError('http.body_too_large', `a body of more than ${max} bytes`)
}
