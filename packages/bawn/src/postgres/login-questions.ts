import { createIdentity, identityOfAccount } from '../authn/identity.ts'
import { formatOauthbearerFailure, oauthbearerDummy, oauthbearerName, parseOauthbearer } from '../authn/oauthbearer.ts'
import type { PluggedMechanism } from '../authn/option.ts'
import { formatScramNonce } from '../authn/scram.ts'
import { takeRandom } from '../random.ts'
import { PostgresError } from './failure.ts'
import { failed, isPrivate, judge, type LoginContext, type LoginResult, throttled } from './login-result.ts'
import type { LoginQuestion, StartupRequest } from './startup-settings.ts'
import type { DoorState } from './state.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { authentication, back, front } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

const maxLoginMessageBytes = 65_535

/**
 * Asks one question and judges the answer.
 *
 * @throws {WireError | ConnectionLost} when the client breaks the protocol or leaves; whatever a mechanism throws that cannot decide
 */
export function ask(
  question: LoginQuestion,
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  switch (question) {
    case 'scram':
      return askScram(state, request, context, rule)
    case 'password':
      return askPassword(state, request, context, rule)
    case 'jwt':
      return askJwt(state, request, context, rule)
    case 'token':
      return askToken(state, request, context, rule)
    case 'oauthbearer':
      return askOauthbearer(state, request, context, rule)
  }
  return askPlugged(question, state, request, context, rule)
}

/** Judges where the limits permit it. A try is given back when it succeeds, and when it could not be judged. */
async function limited(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
  judgement: () => LoginResult | Promise<LoginResult>,
): Promise<LoginResult> {
  const attempt = await state.throttle.attempt(request.user, context.address)
  if (attempt.kind === 'throttled') return throttled(request, rule, attempt.retryAfterMs)
  try {
    const result = await judgement()
    if (result.kind === 'identified') attempt.succeeded()
    return result
  } catch (error) {
    if (!(error instanceof WireError)) attempt.undecided()
    throw error
  }
}

async function askScram(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  if (state.scram === undefined) return failed(request, rule, 'password', 'unknown-user')
  const nonce = formatScramNonce(takeRandom(18))
  const keepKeys = state.databases.get(request.database)?.login?.kind === 'verifier'
  const exchange = await state.scram.start(request.user, { channelBinding: context.channelBinding, nonce, keepKeys })
  const { mechanism, data } = await saslInitial(context, exchange.mechanisms)
  const first = exchange.first(mechanism, data)
  if (first.kind === 'malformed') throw new WireError(`malformed SCRAM message: ${first.detail}`)
  if (first.kind === 'rejected') return failed(request, rule, 'password', first.reason)
  context.socket.write(saslMessage(authentication.saslContinue, first.message))

  const proof = await passwordMessage(context)
  return limited(state, request, context, rule, () => {
    const final = exchange.final(proof)
    if (final.kind === 'malformed') throw new WireError(`malformed SCRAM message: ${final.detail}`)
    if (final.kind === 'rejected') return failed(request, rule, 'password', final.reason)
    const serverFinal = saslMessage(authentication.saslFinal, final.serverFinal)
    return { kind: 'identified', identity: final.identity, rule, serverFinal, keys: final.keys }
  })
}

/** The password itself, for accounts that have no SCRAM verifier and for clients that cannot speak SCRAM. */
async function askPassword(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  if (state.password === undefined) return failed(request, rule, 'password', 'unknown-user')
  if (!isPrivate(context)) return needsTls('a password in clear', rule)
  const password = await askInClear(context)
  const outcome = await state.password.check(request.user, password, context.address)
  switch (outcome.kind) {
    case 'throttled':
      return throttled(request, rule, outcome.retryAfterMs)
    case 'wrong':
      return failed(request, rule, 'password', outcome.reason)
    case 'correct': {
      const identity = identityOfAccount(outcome.account, outcome.source, 'password')
      return judge({ kind: 'identified', identity }, request, rule, 'password')
    }
  }
}

/** A token of an issuer as the password. Nobody guesses a signature, so the limits of passwords have no say in it. */
async function askJwt(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  const { jwt } = state
  if (jwt === undefined) return failed(request, rule, 'password', 'untrusted')
  if (!isPrivate(context)) return needsTls('a token as password', rule)
  const token = await askInClear(context)
  return judge(await jwt.authenticate(token), request, rule, 'password')
}

