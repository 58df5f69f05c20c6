import { randomBytes, type X509Certificate } from 'node:crypto'
import { BlockList, type Socket } from 'node:net'
import type { Identity, Outcome, RejectionReason } from '../authn/identity.ts'
import type { UsableMechanism } from '../authn/option.ts'
import { formatScramNonce } from '../authn/scram.ts'
import { type ByteInput, ConnectionLost } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import type { StartupRequest } from './startup-settings.ts'
import type { DoorState } from './state.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { authentication, back, front } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

/** What is known of the connection when the question is asked. */
export interface LoginContext {
  readonly input: ByteInput
  readonly socket: Socket
  readonly address: string
  readonly tls: boolean
  /** Verified against the listener's `client_ca`; never anything else. */
  readonly certificate: X509Certificate | undefined
  /** Hash of our own certificate, inside TLS (RFC 5929 section 4). */
  readonly channelBinding: Uint8Array | undefined
}

export type LoginResult =
  /** `serverFinal` goes out before anything else: it proves us to the client. */
  | { readonly kind: 'identified'; readonly identity: Identity; readonly rule: string; readonly serverFinal: Buffer }
  /** `reason` is for the trail; `error` for the client, and the same for every reason that could tell users apart. */
  | {
      readonly kind: 'failed'
      readonly error: PostgresError
      readonly rule: string
      readonly reason: RejectionReason | 'no-rule' | 'undecided'
    }

const maxLoginMessageBytes = 65_535

/**
 * Asks the one question that the first matching host rule leads to, and judges the answer.
 *
 * A verified certificate is taken without a question where the rule uses certificates. Otherwise the first of `scram` and `jwt` in
 * the rule decides, unless the client asked for the other by `-c bawn.login=`.
 *
 * @throws {WireError | ConnectionLost} when the client breaks the protocol or leaves
 */
export async function login(state: DoorState, request: StartupRequest, context: LoginContext): Promise<LoginResult> {
  const { user, database } = request
  const match = state.hostRules.match({ door: 'postgres', user, address: context.address, tls: context.tls, database })
  if (match.kind === 'none') {
    const error = new PostgresError(
      'postgres.login_refused',
      `no host rule permits user "${shown(user)}", database "${shown(database)}", ${context.tls ? 'TLS' : 'no TLS'}`,
    )
    return { kind: 'failed', error, rule: 'no host rule', reason: 'no-rule' }
  }
  const { rule, use } = match
  try {
    if (use.includes('certificate') && context.certificate !== undefined && state.certificate !== undefined) {
      return judge(
        await state.certificate.authenticate(context.certificate, request.user, state.now()),
        request,
        rule,
        'certificate',
      )
    }
    switch (question(use, request.login)) {
      case 'scram':
        return await askScram(state, request, context, rule)
      case 'jwt':
        return await askToken(state, request, context, rule)
      case undefined:
        return failed(request, rule, use.includes('certificate') ? 'certificate' : undefined, 'untrusted')
    }
  } catch (cause) {
    if (cause instanceof WireError || cause instanceof ConnectionLost) throw cause
    const error = new PostgresError('postgres.login_undecided', 'the identity cannot be verified at this time', {
      cause,
    })
    return { kind: 'failed', error, rule, reason: 'undecided' }
  }
}

/** The one question; `undefined` when the rule knows only certificates. */
function question(use: readonly UsableMechanism[], wish: 'scram' | 'jwt' | undefined): 'scram' | 'jwt' | undefined {
  const asking = use.filter(mechanism => mechanism === 'scram' || mechanism === 'jwt')
  return wish !== undefined && asking.includes(wish) ? wish : asking[0]
}

async function askScram(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  if (state.scram === undefined) return failed(request, rule, undefined, 'unknown-user')
  const nonce = formatScramNonce(randomBytes(18))
  const exchange = await state.scram.start(request.user, { channelBinding: context.channelBinding, nonce })
  const offer = new MessageBuilder().begin(back.authentication).int32(authentication.sasl)
  for (const mechanism of exchange.mechanisms) offer.cstring(mechanism)
  context.socket.write(offer.uint8(0).end().take())

  const initial = new BodyReader(...whole(await passwordMessage(context)))
  const mechanism = initial.cstring()
  const length = initial.int32()
  if (length < 0) throw new WireError('SASL without an initial response')
  const first = exchange.first(mechanism, initial.bytes(length))
  initial.finish()
  if (first.kind === 'malformed') throw new WireError(`malformed SCRAM message: ${first.detail}`)
  if (first.kind === 'rejected') return failed(request, rule, undefined, first.reason)
  context.socket.write(saslMessage(authentication.saslContinue, first.message))

  const final = exchange.final(await passwordMessage(context))
  if (final.kind === 'malformed') throw new WireError(`malformed SCRAM message: ${final.detail}`)
  if (final.kind === 'rejected') return failed(request, rule, undefined, final.reason)
  return {
    kind: 'identified',
    identity: final.identity,
    rule,
    serverFinal: saslMessage(authentication.saslFinal, final.serverFinal),
  }
}

/** A token as the password: it would be readable on the way, so only inside TLS or on the machine itself. */
async function askToken(
  state: DoorState,
  request: StartupRequest,
  context: LoginContext,
  rule: string,
): Promise<LoginResult> {
  if (state.jwt === undefined) return failed(request, rule, undefined, 'untrusted')
  if (!context.tls && !isLoopback(context.address)) {
    const error = new PostgresError('postgres.login_refused', 'a token as password needs TLS')
    return { kind: 'failed', error, rule, reason: 'untrusted' }
  }
  context.socket.write(new MessageBuilder().begin(back.authentication).int32(authentication.cleartext).end().take())
  const body = await passwordMessage(context)
  let token: string
  try {
    const reader = new BodyReader(...whole(body))
    token = reader.cstring()
    reader.finish()
  } finally {
    body.fill(0)
  }
  return judge(await state.jwt.authenticate(token), request, rule, undefined)
}

function judge(outcome: Outcome, request: StartupRequest, rule: string, by: 'certificate' | undefined): LoginResult {
  switch (outcome.kind) {
    case 'identified':
      // The name that the client states is what host rules were matched by: it must be its own.
      if (outcome.identity.id !== request.user) return failed(request, rule, by, 'name-mismatch')
      return { kind: 'identified', identity: outcome.identity, rule, serverFinal: Buffer.alloc(0) }
    case 'absent':
      return failed(request, rule, by, 'untrusted')
    case 'rejected':
      return failed(request, rule, by, outcome.reason)
  }
}

function failed(
  { user }: StartupRequest,
  rule: string,
  by: 'certificate' | undefined,
  reason: RejectionReason,
): LoginResult {
  const error =
    by === 'certificate'
      ? new PostgresError('postgres.login_refused', `certificate authentication failed for user "${shown(user)}"`)
      : new PostgresError('postgres.login_failed', `password authentication failed for user "${shown(user)}"`)
  return { kind: 'failed', error, rule, reason }
}

/** A name from the client inside a message of ours. */
function shown(name: string): string {
  return name.length > 128 ? `${name.slice(0, 128)}…` : name
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

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

function isLoopback(address: string): boolean {
  return loopback.check(
    address.replace(/^::ffff:/, ''),
    address.includes(':') && !address.startsWith('::ffff:') ? 'ipv6' : 'ipv4',
  )
}
