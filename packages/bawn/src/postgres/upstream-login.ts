import { formatScramNonce } from '../authn/scram.ts'
import type { ScramCredential } from '../authn/scram-client.ts'
import { takeRandom } from '../random.ts'
import type { ByteInput, Message } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import type { UpstreamTarget } from './state.ts'
import { peerBinding } from './upstream-certificate.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { parseErrorResponse, type RawErrorFields } from './wire/error-response.ts'
import { authentication, back, front } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

/** Of a message before the session begins, in bytes. */
export const maxLoginMessageBytes = 65_535

/** The server's own words, which are for the client: too many connections, starting up, no such database. */
export class UpstreamRefusal extends Error {
  readonly fields: RawErrorFields

  constructor(fields: RawErrorFields) {
    super(`PostgreSQL: ${fields.get('C') ?? ''} ${fields.get('M') ?? ''}`)
    this.fields = fields
  }
}

/** Who logs in to PostgreSQL, and by what. */
export interface UpstreamLogin {
  readonly user: string
  /** `undefined`: there is no password; a certificate has to do. */
  readonly scram: ScramCredential | undefined
  /** Sent inside TLS only, and only where the server asks for it in clear. */
  readonly password: string | undefined
}

/**
 * Answers what the server asks until it says AuthenticationOk.
 *
 * @throws {PostgresError} `postgres.upstream_login`
 * @throws {UpstreamRefusal | AuthnError | WireError | ConnectionLost}
 */
export async function authenticate(input: ByteInput, target: UpstreamTarget, login: UpstreamLogin): Promise<void> {
  let bound = false
  while (true) {
    const message = await input.readMessage(maxLoginMessageBytes)
    if (message.type === back.error) throw refusal(message)
    if (message.type === back.notice || message.type === back.negotiateVersion) continue
    if (message.type !== back.authentication) throw new WireError('expected an authentication request')
    const body = new BodyReader(message.body, 0, message.body.length)
    const code = body.int32()
    const mustBind = target.tls?.channelBinding === 'require'
    if (code === authentication.ok) {
      if (!mustBind || bound) return
      throw new PostgresError(
        'postgres.upstream_login',
        'PostgreSQL did not ask for the channel binding that is required',
      )
    }
    if (code === authentication.sasl && login.scram !== undefined) {
      bound = await scram(input, body, target, login.scram)
    } else if (
      code === authentication.cleartext &&
      target.tls !== undefined &&
      !mustBind &&
      login.password !== undefined
    ) {
      input.socket.write(new MessageBuilder().begin(front.password).cstring(login.password).end().take())
    } else if (login.scram === undefined) {
      throw new PostgresError('postgres.upstream_login', 'PostgreSQL asks for a password, and this login has none')
    } else {
      throw new PostgresError(
        'postgres.upstream_login',
        code === authentication.md5
          ? 'PostgreSQL asks for md5: set password_encryption = scram-sha-256 and the password anew'
          : `PostgreSQL asks for authentication method ${code}, which the gateway does not do here`,
      )
    }
  }
}

/** @returns whether it was bound to the channel */
async function scram(
  input: ByteInput,
  body: BodyReader,
  target: UpstreamTarget,
  credential: ScramCredential,
): Promise<boolean> {
  const offered: string[] = []
  for (let name = body.cstring(); name !== ''; name = body.cstring()) offered.push(name)
  const socket = input.socket
  const channelBinding = target.tls === undefined ? undefined : peerBinding(socket)
  const nonce = formatScramNonce(takeRandom(18))
  const mustBind = target.tls?.channelBinding === 'require'
  const client = credential.start({ offered, tls: target.tls !== undefined, channelBinding, nonce, mustBind })
  const initial = new MessageBuilder().begin(front.password).cstring(client.mechanism)
  socket.write(initial.int32(client.first.length).bytes(client.first).end().take())
  const answer = await client.respond(await saslData(input, authentication.saslContinue))
  socket.write(new MessageBuilder().begin(front.password).bytes(answer).end().take())
  client.finish(await saslData(input, authentication.saslFinal))
  return client.mechanism === 'SCRAM-SHA-256-PLUS'
}

async function saslData(input: ByteInput, expected: number): Promise<Buffer> {
  const message = await input.readMessage(maxLoginMessageBytes)
  if (message.type === back.error) throw refusal(message)
  const body = new BodyReader(message.body, 0, message.body.length)
  if (message.type !== back.authentication || body.int32() !== expected) {
    throw new WireError('the SCRAM exchange with PostgreSQL is out of order')
  }
  return body.bytes(body.left)
}

/**
 * What the server says about the gateway's own credential (class 28) is for the operator only: the client would take it for its
 * own password. Everything else is relayed.
 */
export function refusal(message: Pick<Message, 'body'>): Error {
  const fields = parseErrorResponse(message.body, 0, message.body.length)
  const state = fields.get('C') ?? ''
  if (!state.startsWith('28')) return new UpstreamRefusal(fields)
  const cause = new UpstreamRefusal(fields)
  return new PostgresError('postgres.upstream_login', 'the gateway cannot log in to PostgreSQL', { cause })
}
