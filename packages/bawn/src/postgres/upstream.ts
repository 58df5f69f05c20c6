import { randomBytes, type X509Certificate } from 'node:crypto'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { serverEndPointHash } from '../authn/channel-binding.ts'
import type { Standing } from '../authn/revocation/revocation-check.ts'
import { formatScramNonce } from '../authn/scram.ts'
import type { ScramCredential } from '../authn/scram-client.ts'
import { ByteInput, ConnectionLost, type Message } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import type { UpstreamTarget } from './state.ts'
import { BodyReader } from './wire/body-reader.ts'
import { MessageBuilder } from './wire/builder.ts'
import { parseErrorResponse, type RawErrorFields } from './wire/error-response.ts'
import { authentication, back, front } from './wire/message.ts'
import { buildCancelRequest, buildSslRequest, buildStartupMessage } from './wire/startup.ts'
import { WireError } from './wire/wire-error.ts'

/** A connection to PostgreSQL that is logged in and idle. */
export interface Upstream {
  /** A chunk of its `data` events may be overwritten by the next (`isBorrowed`): what is kept must be copied. */
  readonly socket: Socket
  /** ParameterStatus and NoticeResponse messages as they came, for the client. */
  readonly greeting: Buffer
  /** Reported settings, by name. */
  readonly parameters: ReadonlyMap<string, string>
  readonly processId: number
  readonly key: Buffer
  /** Bytes received after ReadyForQuery. */
  readonly rest: Buffer
}

/** The server's own words, which are for the client: too many connections, starting up, no such database. */
export class UpstreamRefusal extends Error {
  readonly fields: RawErrorFields

  constructor(fields: RawErrorFields) {
    super(`PostgreSQL: ${fields.get('C') ?? ''} ${fields.get('M') ?? ''}`)
    this.fields = fields
  }
}

const maxMessageBytes = 65_535

/**
 * Connects and logs in with the gateway's own credential: SCRAM-SHA-256, bound to the channel inside TLS, and cleartext inside TLS
 * only. md5 is refused: it can be replayed from what the server keeps.
 *
 * @param parameters of the StartupMessage besides user and database
 * @throws {PostgresError} `postgres.upstream_unreachable`, `postgres.upstream_login`
 * @throws {UpstreamRefusal} when the server refuses for a reason that is the client's to know
 */
export async function openUpstream(
  target: UpstreamTarget,
  credential: ScramCredential,
  parameters: readonly (readonly [name: string, value: string])[],
): Promise<Upstream> {
  const socket = await dial(target)
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), target.connectTimeoutMs)
  const input = new ByteInput(socket)
  try {
    const startup = [['user', target.user], ['database', target.database], ...parameters] as const
    socket.write(buildStartupMessage(startup))
    await authenticate(input, target, credential)
    return await settle(input)
  } catch (cause) {
    socket.destroy()
    if (cause instanceof PostgresError || cause instanceof UpstreamRefusal) throw cause
    if (cause instanceof ConnectionLost) {
      throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL closed the connection during login', {
        cause,
      })
    }
    throw new PostgresError('postgres.upstream_login', 'the gateway cannot log in to PostgreSQL', { cause })
  } finally {
    clearTimeout(timer)
  }
}

/** Asks the server to cancel what `processId` runs. Resolves when the server has closed, whatever it did; never rejects. */
export async function cancelUpstream(target: UpstreamTarget, processId: number, key: Uint8Array): Promise<void> {
  try {
    const socket = await dial(target)
    const timer = setTimeout(() => socket.destroy(), target.connectTimeoutMs)
    await new Promise<void>(resolve => {
      socket.on('close', () => resolve())
      socket.on('error', () => resolve())
      socket.resume()
      socket.end(buildCancelRequest(processId, key))
    })
    clearTimeout(timer)
  } catch {
    // A cancel request has no answer; the statement goes on, as with a server that cannot be reached.
  }
}

/**
 * Every plain connection to PostgreSQL reads into this one: a read is worked through before the next begins, whoever's it is. Saves
 * an allocation of 64 KiB a read, which is what large results cost most beside the system calls.
 */
const slab = Buffer.allocUnsafeSlow(256 * 1024)

/** Whether the bytes will be overwritten by the next read. */
export function isBorrowed(bytes: Buffer): boolean {
  return bytes.buffer === slab.buffer
}

async function dial(target: UpstreamTarget): Promise<Socket> {
  const onread =
    target.tls === undefined
      ? {
          onread: {
            buffer: slab,
            callback: (count: number): boolean => socket.emit('data', slab.subarray(0, count)) || true,
          },
        }
      : {}
  const socket: Socket = connectTcp({ host: target.host, port: target.port, noDelay: true, keepAlive: true, ...onread })
  // Whoever waits hears of it by `close`; an error that nobody listens for would end the process.
  socket.on('error', () => {})
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), target.connectTimeoutMs)
  try {
    await happened(socket, 'connect')
    if (target.tls === undefined) return socket
    const input = new ByteInput(socket)
    socket.write(buildSslRequest())
    const answer = (await input.read(1)).toString('latin1')
    const early = input.release()
    // More than the one byte would be read as if it came through TLS (CVE-2021-23222).
    if (answer !== 'S' || early.length > 0) throw new Error('the server does not offer TLS')
    const { ca, serverName } = target.tls
    const name = serverName ?? target.host
    const secure = connectTls({
      socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      ...(ca === undefined ? {} : { ca }),
      minVersion: 'TLSv1.2',
    })
    secure.on('error', () => {})
    await happened(secure, 'secureConnect')
    await refuseRevokedServer(target, secure)
    return secure
  } catch (cause) {
    socket.destroy()
    if (cause instanceof PostgresError) throw cause
    throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL cannot be reached', { cause })
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Looks up the server's certificate where the configuration wants that, before anything is said to the server.
 *
 * @throws {PostgresError} `postgres.upstream_unreachable`, when it was revoked, and when that cannot be told
 */
export async function refuseRevokedServer({ tls }: UpstreamTarget, socket: Duplex): Promise<void> {
  if (tls?.revocation === undefined) return
  const certificate = peerCertificate(socket)
  if (certificate === undefined)
    throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL has no certificate')
  let standing: Standing
  try {
    standing = await tls.revocation.check(certificate)
  } catch (cause) {
    const message = 'whether the certificate of PostgreSQL was revoked cannot be told'
    throw new PostgresError('postgres.upstream_unreachable', message, { cause })
  }
  if (standing.kind === 'good') return
  const what = standing.kind === 'revoked' ? 'was revoked' : 'is unknown to the responder'
  throw new PostgresError('postgres.upstream_unreachable', `the certificate of PostgreSQL ${what}`)
}

function happened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error?: Error | boolean): void =>
      reject(error instanceof Error ? error : new ConnectionLost('closed'))
    socket.once('error', fail)
    socket.once('close', fail)
    socket.once(event, () => {
      socket.off('error', fail)
      socket.off('close', fail)
      resolve()
    })
  })
}

