import type { Socket } from 'node:net'
import type { Identity } from '../authn/identity.ts'
import type { GatewayError } from '../error.ts'
import { RelayOutput } from '../socket-fast-path.ts'
import { endSocket } from './byte-input.ts'
import { type AuditContext, emitStatement } from './execution.ts'
import { fatalResponse, PostgresError, toGatewayError } from './failure.ts'
import type { OpenSession } from './sessions.ts'
import type { DatabaseState, DoorState, SessionNow, SessionSummary } from './state.ts'
import type { Upstream } from './upstream.ts'
import { FrameReader } from './wire/frame-reader.ts'

// Replication connections (manual, "Streaming Replication Protocol"): they carry whole tables, as they are stored, in formats of their own.
// Nothing in them is read, so they are for whom a policy of their own permits.

/** Why somebody may not replicate; `undefined` when they may. */
export function whyNoReplication(
  { name, replication, marks }: DatabaseState,
  identity: Identity,
): { readonly error: PostgresError; readonly rule: string } | undefined {
  const refuse = (why: string) => ({
    error: new PostgresError(
      'postgres.replication_refused',
      `replication connections to database "${name}" are refused`,
    ),
    rule: why,
  })
  if (replication === undefined) return refuse('no policy for replication')
  // Statements go through unread: nothing would keep the session's role and settings what they are.
  if (marks !== undefined) return refuse('no replication where sessions have an identity')
  const decision = replication.decide(identity, { door: 'postgres', verb: 'connect' })
  return decision.kind === 'deny' ? refuse(decision.rule) : undefined
}

export interface ReplicationParts {
  readonly summary: SessionSummary
  readonly state: DoorState
  readonly audit: AuditContext
  readonly client: Socket
  readonly received: Buffer
  readonly upstream: Upstream
  readonly cancel: () => Promise<void>
  readonly onEnd: () => void
}

/** Longest wait of a timer; whoever's proof lasts longer is looked at again then. */
const maxTimerMs = 2 ** 31 - 1

/** Passes bytes both ways, unread, with a line in the trail at its begin and its end. */
export class ReplicationSession implements OpenSession {
  readonly summary: SessionSummary
  readonly #parts: ReplicationParts
  readonly #toClient: RelayOutput
  /** Only to know whether the server is in the middle of a message. */
  readonly #frames = new FrameReader(() => 'stream')
  #expiry: NodeJS.Timeout | undefined
  #bytesIn = 0
  #bytesOut = 0
  #ended = false

  constructor(parts: ReplicationParts) {
    this.summary = parts.summary
    this.#parts = parts
    this.#toClient = new RelayOutput(parts.client)
  }

  start(): void {
    const { client, upstream, received, state } = this.#parts
    const { socket: server, rest } = upstream
    const { id, database } = this.summary
    state.log({
      level: 'warn',
      message: `replication of database ${database} begins: unread, past every field`,
      requestId: id,
    })
    try {
      this.#tell('replication begin', 'permit')
    } catch (thrown) {
      this.end(toGatewayError(thrown))
      return
    }
    client.on('data', chunk => {
      this.#bytesIn += chunk.length
      if (!server.write(chunk)) client.pause()
    })
    server.on('drain', () => client.resume())
    client.on('drain', () => server.resume())
    server.on('data', chunk => this.#fromServer(chunk))
    for (const event of ['end', 'close', 'error'] as const) client.on(event, () => this.#clientGone())
    for (const event of ['close', 'error'] as const) {
      server.on(event, () =>
        this.end(new PostgresError('postgres.upstream_lost', 'the connection to PostgreSQL was lost')),
      )
    }
    server.on('end', () => this.#serverEnded())
    if (rest.length > 0) this.#fromServer(rest)
    if (received.length > 0) server.write(received)
    server.resume()
    client.resume()
    this.#watch()
  }

  cancel(): Promise<void> {
    return this.#parts.cancel()
  }

  /** What it does is not read: it counts as busy all the time. */
  now(): SessionNow {
    return { activity: 'active', since: this.summary.since, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut }
  }

  end(error: GatewayError): void {
    if (this.#ended) return
    const canSpeak = !this.#frames.isMidFrame
    this.#finish(error.code)
    if (canSpeak) endSocket(this.#parts.client, fatalResponse(error))
    else this.#parts.client.destroy()
  }

  /** It has no end of its own to wait for. */
  drain(error: GatewayError): void {
    this.end(error)
  }

  #fromServer(chunk: Buffer): void {
    if (this.#ended) return
    const { upstream } = this.#parts
    try {
      this.#frames.push(chunk)
      while (this.#frames.next());
    } catch (thrown) {
      this.end(toGatewayError(thrown))
      return
    }
    this.#bytesOut += chunk.length
    if (!this.#toClient.write(chunk)) upstream.socket.pause()
  }

  /** Ends with the proof of who it is, as statements of others do. */
  #watch(): void {
    const { state, audit } = this.#parts
    const { expiresAt } = audit.identity
    if (expiresAt === undefined || this.#ended) return
    const left = expiresAt - state.now()
    if (left <= 0) this.end(new PostgresError('postgres.session_ended', 'the proof of identity has expired'))
    else this.#expiry = setTimeout(() => this.#watch(), Math.min(left, maxTimerMs)).unref()
  }

  #clientGone(): void {
    if (this.#ended) return
    this.#finish(undefined)
    this.#parts.client.destroy()
  }

  #serverEnded(): void {
    if (this.#ended) return
    this.#finish(undefined)
    endSocket(this.#parts.client)
  }

  #tell(action: string, decision: 'permit' | 'error', code?: string): void {
    const { audit } = this.#parts
    emitStatement(audit, { requestId: audit.sessionId, action, resource: audit.database, decision, code })
    audit.audit.commit()
  }

  #finish(code: string | undefined): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#expiry)
    const { upstream, state, onEnd } = this.#parts
    endSocket(upstream.socket)
    try {
      this.#tell('replication end', code === undefined ? 'permit' : 'error', code)
    } catch (cause) {
      state.log({ level: 'error', message: 'the trail cannot be written', requestId: this.summary.id, cause })
    }
    onEnd()
  }
}
