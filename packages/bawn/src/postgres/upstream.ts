import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readIntoSlab, slab } from '../socket-fast-path.ts'
import { ByteInput, ConnectionLost } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import { type HostStanding, standingOf, standingQuestion } from './hosts.ts'
import { marksQuestion } from './session-marks.ts'
import type { UpstreamTarget } from './state.ts'
import { refuseRevokedServer } from './upstream-certificate.ts'
import { authenticate, maxLoginMessageBytes, refusal, type UpstreamLogin, UpstreamRefusal } from './upstream-login.ts'
import { askUpstream } from './upstream-question.ts'
import { isVersionUnderstood, minorFor, rememberOlder, type UpstreamMinor } from './upstream-version.ts'
import { BodyReader } from './wire/body-reader.ts'
import { back } from './wire/message.ts'
import { buildCancelRequest, buildSslRequest, buildStartupMessage, maxCancelKeyBytes } from './wire/startup.ts'
import { WireError } from './wire/wire-error.ts'

/** A connection to PostgreSQL that is logged in and idle. */
export interface Upstream {
  /** Where it leads. */
  readonly target: UpstreamTarget
  /** What that host is; `undefined`: it was not asked. */
  readonly standing?: HostStanding | undefined
  /** A chunk of its `data` events may be overwritten by the next (`isBorrowed` in socket-fast-path.ts): what is kept must be copied. */
  readonly socket: Socket
  /** ParameterStatus and NoticeResponse messages as they came, for the client. */
  readonly greeting: Buffer
  /** Reported settings, by name. */
  readonly parameters: ReadonlyMap<string, string>
  readonly processId: number
  /** 4 bytes in protocol 3.0, 4 to 256 in 3.2. */
  readonly key: Buffer
  /** Bytes received after ReadyForQuery. */
  readonly rest: Buffer
}

const alpnProtocol = 'postgresql'

type Parameters = readonly (readonly [name: string, value: string])[]

/** How a session finds out what its host is: by a question, or, where it takes none (physical replication), by what the server reports. */
export type AskStanding = 'question' | 'reported' | undefined

/**
 * Connects and logs in: by SCRAM-SHA-256, bound to the channel inside TLS, by the certificate of `target`, and by the password in clear
 * inside TLS only. md5 is refused: it can be replayed from what the server keeps.
 *
 * @param parameters of the StartupMessage besides user and database
 * @param marks further ones, which the session must have been given: something in between could have left them out
 * @param ask `undefined`: whatever is there will do
 * @throws {PostgresError} `postgres.upstream_unreachable`, `postgres.upstream_login`
 * @throws {UpstreamRefusal} when the server refuses for a reason that is the client's to know
 */
export async function openUpstream(
  target: UpstreamTarget,
  login: UpstreamLogin,
  parameters: Parameters,
  marks: Parameters = [],
  ask: AskStanding = undefined,
): Promise<Upstream> {
  const begun = performance.now()
  const input = await beginUpstream(target, login.user, [...parameters, ...marks])
  const leftMs = Math.max(1, target.connectTimeoutMs - (performance.now() - begun))
  return await settling(leftMs, input, async () => {
    await authenticate(input, target, login)
    return await settle(target, input, marks, ask)
  })
}

/**
 * Connects and states who wants in; what the server asks then is the next to be read, and has begun to arrive. A host that does not
 * understand protocol 3.2 is asked again for 3.0.
 *
 * @throws {PostgresError} `postgres.upstream_unreachable`, `postgres.upstream_login`
 */
export async function beginUpstream(target: UpstreamTarget, user: string, parameters: Parameters): Promise<ByteInput> {
  const deadline = performance.now() + target.connectTimeoutMs
  const named: Parameters = [['user', user], ['database', target.database], ...parameters]
  const minor = minorFor(target, performance.now())
  const first = await greet(target, minor, named, deadline)
  if (first.understood || minor === 0) return first.input
  first.input.socket.destroy()
  const second = await greet(target, 0, named, deadline)
  if (second.understood) rememberOlder(target, performance.now())
  return second.input
}

async function greet(target: UpstreamTarget, minor: UpstreamMinor, parameters: Parameters, deadline: number) {
  const socket = await dial(target)
  const input = new ByteInput(socket)
  socket.write(buildStartupMessage(parameters, minor))
  let late = false
  const timer = setTimeout(
    () => {
      late = true
      socket.destroy(new Error('timeout'))
    },
    Math.max(1, deadline - performance.now()),
  )
  try {
    const understood = await isVersionUnderstood(input, minor)
    // Whoever says nothing at all is not asked again.
    if (late) throw new PostgresError('postgres.upstream_unreachable', 'PostgreSQL does not answer')
    return { input, understood }
  } catch (cause) {
    socket.destroy()
    if (cause instanceof PostgresError) throw cause
    throw new PostgresError('postgres.upstream_login', 'the gateway cannot log in to PostgreSQL', { cause })
  } finally {
    clearTimeout(timer)
  }
}

/** Reads on behind AuthenticationOk. Throws as `openUpstream` does. */
export async function settleUpstream(target: UpstreamTarget, input: ByteInput, marks: Parameters): Promise<Upstream> {
  return await settling(target.connectTimeoutMs, input, () => settle(target, input, marks, undefined))
}

