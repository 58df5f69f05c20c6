import type { Socket } from 'node:net'
import { owned, readWithoutBuffer } from '../socket-fast-path.ts'
import type { BodySource, FrontHandlers, FrontLimits } from './engine.ts'
import { lastAnswer, lingerBytes, lingerMs } from './front-answer.ts'
import { certificateOf } from './front-peer.ts'
import { type ParsedHead, RequestParser } from './llhttp.ts'
import type { HttpCode, Problem } from './problem.ts'
import { type AnswerWire, RawAnswer } from './raw-answer.ts'
import { RawBody } from './raw-body.ts'
import { expectsContinue, mayDiscard } from './raw-head.ts'
import { RawOutput } from './raw-output.ts'

/** One client's connection, whichever HTTP it speaks. */
export interface FrontConnection {
  /** Closes it, or what of it takes too long. @param now monotonic, in ms */
  sweep(now: number): void
  /** Nothing new is taken: closes when what is under way is answered. */
  drain(): void
  destroy(): void
}

/** What the connections of a front have in common. */
export interface ConnectionContext {
  readonly limits: FrontLimits
  readonly handlers: FrontHandlers
  readonly secure: boolean
  readonly asksForCertificates: boolean
  /** Monotonic, in ms. */
  now(): number
  isDraining(): boolean
  /** Calls `release` at the end of this turn of the event loop. */
  releaseLater(output: RawOutput): void
  closed(connection: FrontConnection): void
}

const connectionOf = Symbol('connection')
type ServedSocket = Socket & { readonly [connectionOf]: RawConnection }

// The same functions for all connections: most of them are idle, and a closure would be kept with each.

function onData(this: ServedSocket, bytes: Buffer): void {
  this[connectionOf].arrived(bytes)
}

function onDrain(this: ServedSocket): void {
  this[connectionOf].drained()
}

function onEnd(this: ServedSocket): void {
  this[connectionOf].ended()
}

function onClose(this: ServedSocket): void {
  this[connectionOf].closed()
}

/** `close` follows, and says all that is to be said. */
function ignored(): void {}

/**
 * One client's connection: its requests, one after the other. What a client pipelines waits until the answer before it is complete, so
 * the order of answers needs no bookkeeping, and no more than one received piece is ever kept.
 */
export class RawConnection implements AnswerWire, FrontConnection {
  readonly #socket: Socket
  readonly #output: RawOutput
  readonly #context: ConnectionContext
  readonly #parser: RequestParser
  readonly #address: string
  /** Received and not looked at. */
  #pending: Buffer | undefined
  #advancing = false
  #paused = false
  /** The request under way, and what the door makes of it. */
  #head: ParsedHead | undefined
  #body: RawBody | undefined
  #answer: RawAnswer | undefined
  #received = false
  /** The protocol was switched: what comes in goes to `#body` as it is. */
  #upgraded = false
  /** Nothing that comes in is looked at any more. */
  #lingering = false
  #lingered = 0
  #silent = true
  /** What is to happen by then, in ms of the context's clock. */
  #deadline: number
  #requestDeadline = 0

  /** @param address of the client */
  constructor(socket: Socket, address: string, context: ConnectionContext) {
    this.#socket = socket
    this.#output = new RawOutput(socket, context)
    this.#context = context
    this.#parser = new RequestParser(context.limits.maxHeaderBytes)
    this.#address = address
    this.#deadline = context.now() + this.#headTime
    Object.assign(socket, { [connectionOf]: this })
    readWithoutBuffer(socket, bytes => this.arrived(bytes), true)
    socket.on('data', onData)
    socket.on('drain', onDrain)
    socket.on('end', onEnd)
    socket.on('error', ignored)
    socket.on('close', onClose)
  }

