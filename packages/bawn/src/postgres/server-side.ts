import type { Socket } from 'node:net'
import { RelayOutput } from '../socket-fast-path.ts'
import { endSocket } from './byte-input.ts'
import type { Leftover } from './pool/connection.ts'
import type { ServerStatements } from './pool/server-statements.ts'
import type { SettingsOwner } from './pool/session-settings.ts'
import { TakingTurns } from './taking-turns.ts'
import { cancelUpstream, type Upstream } from './upstream.ts'
import { front } from './wire/message.ts'

/** Where a session has its connection to PostgreSQL from. */
export interface ServerSource extends SettingsOwner {
  /** Whether it has one for each transaction only. */
  readonly perTransaction: boolean
  /** Where it works now. */
  readonly upstream: Upstream | undefined
  /** What is prepared there, where several sessions prepare by turns. */
  readonly statements: ServerStatements | undefined
  /** Reported settings there, as they are now; to be kept up to date. */
  readonly parameters: Map<string, string> | undefined
  /** Has one: at once, or when there is one. Rejects with what the client is to be told. */
  take(): true | Promise<void>
  /** Lets go of it. @returns false: it must be closed */
  giveBack(leftover: Leftover): boolean
  /** Cancels what runs there, if it has one. Resolves when the server has heard of it; never rejects. */
  cancel(): Promise<void>
  /** Waits for none any more. */
  withdraw(): void
}

/** One connection, for this session alone. */
export function ownConnection(upstream: Upstream): ServerSource {
  return {
    perTransaction: false,
    upstream,
    statements: undefined,
    parameters: undefined,
    take: () => true,
    giveBack: () => false,
    cancel: async () => void (await cancelUpstream(upstream.target, upstream.processId, upstream.key)),
    withdraw: () => {},
  }
}

/** What a session hears of its connection. */
export interface ServerEvents {
  readonly data: (chunk: Buffer) => void
  readonly drain: () => void
  readonly gone: () => void
}

const terminateMessage = Buffer.from([front.terminate, 0, 0, 0, 4])

/** A session's side towards PostgreSQL. */
export class ServerSide {
  readonly #source: ServerSource
  readonly #events: ServerEvents
  #socket: Socket | undefined
  #output: RelayOutput | undefined
  #taking = false
  #turns: TakingTurns | undefined
  /** The client does not take what was sent to it. */
  #isPaused = false
  /** The connection was lost while something that it had sent was still to be worked on. */
  #isGone = false
  /** It does not take what was written. */
  isFull = false

  constructor(source: ServerSource, events: ServerEvents) {
    this.#source = source
    this.#events = {
      ...events,
      drain: () => {
        this.isFull = false
        events.drain()
      },
    }
  }

  get isAttached(): boolean {
    return this.#socket !== undefined
  }

  /** Neither it nor the server has closed it. */
  get isLost(): boolean {
    return this.#socket?.destroyed === true
  }

  /**
   * Makes sure that there is a connection. @returns whether there is one now; otherwise `attached` or `failed` is called
   */
  attach(attached: () => void, failed: (cause: unknown) => void): boolean {
    if (this.#socket !== undefined) return true
    if (this.#taking) return false
    const taken = this.#source.take()
    if (taken === true) {
      this.#listen()
      return true
    }
    this.#taking = true
    taken.then(
      () => {
        this.#taking = false
        this.#listen()
        attached()
      },
      cause => {
        this.#taking = false
        failed(cause)
      },
    )
    return false
  }

  write(bytes: Buffer): void {
    if (this.#output?.write(bytes) === false) this.isFull = true
  }

  pause(): void {
    this.#isPaused = true
    this.#socket?.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#turns?.isHolding !== true) this.#socket?.resume()
  }

  /** The client said Terminate: the server answers what came before, and closes. */
  terminate(): void {
    this.#socket?.write(terminateMessage)
  }

  /** Lets go of the connection: others may have it, if all that was sent is answered. @param leftover `unfit`: nobody may */
  release(leftover: Leftover, isTerminated = false): void {
    const socket = this.#socket
    if (socket === undefined) {
      this.#source.withdraw()
      return
    }
    // Bytes that it has not taken belong to nobody else.
    const isBehind = this.#output?.isBehind === true || this.#turns?.isHolding === true
    this.#unlisten(socket)
    if (isBehind && leftover !== 'unfit') leftover = 'unfit'
    if (this.#source.giveBack(socket.destroyed ? 'unfit' : leftover) || socket.destroyed) return
    endSocket(socket, isTerminated ? undefined : terminateMessage)
  }

  readonly #data = (chunk: Buffer): void => this.#turns?.push(chunk)

  readonly #gone = (): void => {
    // What it has sent comes first.
    if (this.#turns?.isHolding === true) this.#isGone = true
    else this.#events.gone()
  }

  #listen(): void {
    const upstream = this.#source.upstream
    if (upstream === undefined) throw new TypeError('a connection that is not there')
    const { socket } = upstream
    const { drain } = this.#events
    this.#socket = socket
    this.#isPaused = false
    this.#turns = new TakingTurns(this.#events.data, isWaiting => {
      if (isWaiting) socket.pause()
      else if (this.#isGone) this.#events.gone()
      else if (!this.#isPaused) socket.resume()
    })
    this.#output = new RelayOutput(socket)
    this.isFull = false
    socket.on('data', this.#data).on('drain', drain).on('close', this.#gone).on('error', this.#gone)
    socket.resume()
  }

  #unlisten(socket: Socket): void {
    const { drain } = this.#events
    socket.off('data', this.#data).off('drain', drain).off('close', this.#gone).off('error', this.#gone)
    socket.pause()
    this.#turns?.drop()
    this.#turns = undefined
    this.#isGone = false
    this.#socket = undefined
    this.#output = undefined
    this.isFull = false
  }
}