/** A token of ours as the password. Nobody guesses 256 bits either; what has not its form costs no look at the store. */
async function askToken(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  const { token } = state
  if (token === undefined) return failed(request, rule, 'password', 'untrusted')
  if (!isPrivate(context)) return needsTls('a token as password', rule)
  const password = await askInClear(context)
  const { user } = request
  const { address, tls } = context
  const outcome = await token.authenticate({ user, password, address, tls, now: state.now() })
  if (outcome.kind === 'throttled') return throttled(request, rule, outcome.retryAfterMs)
  return judge(outcome, request, rule, 'password')
}

/** What a plug-in takes for a proof, as the password. */
async function askPlugged(
  mechanism: PluggedMechanism,
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  const plugged = state.plugged.get(mechanism)
  if (plugged === undefined) return failed(request, rule, 'password', 'untrusted')
  if (!isPrivate(context)) return needsTls(`a proof for ${mechanism} as password`, rule)
  const password = await askInClear(context)
  return limited(state, request, context, rule, async () => {
    const { user } = request
    const { address, tls } = context
    const outcome = await plugged.authenticate({ user, password, address, tls, now: state.now() })
    if (outcome.kind === 'throttled') return throttled(request, rule, outcome.retryAfterMs)
    return judge(outcome, request, rule, 'password')
  })
}

/** RFC 7628: a token, or the question where to get one. */
async function askOauthbearer(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  const { jwt } = state
  if (jwt === undefined) return failed(request, rule, 'OAuth bearer', 'untrusted')
  // RFC 7628 section 3: TLS is a must, and libpq asks for it on the machine itself too.
  if (!context.tls) return needsTls('OAUTHBEARER', rule)
  const { mechanism, data } = await saslInitial(context, [oauthbearerName])
  if (mechanism !== oauthbearerName) throw new WireError('a SASL mechanism that was not offered')
  const message = parseOauthbearer(data)
  data.fill(0)
  if (message.kind === 'malformed') throw new WireError(`malformed OAUTHBEARER message: ${message.detail}`)
  const outcome =
    message.kind === 'discovery'
      ? failed(request, rule, 'OAuth bearer', 'discovery')
      : judge(await jwt.authenticate(message.token), request, rule, 'OAuth bearer')
  const result = outcome.kind === 'identified' ? { ...outcome, identity: byOauthbearer(outcome.identity) } : outcome
  if (result.kind === 'failed' && state.tokenSource !== undefined) {
    const where = Buffer.from(formatOauthbearerFailure(state.tokenSource))
    context.socket.write(saslMessage(authentication.saslContinue, where))
    // The client says that it has seen it. Many leave instead; whoever had a token has failed all the same, and the trail says so.
    const answer = await passwordMessage(context).catch((cause: unknown) => {
      if (message.kind === 'discovery') throw cause
    })
    if (message.kind === 'discovery' && answer?.toString('latin1') !== oauthbearerDummy) {
      throw new WireError('malformed OAUTHBEARER message: no 0x01')
    }
  }
  return result
}

function byOauthbearer(identity: Extract<LoginResult, { kind: 'identified' }>['identity']) {
  return createIdentity({ ...identity, mechanism: 'oauthbearer' })
}

function needsTls(what: string, rule: string): LoginResult {
  const error = new PostgresError('postgres.login_refused', `${what} needs TLS`)
  return { kind: 'failed', error, rule, reason: 'untrusted' }
}

async function askInClear(context: LoginContext): Promise<string> {
  context.socket.write(new MessageBuilder().begin(back.authentication).int32(authentication.cleartext).end().take())
  const body = await passwordMessage(context)
  try {
    const reader = new BodyReader(...whole(body))
    const secret = reader.cstring()
    reader.finish()
    return secret
  } finally {
    body.fill(0)
  }
}

async function saslInitial(
  context: LoginContext,
  mechanisms: readonly string[],
): Promise<{ readonly mechanism: string; readonly data: Buffer }> {
  const offer = new MessageBuilder().begin(back.authentication).int32(authentication.sasl)
  for (const mechanism of mechanisms) offer.cstring(mechanism)
  context.socket.write(offer.uint8(0).end().take())
  const initial = new BodyReader(...whole(await passwordMessage(context)))
  const mechanism = initial.cstring()
  const length = initial.int32()
  if (length < 0) throw new WireError('SASL without an initial response')
  const data = initial.bytes(length)
  initial.finish()
  return { mechanism, data }
}

async function passwordMessage(context: LoginContext): Promise<Buffer> {
  const message = await context.input.readMessage(maxLoginMessageBytes)
  if (message.type !== front.password) throw new WireError('expected a password message')
  return message.body
}

function whole(body: Buffer): [buffer: Buffer, start: number, end: number] {
  return [body, 0, body.length]
}

function saslMessage(code: number, data: Uint8Array): Buffer {
  return new MessageBuilder().begin(back.authentication).int32(code).bytes(data).end().take()
}