  /** No request is under way. */
  get #isIdle(): boolean {
    return this.#head === undefined && this.#pending === undefined && !this.#parser.isInHead
  }

  drain(): void {
    if (this.#isIdle) this.destroy()
  }

  destroy(): void {
    this.#output.release()
    this.#socket.destroy()
  }

  /** Closes the connection when its time is over. */
  sweep(now: number): void {
    if (now >= this.#output.deadline) {
      if (this.#output.isBehind) {
        this.#answer?.lost()
        this.#socket.destroy()
        return
      }
      this.#output.deadline = Number.POSITIVE_INFINITY
    }
    if (now < this.#deadline) return
    if (this.#lingering || this.#silent || this.#isIdle) this.#socket.destroy()
    else this.#fail('http.request_timeout')
  }

  // What an answer asks for.

  write(bytes: Buffer | string): boolean {
    return this.#output.write(bytes)
  }

  hold(text: string): void {
    this.#output.hold(text)
  }

  together(writes: () => void): void {
    this.#socket.cork()
    writes()
    this.#socket.uncork()
  }

  closesAfter(): boolean {
    const head = this.#head
    if (head === undefined || !head.keepAlive || head.upgrade || this.#context.isDraining()) return true
    return !this.#received && !mayDiscard(head)
  }

  done(close: boolean): void {
    this.#answer = undefined
    if (this.#output.isBehind) {
      this.#output.deadline = this.#context.now() + this.#context.limits.writeTimeoutMs
    }
    if (close) {
      this.#body?.cancel()
      this.#close()
      return
    }
    // What is left of a body that nobody wanted.
    this.#body?.cancel()
    if (this.#received) this.#next()
    this.#advance()
  }

  upgrade(): BodySource | undefined {
    if (this.#head?.upgrade !== true || !this.#received || this.#pending !== undefined) return undefined
    this.#upgraded = true
    this.#received = false
    this.#deadline = Number.POSITIVE_INFINITY
    this.#body = new RawBody(undefined, () => this.#advance())
    return this.#body
  }

  refuse(problem: Problem): void {
    this.#answer = undefined
    this.#refuse(problem)
  }

  get #headTime(): number {
    return Math.min(this.#context.limits.headerTimeoutMs, this.#context.limits.requestTimeoutMs)
  }

  arrived(bytes: Buffer): void {
    if (this.#lingering) {
      this.#lingered += bytes.length
      if (this.#lingered > lingerBytes) this.#socket.destroy()
      return
    }
    if (this.#silent) {
      this.#silent = false
      this.#begun()
    } else if (this.#isIdle) this.#begun()
    this.#pending = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes])
    this.#advance()
    // A request without a body is worked through by now, and its bytes were never copied.
    if (this.#pending !== undefined) this.#pending = owned(this.#pending)
  }

  /** The first bytes of a request. */
  #begun(): void {
    const now = this.#context.now()
    this.#deadline = now + this.#headTime
    this.#requestDeadline = now + this.#context.limits.requestTimeoutMs
  }

  /** Works through what was received, up to the end of a request that is not answered yet. */
  #advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    try {
      while (this.#pending !== undefined && this.#mayRead()) this.#take(this.#pending)
    } finally {
      this.#advancing = false
    }
    const wants = this.#lingering || this.#pending === undefined
    if (wants === this.#paused) {
      this.#paused = !wants
      if (wants) this.#socket.resume()
      else this.#socket.pause()
    }
  }

  #mayRead(): boolean {
    if (this.#lingering) return false
    if (this.#received) return false
    return this.#body === undefined || this.#body.isTaking
  }

  #take(bytes: Buffer): void {
    if (!this.#upgraded) this.#execute(bytes)
    else {
      this.#pending = undefined
      this.#body?.push(owned(bytes))
    }
  }

  #execute(bytes: Buffer): void {
    const { head, body, complete, consumed, error } = this.#parser.execute(bytes)
    this.#pending = consumed < bytes.length && error === undefined ? bytes.subarray(consumed) : undefined
    if (error !== undefined) {
      this.#pending = undefined
      // A request that is malformed before anybody heard of it never was one.
      this.#fail(error === 'malformed' ? 'http.bad_request' : 'http.header_too_large')
      return
    }
    if (head !== undefined) this.#begin(head, complete)
    for (let at = 0; at < body.length; at += 2) this.#body?.push(owned(bytes.subarray(body[at], body[at + 1])))
    if (complete) {
      this.#received = true
      this.#deadline = Number.POSITIVE_INFINITY
      this.#body?.complete()
      // Answered before its end: nothing is left to wait for.
      if (head === undefined && this.#answer === undefined) this.#next()
    }
    if (head !== undefined) this.#hand(head)
  }

  #begin(head: ParsedHead, isWhole: boolean): void {
    this.#head = head
    this.#received = false
    this.#output.begin()
    this.#deadline = this.#requestDeadline
    this.#answer = new RawAnswer(this, head.method)
    // Who has sent everything waits for nothing.
    const invite = !isWhole && expectsContinue(head) ? () => this.#invite() : undefined
    this.#body = new RawBody(invite, () => this.#advance())
  }

  #hand(head: ParsedHead): void {
    const { handlers, secure, asksForCertificates } = this.#context
    const answer = this.#answer
    const body = this.#body
    if (answer === undefined || body === undefined) return
    if (head.method === 'CONNECT') {
      this.#answer = undefined
      this.#refuse(handlers.refuse('http.bad_request', this.#address))
      return
    }
    const { method, target, httpVersion, rawHeaders } = head
    const request = { method, target, httpVersion, rawHeaders, secure, remoteAddress: this.#address, body }
    handlers.request(
      asksForCertificates ? { ...request, clientCertificate: () => certificateOf(this.#socket) } : request,
      answer,
    )
  }

  #invite(): void {
    if (this.#received || this.#answer?.begun !== false) return
    this.#output.pass('HTTP/1.1 100 Continue\r\n\r\n')
  }

  /** The answer is complete and so is its request. */
  #next(): void {
    this.#head = undefined
    this.#body = undefined
    this.#received = false
    if (this.#context.isDraining()) {
      this.#close()
      return
    }
    if (this.#pending !== undefined) this.#begun()
    else this.#deadline = this.#context.now() + this.#context.limits.keepAliveTimeoutMs
  }

  /** What is under way cannot come to its end: the client's request is malformed or too slow. */
  #fail(code: HttpCode): void {
    const answer = this.#answer
    const known = answer !== undefined
    this.#answer = undefined
    const begun = answer?.begun === true
    answer?.lost(this.#received ? undefined : code)
    this.#body?.cancel()
    const problem = this.#context.handlers.refuse(code, known ? undefined : this.#address, answer?.requestId)
    // In the middle of an answer, ours would be read as a part of it.
    if (begun) this.#socket.destroy()
    else this.#refuse(problem)
  }

  #refuse(problem: Problem): void {
    this.#output.release()
    if (!this.#socket.writable) {
      this.#socket.destroy()
      return
    }
    this.#output.pass(lastAnswer(problem))
    this.#linger()
  }

  /** Nothing can follow. Closing a socket that has unread bytes resets it, and a reset takes the answer from the client. */
  #close(): void {
    this.#output.release()
    if (this.#received && this.#pending === undefined) {
      this.#lingering = true
      this.#socket.destroySoon()
    } else this.#linger()
  }

  /** Half a close (RFC 9112 section 9.6): the client reads to the end, and what it still sends is read and dropped for a while. */
  #linger(): void {
    this.#lingering = true
    this.#pending = undefined
    this.#deadline = this.#context.now() + lingerMs
    this.#socket.end()
    if (this.#paused) {
      this.#paused = false
      this.#socket.resume()
    }
  }

  drained(): void {
    this.#output.deadline = Number.POSITIVE_INFINITY
    this.#answer?.drained()
  }

  /** The client sends nothing more. */
  ended(): void {
    this.#output.release()
    if (this.#lingering) this.#socket.destroySoon()
    else if (this.#upgraded) this.#body?.complete()
    else if (this.#parser.isInHead || (this.#head !== undefined && !this.#received)) this.#fail('http.bad_request')
    else if (this.#isIdle) this.#socket.end()
    // It has left without waiting for its answer.
    else this.#socket.destroy()
  }

  closed(): void {
    this.#output.drop()
    this.#parser.free()
    this.#lingering = true
    this.#pending = undefined
    this.#body?.fail()
    this.#answer?.lost()
    this.#context.closed(this)
  }
}
