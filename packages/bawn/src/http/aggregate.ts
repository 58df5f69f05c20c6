import type { FieldUse } from '../audit/event.ts'
import { parseJson } from '../authn/json.ts'
import { GatewayError } from '../error.ts'
import type { Admitted } from './admit.ts'
import { answerHeaders } from './answer-headers.ts'
import { backendBody, backendRequest } from './backend-request.ts'
import type { Aggregation, Backend } from './destination.ts'
import { isJsonObject, parseExact, scalarText } from './exact-json.ts'
import { createRequestFacts, createResponseFacts } from './facts.ts'
import { revealBody } from './field-body.ts'
import { mergeAnswers, type Shaped } from './merge-answers.ts'
import { HttpError } from './problem.ts'
import { checkReadable, wholeBody } from './respond.ts'
import { signAnswer } from './sign-answer.ts'
import { nobody } from './state.ts'
import type { Turn } from './turn.ts'
import type { UpstreamAnswer, UpstreamRequest } from './upstream/upstream.ts'
import type { EarlierAnswers } from './upstream-path.ts'

/** What became of a backend. @property shaped nothing where it had nothing to say (204), or was left out */
interface Outcome {
  readonly shaped: Shaped | undefined
  readonly isLeftOut: boolean
}

/**
 * Asks the backends of a route, at once or one after the other, and makes one answer of theirs. What comes first has no say in it: neither in
 * what the answer holds, nor in the code of a failure.
 *
 * @param maxBodyBytes of the request's body
 * @throws {HttpError} (or rejects with) `http.backend_failed`; before anything is sent `http.body_too_large`, `http.unusable_claim`, and
 *   what `field-body.ts` throws
 */
export async function aggregate(
  turn: Turn,
  admitted: Admitted,
  { backends, isSequential }: Aggregation,
  maxBodyBytes: number,
): Promise<void> {
  const { route } = admitted
  const asked = backends.map(backend => ({ backend, request: backendRequest(turn, admitted, backend) }))
  const body = await backendBody(turn, admitted, backends, maxBodyBytes)
  // Who has left meanwhile gets nothing done: nobody would give it up.
  if (turn.isOver) return

  const calls = new Calls(route.responseMs)
  turn.giveUp = () => calls.end()
  const answered = new Map<string, unknown>()
  const earlier: EarlierAnswers = (name, path) => memberText(answered.get(name), path)
  const ask = async ({ backend, request }: (typeof asked)[number]): Promise<Outcome> => {
    try {
      const shaped = await calls.ask(backend, request(body?.bytes, earlier))
      if (shaped !== undefined && backend.answerName !== undefined) answered.set(backend.answerName, shaped.target)
      return { shaped, isLeftOut: false }
    } catch (cause) {
      const error = failed(backend, cause)
      if (backend.required) throw error
      turn.log('a backend was left out', error)
      return { shaped: undefined, isLeftOut: true }
    }
  }
  const outcomes: Outcome[] = []
  if (isSequential) {
    for (const one of asked) {
      outcomes.push(await ask(one))
      if (turn.isOver) return
    }
  } else outcomes.push(...(await Promise.all(asked.map(ask))))

  const isComplete = outcomes.every(({ isLeftOut }) => !isLeftOut)
  if (!isComplete && outcomes.every(({ shaped }) => shaped === undefined)) {
    throw new HttpError('http.backend_failed', 'no backend of the route answered')
  }
  const parts = backends.map(({ group }, at) => ({ group, members: outcomes[at]?.shaped?.members }))
  answer(turn, admitted, mergeAnswers(parts), isComplete, body?.uses ?? [])
}

