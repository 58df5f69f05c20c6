import type { GatewayError } from '../error.ts'
import { dispositionOf, opensDescription, rowsOf } from './answer-disposition.ts'
import type { Conversation } from './conversation.ts'
import type { CopyStream } from './copy/stream.ts'
import { reviseError, tellTimeout } from './error-detail.ts'
import { errorResponse, toGatewayError } from './failure.ts'
import { copyFail, IncomingCopy } from './incoming-copy.ts'
import { isAsPlanned, otherCopy, outgoingCopy } from './outgoing-copy.ts'
import type { Pending } from './pending.ts'
import { passPlainAnswers } from './plain-answers.ts'
import { parameterStatuses } from './pool/connection.ts'
import { logicalColumns, planRow, revealRow } from './rows.ts'
import { logicalTypes } from './seal.ts'
import { takeStray, tellHeld } from './stray-syncs.ts'
import { MessageBuilder } from './wire/builder.ts'
import { parseErrorResponse, rebuildErrorResponse } from './wire/error-response.ts'
import { FrameReader } from './wire/frame-reader.ts'
import { back } from './wire/message.ts'
import {
  buildParameterDescription,
  buildRowDescription,
  parseParameterDescription,
  parseRowDescription,
} from './wire/row-description.ts'
import { WireError } from './wire/wire-error.ts'

/**
 * Server to client. Each message is matched with the oldest unanswered request; what cannot be matched ends the session, for then
 * nobody knows whose answer it is. Rows of results without protected columns are forwarded unread.
 */
export class Answers {
  readonly reader: FrameReader
  readonly #talk: Conversation
  readonly #rows = new MessageBuilder()
  #rowsView: DataView = new DataView(new ArrayBuffer(0))
  #rowsBuffer: Buffer | undefined
  /** The pieces of the streamed frame that is arriving are thrown away. */
  #dropping = false
  /** The COPY of protected columns whose data arrives. */
  #outgoing: CopyStream | undefined
  /** The pieces of the CopyData that is arriving go into it. */
  #converting = false
  /** After an unreadable value: nothing of the statement is shown any more, until ReadyForQuery. */
  #muted = false
  /** The server ends the connection and has said why. */
  endedByServer = false

  constructor(talk: Conversation) {
    this.#talk = talk
    this.reader = new FrameReader((type, length) =>
      dispositionOf(type, length, talk.pending.head(), this.#muted, talk.limits.maxFrameBytes),
    )
  }

  /** Takes received bytes; what they lead to is in the conversation's outputs. @throws {WireError} */
  receive(chunk: Buffer): void {
    const isFree = !this.#muted && this.#outgoing === undefined && this.reader.isBetweenFrames
    const passed = isFree ? passPlainAnswers(this.#talk, chunk) : 0
    if (passed > 0) this.#talk.toClient.slice(chunk, 0, passed, false)
    if (passed === chunk.length) return
    this.reader.push(chunk, passed)
    while (this.reader.next()) this.#frame()
    this.#flushRows()
    this.#rowsBuffer = undefined
  }

  #frame(): void {
    const { piece, type } = this.reader
    const talk = this.#talk
    const head = talk.pending.head()
    if (piece === 'middle' || piece === 'end') {
      if (this.#converting) this.#convert(head)
      else if (!this.#dropping) this.#forward()
      return
    }
    this.#dropping = false
    this.#converting = false
    switch (type) {
      case back.dataRow:
        this.#dataRow(this.#expect(head, 'query', 'execute'))
        return
      case back.copyData:
      case back.copyDone:
        this.#copied(this.#expect(head, 'query', 'execute'))
        return
      case back.commandComplete:
        head?.done?.()
        this.#complete(this.#expect(head, 'query', 'execute'))
        return
      case back.emptyQuery:
      case back.portalSuspended:
        this.#complete(this.#expect(head, 'query', 'execute'))
        return
      case back.rowDescription:
        this.#rowDescription(this.#expect(head, 'query', 'describe-statement', 'describe-portal'))
        return
      case back.noData:
        this.#noData(this.#expect(head, 'describe-statement', 'describe-portal'))
        return
      case back.parameterDescription:
        this.#parameterDescription(this.#expect(head, 'describe-statement'))
        return
      case back.parseComplete: {
        const { statement } = this.#expect(head, 'parse')
        if (statement !== undefined) statement.confirmed = true
        this.#answered(head)
        return
      }
      case back.bindComplete: {
        const { portal } = this.#expect(head, 'bind')
        if (portal !== undefined) portal.confirmed = true
        this.#answered(head)
        return
      }
      case back.closeComplete:
        if (head?.asksStrays === true) this.#send(tellHeld(talk, head))
        this.#closed(this.#expect(talk.pending.head(), 'close'))
        return
      case back.readyForQuery:
        if (talk.strays.isOf(head) || head?.asksStrays === true) this.#stray(head)
        else this.#ready(this.#expect(head, 'query', 'sync'))
        return
      case back.error:
        this.#error(head)
        return
      case back.copyIn:
        this.#copyIn(this.#expect(head, 'query', 'execute'))
        return
      case back.copyOut:
        this.#copyOut(this.#expect(head, 'query', 'execute'))
        return
      case back.parameterStatus:
        this.#parameterStatus()
        return
      case back.notice:
      case back.notification:
      case back.functionResult:
        this.#forward()
        return
      default:
        throw new WireError('an unexpected message from PostgreSQL')
    }
  }

  /** What it answers is of one of these kinds. Not a rest parameter: that is an array for each message. */
  #expect(head: Pending | undefined, first: Pending['kind'], second = first, third = first): Pending {
    if (head === undefined || (head.kind !== first && head.kind !== second && head.kind !== third))
      throw new WireError('an answer from PostgreSQL to nothing that was asked')
    return head
  }

  #forward(): void {
    const { buffer, start, end, borrowed } = this.reader
    this.#flushRows()
    this.#talk.toClient.slice(buffer, start, end, borrowed)
  }

  #send(bytes: Buffer): void {
    this.#flushRows()
    this.#talk.toClient.append(bytes)
  }

