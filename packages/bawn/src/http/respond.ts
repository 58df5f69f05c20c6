import { answerHeaders } from './answer-headers.ts'
import { collectBody, pump } from './body.ts'
import { answerKind } from './content-type.ts'
import { type OpenedBody, revealBody } from './field-body.ts'
import type { FieldPlan } from './field-plan.ts'
import type { Forwarded } from './forward.ts'
import { headerClass } from './header-class.ts'
import { HttpError, problem } from './problem.ts'
import { type AnswerSigning, signAnswer } from './sign-answer.ts'
import { nobody } from './state.ts'
import type { Turn } from './turn.ts'
import type { AnswerHead } from './upstream/answer-parser.ts'
import type { UpstreamAnswer } from './upstream/upstream.ts'

/**
 * Gives an upstream's answer to the client. Nothing of it leaves before its line of the trail is written: fronts see to that. Of a body with
 * opened fields it is tried here, before anybody is told that the request went well.
 *
 * @param maxJsonBytes of a body in which fields are opened
 * @returns a promise only where a body with fields has to be waited for
 */
export function respond(turn: Turn, forwarded: Forwarded, maxJsonBytes: number): void | Promise<void> {
  const { answer, plan } = forwarded
  const signing = turn.route?.signing
  if (signing !== undefined && answer.head.status === 200) {
    const document = wholeBody(answer, maxJsonBytes)
    if (document instanceof Promise) return document.then(bytes => respondSigned(turn, answer.head, signing, bytes))
    respondSigned(turn, answer.head, signing, document)
    return
  }
  if (plan === undefined) {
    passOn(turn, answer)
    return
  }
  const document = wholeBody(answer, maxJsonBytes)
  if (document instanceof Promise) return document.then(bytes => respondOpened(turn, forwarded, plan, bytes))
  respondOpened(turn, forwarded, plan, document)
}

function passOn(turn: Turn, { head, whole, body }: UpstreamAnswer): void {
  turn.record('permit', head.status)
  if (!turn.claimAnswer()) {
    turn.giveUp?.()
    return
  }
  const { answer } = turn
  if (whole !== undefined) {
    const empty = head.framing.kind === 'none'
    const length = empty ? (head.status === 204 ? undefined : head.length) : whole.length
    answer.send(head.status, headersOf(turn, head, length, false), empty ? undefined : whole)
    return
  }
  answer.head(head.status, headersOf(turn, head, head.length, false))
  const over = turn.streaming()
  pump(
    body,
    answer,
    cause => {
      over()
      if (cause !== undefined) turn.brokeOff(cause)
    },
    () => {
      over()
      turn.giveUp?.()
    },
  )
}

function headersOf(turn: Turn, head: AnswerHead, length: number | undefined, replaced: boolean): string[] {
  const { route, identity, request } = turn
  const isKept = head.status === 200 && (request.method === 'GET' || request.method === 'HEAD')
  const maxAge = isKept ? route?.cacheMaxAge : undefined
  // `public` would have caches keep what the upstream has made for a cookie, or another credential (RFC 9111 section 3.5).
  const isOfCredential = maxAge !== undefined && route?.passesCredentials === true
  return answerHeaders(head.headers, {
    requestId: turn.requestId,
    length,
    replaced,
    token: turn.tokenHeaders,
    own: turn.headers,
    isPrivate: identity !== undefined || route?.isPublic === false || isOfCredential,
    maxAge,
    ownsCors: route?.cors !== undefined,
  })
}

function respondSigned(turn: Turn, head: AnswerHead, signing: AnswerSigning, document: Buffer): void {
  checkReadable(head)
  const signed = signAnswer(document, signing, turn.state.now(), turn.identity)
  send(turn, head.status, headersOf(turn, head, signed.length, true), signed, [])
}

function respondOpened(turn: Turn, forwarded: Forwarded, plan: FieldPlan, document: Buffer): void {
  const { head } = forwarded.answer
  if (document.length === 0) {
    const length = head.framing.kind === 'none' ? undefined : 0
    send(turn, head.status, headersOf(turn, head, length, true), undefined, forwarded.sealed)
    return
  }
  const opened = open(turn, head, document, plan)
  if (opened !== undefined) {
    const headers = headersOf(turn, head, opened.bytes.length, true)
    send(turn, head.status, headers, opened.bytes, [...forwarded.sealed, ...opened.uses])
    return
  }
  // An error page or a redirect: its status is told, what it says is not.
  const instead = problem('http.upstream_error', turn.requestId, [], head.status)
  const kept: string[] = []
  for (let at = 0; at < head.headers.length; at += 2) {
    if (headerClass(head.headers[at] ?? '').kind !== 'content')
      kept.push(head.headers[at] ?? '', head.headers[at + 1] ?? '')
  }
  const headers = headersOf(turn, { ...head, headers: kept }, instead.body.length, true)
  send(turn, head.status, [...headers, 'Content-Type', 'application/problem+json'], instead.body, forwarded.sealed)
}

/** The whole body of an answer, up to a limit. @throws {HttpError} (or rejects with) `http.answer_too_large` */
export function wholeBody({ head, whole, body }: UpstreamAnswer, max: number): Buffer | Promise<Buffer> {
  const tooLarge = (): HttpError =>
    new HttpError('http.answer_too_large', `an answer of more than ${max} bytes, which has to be read`)
  if (head.framing.kind === 'none') return Buffer.alloc(0)
  if ((head.framing.kind === 'length' && head.framing.length > max) || (whole?.length ?? 0) > max) {
    body.cancel()
    throw tooLarge()
  }
  return whole ?? collectBody(body, max, tooLarge)
}

/** @returns undefined when it cannot be opened and its status says that it is no document of the route's */
function open(turn: Turn, head: AnswerHead, document: Buffer, plan: FieldPlan): OpenedBody | undefined {
  const isError = head.status >= 300
  try {
    checkReadable(head)
    return revealBody(document, plan, turn.state.catalogue, turn.identity ?? nobody)
  } catch (error) {
    if (isError && error instanceof HttpError) return undefined
    throw error
  }
}

/** @throws {HttpError} `http.unreadable_answer`: it is not said to be a whole document of JSON */
export function checkReadable(head: AnswerHead): void {
  const kind = answerKind(head.headers)
  if (kind === 'compressed')
    throw new HttpError('http.unreadable_answer', 'the upstream compressed an answer that has to be opened')
  if (head.status === 206)
    throw new HttpError('http.unreadable_answer', 'the upstream sent a part of an answer that has to be opened')
  if (kind !== 'json') {
    throw new HttpError(
      'http.unreadable_answer',
      'the upstream sent something else than JSON in UTF-8, where an answer has to be opened',
    )
  }
}

function send(
  turn: Turn,
  status: number,
  headers: readonly string[],
  body: Buffer | undefined,
  uses: Forwarded['sealed'],
): void {
  turn.record('permit', status, undefined, uses)
  if (uses.length > 0) turn.state.trail.commit()
  if (turn.claimAnswer()) turn.answer.send(status, headers, body)
}