/** Closes what failed, or took too long, and says so in the words of `openUpstream`. */
async function settling(timeoutMs: number, { socket }: ByteInput, work: () => Promise<Upstream>) {
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), timeoutMs)
  try {
    return await work()
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
export async function cancelUpstream(target: UpstreamTarget, processId: number, key: Uint8Array): Promise<boolean> {
  try {
    const socket = await dial(target)
    const timer = setTimeout(() => socket.destroy(), target.connectTimeoutMs)
    let isHeard = false
    await new Promise<void>(resolve => {
      socket.on('end', () => {
        isHeard = true
      })
      socket.on('close', () => resolve())
      socket.on('error', () => resolve())
      socket.resume()
      socket.end(buildCancelRequest(processId, key))
    })
    clearTimeout(timer)
    return isHeard
  } catch {
    // A cancel request has no answer; the statement goes on, as with a server that cannot be reached.
    return true
  }
}

const probes = new WeakMap<UpstreamTarget, Promise<boolean>>()

/** Whether the server answers on a new connection, the second time at the latest. Who asks meanwhile gets the same answer. Never rejects. */
export function isUpstreamAlive(target: UpstreamTarget): Promise<boolean> {
  let probe = probes.get(target)
  if (probe === undefined) {
    probe = answers(target)
      .catch(() => answers(target))
      .then(
        () => true,
        () => false,
      )
      .finally(() => probes.delete(target))
    probes.set(target, probe)
  }
  return probe
}

/** Inside TLS the handshake is an answer; otherwise that to SSLRequest is, whatever it says. */
async function answers(target: UpstreamTarget): Promise<void> {
  const socket = await dial(target)
  const timer = setTimeout(() => socket.destroy(), target.connectTimeoutMs)
  try {
    if (target.tls !== undefined) return
    const input = new ByteInput(socket)
    socket.write(buildSslRequest())
    await input.read(1)
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function dial(target: UpstreamTarget): Promise<Socket> {
  const onread =
    target.tls === undefined
      ? {
          onread: {
            buffer: slab,
            callback: (count: number): boolean => socket.emit('data', readIntoSlab(count)) || true,
          },
        }
      : {}
  const socket: Socket = connectTcp({ host: target.host, port: target.port, noDelay: true, ...onread })
  socket.setKeepAlive(true, target.probeAfterMs)
  // Whoever waits hears of it by `close`; an error that nobody listens for would end the process.
  socket.on('error', () => {})
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), target.connectTimeoutMs)
  try {
    await happened(socket, 'connect')
    if (target.tls === undefined) return socket
    const { ca, serverName, client, direct } = target.tls
    if (direct !== true) await askForTls(socket)
    const name = serverName ?? target.host
    const secure = connectTls({
      socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      ...(ca === undefined ? {} : { ca }),
      ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
      ...(direct === true ? { ALPNProtocols: [alpnProtocol] } : {}),
      minVersion: 'TLSv1.2',
    })
    secure.on('error', () => {})
    await happened(secure, 'secureConnect')
    // Without it another protocol's server could be what answers (ALPACA); PostgreSQL demands it too.
    if (direct === true && secure.alpnProtocol !== alpnProtocol)
      throw new Error('the server does not name ALPN postgresql')
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

async function askForTls(socket: Socket): Promise<void> {
  const input = new ByteInput(socket)
  socket.write(buildSslRequest())
  const answer = (await input.read(1)).toString('latin1')
  // More than the one byte would be read as if it came through TLS (CVE-2021-23222).
  if (answer !== 'S' || input.release().length > 0) throw new Error('the server does not offer TLS')
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

/** Reads from AuthenticationOk to the first ReadyForQuery, and makes sure that the session has its marks. */
async function settle(
  target: UpstreamTarget,
  input: ByteInput,
  marks: Parameters,
  ask: AskStanding,
): Promise<Upstream> {
  const greeting: Buffer[] = []
  const parameters = new Map<string, string>()
  let processId = 0
  let key: Buffer = Buffer.alloc(0)
  while (true) {
    const message = input.takeMessage(maxLoginMessageBytes) ?? (await input.readMessage(maxLoginMessageBytes))
    const body = new BodyReader(message.body, 0, message.body.length)
    switch (message.type) {
      case back.error:
        throw refusal(message)
      case back.parameterStatus:
        parameters.set(body.cstring(), body.cstring())
        greeting.push(message.whole)
        break
      case back.notice:
        greeting.push(message.whole)
        break
      case back.backendKeyData:
        processId = body.int32()
        if (body.left > maxCancelKeyBytes) throw new WireError('invalid length of cancel key')
        key = body.bytes(body.left)
        break
      case back.readyForQuery:
        await confirm(input, marks)
        return {
          target,
          standing: await standing(input, ask, parameters),
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

async function standing(
  input: ByteInput,
  ask: AskStanding,
  reported: ReadonlyMap<string, string>,
): Promise<HostStanding | undefined> {
  switch (ask) {
    case undefined:
      return undefined
    case 'question':
      return standingOf(await askUpstream(input, standingQuestion))
    case 'reported': {
      // Since PostgreSQL 14; before, nobody can say, and what cannot be said is no primary.
      const isStandby = reported.get('in_hot_standby') !== 'off'
      return standingOf([String(isStandby), reported.get('default_transaction_read_only')])
    }
  }
}

async function confirm(input: ByteInput, marks: Parameters): Promise<void> {
  if (marks.length === 0) return
  const found = await askUpstream(input, marksQuestion(marks.map(([name]) => name)))
  if (marks.every(([, value], index) => found[index] === value)) return
  const lost = marks.filter(([, value], index) => found[index] !== value).map(([name]) => name)
  throw new PostgresError('postgres.upstream_login', `the session was not given ${lost.join(', ')}`)
}