async function authenticate(input: ByteInput, target: UpstreamTarget, credential: ScramCredential): Promise<void> {
  while (true) {
    const message = await input.readMessage(maxMessageBytes)
    if (message.type === back.error) throw refusal(message)
    if (message.type === back.notice || message.type === back.negotiateVersion) continue
    if (message.type !== back.authentication) throw new WireError('expected an authentication request')
    const body = new BodyReader(message.body, 0, message.body.length)
    const code = body.int32()
    if (code === authentication.ok) return
    if (code === authentication.sasl) {
      await scram(input, body, target, credential)
    } else if (code === authentication.cleartext && target.tls !== undefined) {
      input.socket.write(new MessageBuilder().begin(front.password).cstring(target.password).end().take())
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

async function scram(
  input: ByteInput,
  body: BodyReader,
  target: UpstreamTarget,
  credential: ScramCredential,
): Promise<void> {
  const offered: string[] = []
  for (let name = body.cstring(); name !== ''; name = body.cstring()) offered.push(name)
  const socket = input.socket
  const channelBinding = target.tls === undefined ? undefined : peerBinding(socket)
  const nonce = formatScramNonce(randomBytes(18))
  const client = credential.start({ offered, tls: target.tls !== undefined, channelBinding, nonce })
  const initial = new MessageBuilder().begin(front.password).cstring(client.mechanism)
  socket.write(initial.int32(client.first.length).bytes(client.first).end().take())
  const answer = await client.respond(await saslData(input, authentication.saslContinue))
  socket.write(new MessageBuilder().begin(front.password).bytes(answer).end().take())
  client.finish(await saslData(input, authentication.saslFinal))
}

/** Of connections that we opened: Node takes a certificate off the chain each time it is asked (nodejs/node#65579). */
const certificates = new WeakMap<Duplex, X509Certificate>()

function peerCertificate(socket: Duplex): X509Certificate | undefined {
  const known = certificates.get(socket)
  if (known !== undefined || !(socket instanceof TLSSocket)) return known
  const certificate = socket.getPeerX509Certificate()
  if (certificate !== undefined) certificates.set(socket, certificate)
  return certificate
}

function peerBinding(socket: Socket): Uint8Array | undefined {
  const certificate = peerCertificate(socket)
  return certificate === undefined ? undefined : serverEndPointHash(certificate.raw)
}

async function saslData(input: ByteInput, expected: number): Promise<Buffer> {
  const message = await input.readMessage(maxMessageBytes)
  if (message.type === back.error) throw refusal(message)
  const body = new BodyReader(message.body, 0, message.body.length)
  if (message.type !== back.authentication || body.int32() !== expected) {
    throw new WireError('the SCRAM exchange with PostgreSQL is out of order')
  }
  return body.bytes(body.left)
}

/** Reads from AuthenticationOk to the first ReadyForQuery. */
async function settle(input: ByteInput): Promise<Upstream> {
  const greeting: Buffer[] = []
  const parameters = new Map<string, string>()
  let processId = 0
  let key: Buffer = Buffer.alloc(0)
  while (true) {
    const message = await input.readMessage(maxMessageBytes)
    const body = new BodyReader(message.body, 0, message.body.length)
    switch (message.type) {
      case back.error:
        throw refusal(message)
      case back.parameterStatus:
        parameters.set(body.cstring(), body.cstring())
        greeting.push(reframe(message))
        break
      case back.notice:
        greeting.push(reframe(message))
        break
      case back.backendKeyData:
        processId = body.int32()
        key = body.bytes(body.left)
        break
      case back.readyForQuery:
        return {
          socket: input.socket,
          greeting: Buffer.concat(greeting),
          parameters,
          processId,
          key,
          rest: input.release(),
        }
      default:
        throw new WireError('an unexpected message before ReadyForQuery')
    }
  }
}

function reframe(message: Message): Buffer {
  return new MessageBuilder(message.body.length + 5).begin(message.type).bytes(message.body).end().take()
}

/**
 * What the server says about the gateway's own credential (class 28) is for the operator only: the client would take it for its
 * own password. Everything else is relayed.
 */
function refusal(message: Message): Error {
  const fields = parseErrorResponse(message.body, 0, message.body.length)
  const state = fields.get('C') ?? ''
  if (!state.startsWith('28')) return new UpstreamRefusal(fields)
  const cause = new UpstreamRefusal(fields)
  return new PostgresError('postgres.upstream_login', 'the gateway cannot log in to PostgreSQL', { cause })
}
