import { parseJson } from '../authn/json.ts'
import type { Gate } from '../policy/policy.ts'
import type { Admitted } from './admit.ts'
import { answerKind } from './content-type.ts'
import { createRequestFacts, createResponseFacts } from './facts.ts'
import type { Forwarded } from './forward.ts'
import { respond, wholeBody } from './respond.ts'
import type { Turn } from './turn.ts'
import type { AnswerHead } from './upstream/answer-parser.ts'

/**
 * Gives an upstream's answer to the client where the policies of `response_allow` permit it; else 403, and nothing of the answer leaves. By
 * then the upstream has done what it was asked.
 */
export function respondIfPermitted(
  turn: Turn,
  admitted: Admitted,
  gate: Gate,
  forwarded: Forwarded,
): void | Promise<void> {
  const { maxJsonBytes } = admitted.route
  const settle = (body: Buffer | undefined): void | Promise<void> => {
    const { head } = forwarded.answer
    const action = {
      door: 'http',
      verb: turn.request.method,
      request: createRequestFacts(turn.request, admitted.head, admitted.path),
      response: createResponseFacts(head.status, head.headers, body && documentOf(head, body)),
    } as const
    const decision = gate.decide(turn.identity, action)
    if (decision.kind === 'permit') {
      const answer = body === undefined ? forwarded.answer : { ...forwarded.answer, whole: body }
      return respond(turn, { ...forwarded, answer }, maxJsonBytes)
    }
    if (body === undefined) turn.giveUp?.()
    turn.refuse({ code: 'policy.withheld', rule: decision.reason ?? decision.rule, decision: 'deny' })
  }
  if (gate.readsBody !== true) return settle(undefined)
  const body = wholeBody(forwarded.answer, maxJsonBytes)
  return body instanceof Promise ? body.then(settle) : settle(body)
}

/** As it came from the upstream: values of fields are still sealed. @returns undefined for what is not exactly one document of JSON */
function documentOf({ headers, framing }: AnswerHead, body: Buffer): unknown {
  return framing.kind !== 'none' && answerKind(headers) === 'json' ? parseJson(body) : undefined
}
