import type { FieldUse } from '../audit/event.ts'
import type { Admitted } from './admit.ts'
import { collectBody, limitBody } from './body.ts'
import { bodyKind } from './content-type.ts'
import type { Destination } from './destination.ts'
import { type OpenedBody, protectBody } from './field-body.ts'
import type { FieldPlan } from './field-plan.ts'
import { HttpError } from './problem.ts'
import { onlyParameters, withoutParameters } from './query.ts'
import { upstreamHead } from './request-headers.ts'
import { nobody } from './state.ts'
import type { Turn } from './turn.ts'
import type { UpstreamAnswer, UpstreamRequest } from './upstream/upstream.ts'
import type { EarlierAnswers } from './upstream-path.ts'

export interface Forwarded {
  readonly answer: UpstreamAnswer
  readonly plan: FieldPlan | undefined
  /** What was sealed on the way in. */
  readonly sealed: readonly FieldUse[]
}

/**
 * Sends an admitted request to its upstream. What goes wrong on the way ends the turn: what `upstream` and `field-body.ts` throw,
 * `http.body_too_large`, `http.media_type`.
 *
 * @param maxBodyBytes of the request's body, whatever becomes of it
 * @param answered called with the head of the answer, at most once; not when the client leaves before. What it throws, or rejects with,
 *   ends the turn as well
 * @throws {HttpError} what is known before anything was sent
 */
export function forward(
  turn: Turn,
  admitted: Admitted,
  maxBodyBytes: number,
  answered: (forwarded: Forwarded) => void | Promise<void>,
): void {
  const { head, path, route } = admitted
  const { request } = turn
  const max = Math.min(maxBodyBytes, route.maxBodyBytes)
  if (head.contentLength !== undefined && head.contentLength > max) throw tooLarge(max)
  const plan = route.fields(path.segments)
  const target = upstreamTarget(turn, admitted)
  const text = upstreamHead(
    head,
    route.headers,
    {
      method: request.method,
      peer: request.remoteAddress,
      secure: request.secure,
      requestId: turn.requestId,
      opensBodies: plan !== undefined || route.signing !== undefined || route.responseGate?.readsBody === true,
      hint: turn.hint,
    },
    turn.identity,
  )

  const send = (body: UpstreamRequest['body'], sealed: readonly FieldUse[]): Exceed => {
    // The client may have left while its token was renewed, or its body sealed.
    if (turn.isOver) return () => {}
    let settled = false
    const fail = (error: unknown): void => {
      if (settled) return
      settled = true
      turn.fail(error)
    }
    const answer = (got: UpstreamAnswer): void => {
      if (settled) return
      settled = true
      try {
        const waiting = answered({ answer: got, plan, sealed })
        if (waiting !== undefined) waiting.catch(error => turn.fail(error))
      } catch (error) {
        turn.fail(error)
      }
    }
    turn.giveUp = route.upstream.send(
      { method: request.method, target, head: text, body, responseMs: route.responseMs },
      { answer, fail },
    )
    return error => {
      // The answer began before the request was over: what is left of it can only be cut.
      if (settled) turn.cut()
      else fail(error)
    }
  }
  if (!head.hasBody) {
    send(nothing, [])
  } else if (plan?.seals === true) {
    sealBody(turn, admitted, plan, max)
      .then(({ bytes, uses }) => {
        send({ kind: 'bytes', bytes }, uses)
      })
      .catch(error => turn.fail(error))
  } else {
    let exceed: Exceed | undefined
    const source = limitBody(request.body, max, () => exceed?.(tooLarge(max)))
    exceed = send({ kind: 'stream', source, length: head.contentLength }, [])
  }
}

/** Path and query, behind the upstream's prefix. */
export function upstreamTarget(
  turn: Turn,
  admitted: Admitted,
  destination: Destination = admitted.route,
  earlier?: EarlierAnswers,
): string {
  const { path, route } = admitted
  const { upstreamPath, headers } = destination
  const named = upstreamPath === undefined ? path.path : upstreamPath(path, turn.identity, earlier)
  const query = withoutParameters(path.query, headers.carriers.query)
  return `${named}${route.query === undefined ? query : onlyParameters(query, route.query)}`
}

type Exceed = (error: HttpError) => void

const nothing: UpstreamRequest['body'] = { kind: 'none' }

/** The request's body with the values sealed that its upstream holds sealed. Rejects with what {@link forward} says. */
export async function sealBody(
  turn: Turn,
  { head, route }: Admitted,
  plan: FieldPlan,
  maxBodyBytes: number,
): Promise<OpenedBody> {
  const encoding = head.contentEncoding?.trim().toLowerCase() ?? 'identity'
  if (bodyKind(head.contentType) !== 'json' || encoding !== 'identity') {
    throw new HttpError('http.media_type', 'a body that cannot be opened, on a route with fields')
  }
  const max = Math.min(maxBodyBytes, route.maxJsonBytes)
  if (head.contentLength !== undefined && head.contentLength > max) throw tooLarge(max)
  const document = await collectBody(turn.request.body, max, () => tooLarge(max))
  return protectBody(document, plan, turn.state.catalogue, turn.identity ?? nobody)
}

export function tooLarge(max: number): HttpError {
  return new HttpError('http.body_too_large', `a body of more than ${max} bytes`)
}