/** As for the answer of one upstream: policies see it with its fields sealed, then it is signed, or its fields are shown as they may be. */
function answer(
  turn: Turn,
  { head, path, route }: Admitted,
  merged: Buffer,
  isComplete: boolean,
  sealed: readonly FieldUse[],
): void {
  const { responseGate, signing } = route
  if (responseGate !== undefined) {
    const request = createRequestFacts(turn.request, head, path)
    const response = createResponseFacts(200, ['Content-Type', 'application/json'], parseJson(merged))
    const decision = responseGate.decide(turn.identity, { door: 'http', verb: turn.request.method, request, response })
    if (decision.kind === 'deny') {
      turn.refuse({ code: 'policy.withheld', rule: decision.reason ?? decision.rule, decision: 'deny' })
      return
    }
  }
  const plan = route.fields(path.segments)
  const opened = plan && revealBody(merged, plan, turn.state.catalogue, turn.identity ?? nobody)
  const body =
    signing === undefined ? (opened?.bytes ?? merged) : signAnswer(merged, signing, turn.state.now(), turn.identity)
  // What backends say of caches is of their parts: the whole is kept where the route says so, and never when something is missing.
  const maxAge = isComplete && turn.request.method === 'GET' ? route.cacheMaxAge : undefined
  const said = ['Content-Type', 'application/json', 'X-Bawn-Complete', String(isComplete)]
  const headers = answerHeaders([...said, ...(maxAge === undefined ? ['Cache-Control', 'no-store'] : [])], {
    requestId: turn.requestId,
    length: body.length,
    replaced: opened !== undefined || signing !== undefined,
    token: turn.tokenHeaders,
    own: turn.headers,
    isPrivate: turn.identity !== undefined || !route.isPublic || route.passesCredentials,
    maxAge,
    ownsCors: true,
  })
  const uses = [...sealed, ...(opened?.uses ?? [])]
  turn.record('permit', 200, undefined, uses)
  if (uses.length > 0) turn.state.trail.commit()
  if (turn.claimAnswer()) turn.answer.send(200, headers, body)
}

/** The requests that are under way for one answer, and the time that is left for all of them. */
class Calls {
  readonly #until: number
  readonly #ends = new Set<() => void>()
  #isLate = false

  /** @param totalMs until all answers are whole; `undefined`: as long as upstreams take */
  constructor(totalMs: number | undefined) {
    this.#until = totalMs === undefined ? Infinity : performance.now() + totalMs
  }

  /** Nothing of what was asked comes any more, neither an answer nor a failure. */
  end(): void {
    for (const end of [...this.#ends]) end()
  }

  /** @returns undefined where there is nothing (204). Rejects with what is wrong with the answer */
  async ask(backend: Backend, request: UpstreamRequest): Promise<Shaped | undefined> {
    const left = this.#until - performance.now()
    // Who is asked all the same writes something of which nobody hears.
    if (this.#isLate || left <= 0) throw new HttpError('http.upstream_timeout', 'no time was left to ask')
    const ms = Math.min(backend.responseMs ?? Infinity, Math.max(1, left))
    const { promise: late, reject } = Promise.withResolvers<never>()
    // An answer that is in time leaves it behind.
    late.catch(() => {})
    let giveUp: (() => void) | undefined
    const expire = (): void => {
      // A timer may be early by a part of a millisecond.
      this.#isLate ||= ms >= left
      giveUp?.()
      reject(new HttpError('http.upstream_timeout', 'its answer was not whole in time'))
    }
    const timer = ms === Infinity ? undefined : setTimeout(expire, ms)
    const end = (): void => {
      clearTimeout(timer)
      this.#ends.delete(end)
      giveUp?.()
    }
    this.#ends.add(end)
    const whole = new Promise<UpstreamAnswer>((resolve, fail) => {
      const responseMs = ms === Infinity ? undefined : ms
      giveUp = backend.upstream.send({ ...request, responseMs }, { answer: resolve, fail })
    }).then(answer => shapedOf(backend, answer))
    try {
      return await Promise.race([whole, late])
    } finally {
      clearTimeout(timer)
      this.#ends.delete(end)
    }
  }
}

async function shapedOf({ shape, maxBytes }: Backend, answer: UpstreamAnswer): Promise<Shaped | undefined> {
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
  const shaped = shape(document)
  if (typeof shaped === 'string') throw new HttpError('http.unreadable_answer', shaped)
  return shaped
}

function parse(document: Buffer): unknown {
  try {
    return parseExact(document)
  } catch {
    throw new HttpError('http.unreadable_answer', 'it is no JSON in UTF-8, or nested too deep')
  }
}

/** Of an answer of megabytes, what could be a part of a request. */
const maxMemberLength = 1_024

/** A dotted path; a number is a place in a list. @returns undefined where there is no text, number or boolean, or a long one */
function memberText(document: unknown, path: string): string | undefined {
  let value = document
  for (const name of path.split('.')) {
    if (Array.isArray(value)) value = /^(?:0|[1-9][0-9]*)$/.test(name) ? value[Number(name)] : undefined
    else value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  }
  const text = scalarText(value)
  return text === undefined || text.length > maxMemberLength ? undefined : text
}

/** One code for all: which of two failures came first must not show. */
function failed({ upstream }: Backend, cause: unknown): HttpError {
  const why = cause instanceof GatewayError ? `${cause.code}: ${cause.message}` : 'a fault'
  return new HttpError('http.backend_failed', `backend ${upstream.name}: ${why}`, { cause })
}
