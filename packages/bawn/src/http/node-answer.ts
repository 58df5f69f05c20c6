import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnswerWatcher, FrontAnswer } from './engine.ts'
import { discardedBytes, lingerBytes, lingerMs, sliceBytes } from './front-answer.ts'
import type { HttpCode, Problem } from './problem.ts'

/** What the answers of one connection have in common. */
export interface AnswerContext {
  readonly writeTimeoutMs: number
  readonly remoteAddress: string
  /** An answer is in it until it is complete or lost. */
  readonly unanswered: Set<NodeAnswer>
  refuse(problem: Problem): void
  /** @see FrontHandlers.commit */
  commit(): Problem | undefined
  /** The connection is to be closed after this answer. */
  isDraining(): boolean
  /** The answer is complete, or lost. */
  over(): void
}

/** One answer on node's ServerResponse. */
export class NodeAnswer implements FrontAnswer {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #context: AnswerContext
  readonly #uninvited: boolean
  requestId: string | undefined
  #watcher: AnswerWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #close = false
  #gone = false
  /** The door has given everything. */
  #ended = false
  #written = false
  /** For `drain`. */
  #waiting = false

  /** @param uninvited the client waits for a 100 before it sends its body */
  constructor(request: IncomingMessage, response: ServerResponse, context: AnswerContext, uninvited: boolean) {
    this.#context = context
    this.#uninvited = uninvited
    context.unanswered.add(this)
    this.#request = request
    this.#response = response
    response.on('close', () => this.#closed())
    response.on('error', () => this.lost())
  }

  #closed(): void {
    this.#context.unanswered.delete(this)
    this.#context.over()
    this.#disarm()
    if (!this.#response.writableFinished) this.lost()
  }

  /** Some of the request is still to come. */
  get isReceiving(): boolean {
    return !this.#request.complete
  }

  /** A part of it is on its way. */
  get begun(): boolean {
    return this.#response.headersSent
  }

  closeAfterwards(): void {
    this.#close = true
  }

  watch(watcher: AnswerWatcher): void {
    this.#watcher = watcher
    if (this.#gone) watcher.closed(undefined)
  }

  /** The client is gone, or was refused: whatever the door still sends goes nowhere. */
  lost(code?: HttpCode): void {
    if (this.#gone) return
    this.#gone = true
    this.#disarm()
    if (!this.#ended) this.#watcher?.closed(code)
  }

  send(status: number, headers: readonly string[], body: Buffer | undefined): void {
    if (this.#gone || this.#ended) return
    if (!this.#writeHead(status, headers)) return
    if (body === undefined || body.length <= sliceBytes) this.#finish(body)
    else this.#slices(body)
  }

  head(status: number, headers: readonly string[]): void {
    if (this.#gone || this.#ended) return
    if (!this.#writeHead(status, headers)) return
    // A body that is there already leaves together with the head; one that comes later does not hold it up.
    process.nextTick(() => {
      if (!this.#written && !this.#ended && !this.#gone) this.#response.flushHeaders()
    })
  }

  write(bytes: Buffer): boolean {
    if (this.#gone) return true
    this.#written = true
    if (this.#response.write(bytes)) return true
    this.#arm()
    if (!this.#waiting) {
      this.#waiting = true
      this.#response.once('drain', () => {
        this.#waiting = false
        this.#disarm()
        this.#watcher?.drained()
      })
    }
    return false
  }

  end(): void {
    if (!this.#gone && !this.#ended) this.#finish(undefined)
  }

  refuse(problem: Problem): void {
    if (this.#gone || this.#ended) return
    this.#ended = true
    this.#context.refuse(problem)
  }

  abort(): void {
    this.#ended = true
    this.#response.destroy()
    this.#request.socket.destroy()
  }

  /** @returns false when the trail cannot be told, and nothing may leave */
  #writeHead(status: number, headers: readonly string[]): boolean {
    const instead = this.#context.commit()
    if (instead !== undefined) {
      this.lost()
      this.#context.refuse(instead)
      return false
    }
    // An answer before the end of the request: the rest is not worth waiting for, and nothing can follow it.
    if (!this.#request.complete && (this.#uninvited || !this.#mayDiscard())) this.#close = true
    if (this.#context.isDraining()) this.#close = true
    this.#response.writeHead(status, this.#close ? [...headers, 'Connection', 'close'] : [...headers])
    return true
  }

  /** A body that nobody reads, small enough to be read and dropped in the ordinary way. */
  #mayDiscard(): boolean {
    const length = this.#request.headers['content-length']
    if (this.#request.headers['transfer-encoding'] !== undefined || this.#request.headers.expect !== undefined)
      return false
    return length === undefined || Number(length) <= discardedBytes
  }

  #slices(body: Buffer): void {
    let at = 0
    const door = this.#watcher
    const next = (): void => {
      while (at < body.length && !this.#gone) {
        const piece = body.subarray(at, at + sliceBytes)
        at += piece.length
        if (!this.write(piece)) return
      }
      if (!this.#gone) this.#finish(undefined)
    }
    this.#watcher = {
      drained: () => {
        if (!this.#ended) next()
      },
      closed: code => door?.closed(code),
    }
    next()
  }

  #finish(last: Buffer | undefined): void {
    this.#ended = true
    if (!this.#request.complete && this.#close) {
      this.#linger(last)
      return
    }
    // What is small goes out with the head in one write: node joins strings, and only strings, with it.
    if (last === undefined) this.#response.end()
    else if (last.length <= 16_384) this.#response.end(last.toString('latin1'), 'latin1')
    else this.#response.end(last)
    if (this.#response.writableLength > 0) this.#arm()
  }

  /**
   * Closing a socket that has unread bytes resets the connection, and a reset takes the answer from the client. So the answer is sent,
   * and the rest of the request dropped for a while, before the close (RFC 9112 section 9.6).
   */
  #linger(last: Buffer | undefined): void {
    const request = this.#request
    const { socket } = request
    let left = lingerBytes
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref()
    const count = (bytes: Buffer): void => {
      left -= bytes.length
      if (left < 0) socket.destroy()
    }
    request.on('data', count)
    request.once('end', () => socket.destroySoon())
    socket.once('close', () => clearTimeout(timer))
    // Half a close: the client reads to the end, and we go on to read what it sends.
    this.#response.write(last ?? '', () => socket.end())
    request.resume()
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      if (this.#response.writableFinished) return
      this.lost()
      this.#request.socket.destroy()
    }, this.#context.writeTimeoutMs).unref()
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