  /** Forwards, unless the client was told already that the statement failed. */
  #show(head?: Pending): void {
    this.#dropping = head?.swallow === true || this.#muted || head?.answer !== undefined
    if (!this.#dropping) this.#forward()
    else if (head?.answer !== undefined && !this.#muted) this.#send(head.answer)
  }

  /** The one answer of a message of the extended protocol. */
  #answered(head: Pending | undefined): void {
    this.#talk.strays.end()
    this.#show(head)
    this.#talk.pending.shift()
  }

  #closed(head: Pending): void {
    if (head.statement !== undefined) head.statement.confirmed = true
    this.#answered(head)
  }

  #dataRow(head: Pending): void {
    const { execution } = head
    const rows = rowsOf(head)
    if (execution === undefined || rows === undefined || this.#muted) {
      this.reader.widen()
      this.#show(head)
      return
    }
    const { buffer, start, end } = this.reader
    if (this.#rowsBuffer !== buffer) {
      this.#rowsBuffer = buffer
      this.#rowsView = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
      this.#rows.reserve(buffer.length - start)
    }
    const before = this.#rows.length
    try {
      revealRow(buffer, this.#rowsView, start, end, rows, this.#rows, execution.uses)
      this.#talk.untold = execution
    } catch (thrown) {
      this.#rows.truncate(before)
      if (thrown instanceof WireError) throw thrown
      this.#unreadable(head, toGatewayError(thrown))
    }
  }

  /** Rows that were rewritten go out before whatever comes next. */
  #flushRows(): void {
    if (this.#rows.length > 0) this.#talk.toClient.append(this.#rows.take())
  }

  /** The rest of the result is dropped and the client learns why; the connection stays usable from ReadyForQuery on. */
  #unreadable(head: Pending, error: GatewayError): void {
    const { execution } = head
    this.#muted = true
    const requestId = execution?.requestId ?? ''
    this.#send(errorResponse(error.code, error.message, requestId))
    if (execution !== undefined) this.#talk.tellEnd(execution, 'error', error.code)
    this.#talk.state.log({ level: 'error', message: error.message, requestId, cause: error })
  }

  #rowDescription(head: Pending): void {
    const { execution, portal, statement } = head
    if (!opensDescription(head)) {
      this.#describeDone(head)
      return
    }
    const { buffer, start, end } = this.reader
    const description = parseRowDescription(buffer, start + 5, end)
    const snapshot = execution?.snapshot ?? portal?.snapshot ?? statement?.snapshot
    if (snapshot === undefined) throw new WireError('a description of nothing')
    if (head.kind !== 'describe-statement') {
      const rows = planRow(description, snapshot, this.#talk.viewOf)
      if (execution !== undefined) execution.rows = rows
      if (portal !== undefined) portal.rows = rows ?? 'none'
    }
    if (head.swallow !== true && !this.#muted) this.#send(buildRowDescription(logicalColumns(description, snapshot)))
    if (head.kind !== 'query') this.#talk.pending.shift()
  }

  #noData(head: Pending): void {
    if (head.portal !== undefined) head.portal.rows = 'none'
    this.#answered(head)
  }

  /** A description that is forwarded as it is. */
  #describeDone(head: Pending): void {
    if (head.kind === 'query') this.#show(head)
    else this.#answered(head)
  }

  #parameterDescription(head: Pending): void {
    const plan = head.statement?.plan
    if (plan?.kind !== 'protected' || plan.parameters.length === 0) {
      this.#show()
      return
    }
    const described = parseParameterDescription(this.reader.buffer, this.reader.start + 5, this.reader.end)
    if (!this.#muted) this.#send(buildParameterDescription(logicalTypes(described, plan.parameters)))
  }

  #complete(head: Pending): void {
    const talk = this.#talk
    talk.endCopy()
    talk.pending.endCopy()
    this.#talk.strays.end()
    this.#outgoing = undefined
    if (head.kind === 'execute') {
      if (head.execution !== undefined) talk.tellEnd(head.execution, 'permit', undefined)
      this.#answered(head)
      return
    }
    // The next statement of the same string has a result of its own.
    if (head.execution !== undefined) head.execution.rows = undefined
    this.#show(head)
  }

  #copied(head: Pending): void {
    this.#converting = this.#outgoing !== undefined
    if (this.#converting) this.#convert(head)
    else this.reader.widen()
    if (!this.#converting || this.reader.type === back.copyDone) this.#show()
  }

  #copyOut(head: Pending): void {
    const { execution } = head
    const copy = execution?.copy
    if (execution !== undefined && copy !== undefined && !this.#muted) {
      if (copy.direction === 'out' && isAsPlanned(copy, this.reader))
        this.#outgoing = outgoingCopy(this.#talk, execution, copy)
      else this.#unreadable(head, otherCopy())
    }
    this.#show()
  }

  /** A piece of CopyData, or CopyDone, of a COPY of protected columns. */
  #convert(head: Pending | undefined): void {
    const { execution } = head ?? {}
    if (head === undefined || execution === undefined || this.#muted) return
    const { buffer, start, end, piece, type } = this.reader
    try {
      if (type === back.copyDone) this.#outgoing?.finish(this.#rows)
      else {
        const from = piece === 'whole' || piece === 'begin' ? start + 5 : start
        this.#outgoing?.push(buffer.subarray(from, end), this.#rows)
      }
      if (execution.uses.total > 0) this.#talk.untold = execution
    } catch (thrown) {
      if (thrown instanceof WireError) throw thrown
      this.#unreadable(head, toGatewayError(thrown))
    }
  }

  #copyIn(head: Pending): void {
    const talk = this.#talk
    const { execution } = head
    const copy = execution?.copy
    talk.beginCopy()
    if (this.#muted) {
      // The client was told that the statement failed and will never send the data that the server now waits for.
      this.#dropping = true
      talk.toServer.append(copyFail('the statement failed at the gateway'))
      talk.noteCopyEnd()
      return
    }
    this.#forward()
    if (execution === undefined || copy === undefined) return
    talk.incoming = new IncomingCopy(talk, execution, copy)
    if (copy.direction !== 'in' || !isAsPlanned(copy, this.reader)) talk.incoming.fail(otherCopy())
  }

  #ready(head: Pending): void {
    const { buffer, start, end } = this.reader
    if (end - start !== 6) throw new WireError('ReadyForQuery of another length')
    this.#outgoing = undefined
    this.#muted = false
    this.#talk.becameReady(head, buffer.readUInt8(start + 5))
    if (head.swallow === true) this.#dropping = true
    else this.#forward()
  }

  /** Of a Sync that the server has answered after all, or of our own behind it. */
  #stray(head: Pending | undefined): void {
    const transaction = this.reader.buffer.readUInt8(this.reader.start + 5)
    this.#dropping = head?.asksStrays === true
    if (this.#dropping) this.#talk.strays.hold(transaction)
    else {
      takeStray(this.#talk, transaction)
      this.#forward()
    }
  }

  #error(head: Pending | undefined): void {
    const talk = this.#talk
    const { buffer, start, end } = this.reader
    const fields = parseErrorResponse(buffer, start + 5, end)
    const severity = fields.get('V') ?? fields.get('S') ?? ''
    talk.endCopy()
    if (severity === 'FATAL' || severity === 'PANIC') {
      this.endedByServer = true
      this.#send(rebuildErrorResponse(fields))
      return
    }
    if (head === undefined) throw new WireError('an error from PostgreSQL to nothing that was asked')
    if ((head.kind === 'query' || head.kind === 'sync') && head.swallow === true)
      throw new WireError('a statement of the gateway has failed')
    talk.strays.expect(talk.pending.failCopy())
    talk.settings.fail()
    const { execution } = head
    const failure = execution?.failure
    this.#outgoing = undefined
    if (execution !== undefined) talk.tellEnd(execution, 'error', failure?.code ?? fields.get('C') ?? 'unknown')
    head.refused?.()
    if (head.refusal !== undefined) this.#send(head.refusal)
    else if (execution !== undefined && failure !== undefined && !this.#muted) {
      this.#send(errorResponse(failure.code, failure.message, execution.requestId))
    } else if (!this.#muted) this.#relayError(head, fields)
    // A simple query stays until its ReadyForQuery; everything else is skipped by the server up to Sync.
    if (head.kind === 'query' || head.kind === 'sync') return
    talk.pending.dropToSync()
    // Its Sync has not come yet: what the client sends before it is read over by the server, so it changes nothing here either.
    if (talk.pending.length === 0 || talk.pending.head()?.asksStrays === true) talk.discarding = true
  }

  #relayError(head: Pending, fields: Map<string, string>): void {
    const revised = tellTimeout(this.#talk, fields)
    if (reviseError(this.#talk, head, fields) || revised) this.#send(rebuildErrorResponse(fields))
    else this.#forward()
  }

  #parameterStatus(): void {
    const { buffer, start, end } = this.reader
    const told = this.#talk.parameters.report(buffer.toString('utf8', start + 5, end))
    if (told === 'the same') this.#forward()
    else this.#dropping = true
    if (typeof told === 'object') this.#send(parameterStatuses([told]))
  }
}
