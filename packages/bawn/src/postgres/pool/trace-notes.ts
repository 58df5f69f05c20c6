import type { Conversation } from '../conversation.ts'
import type { Statement } from '../objects.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { back, status } from '../wire/message.ts'
import { buildParse } from '../wire/parse.ts'
import { buildCloseStatement } from '../wire/row-description.ts'
import type { Leftover } from './connection.ts'
import type { ServerStatements } from './server-statements.ts'
import type { Traces } from './traces.ts'

const weight: { readonly [leftover in Leftover]: number } = { nothing: 0, state: 1, unfit: 2 }

/**
 * A text is about to be run on a connection that others have too. @returns what to do when the server has carried it out
 */
export function noteTraces(
  talk: Conversation,
  traces: Traces | undefined,
  done: (() => void) | undefined,
): (() => void) | undefined {
  if (talk.prepared === undefined || traces === undefined) return done
  const { pins, setting, resets, discards, deallocates, clears, frees } = traces
  noteLeftover(talk, traces)
  const isAlone = talk.settings.run(talk.batch)
  // Where it goes into a session that keeps its connection, it stays there.
  const moves = setting !== undefined && !talk.isPinned
  if (pins || (setting !== undefined && !moves)) pin(talk)
  if (resets !== undefined) talk.settings.leadsBack = true
  const takesBack = discards || clears || deallocates !== undefined
  if (!moves && resets === undefined && !takesBack) return done
  if (takesBack) talk.takesBackAt = talk.pending.readySent + 1
  const before = talk.pins
  const known = new Set(talk.statements.values())
  const name = typeof deallocates === 'object' ? Buffer.from(deallocates.name).toString('latin1') : undefined
  // By now, not when it is done: what follows has to be prepared again.
  if (discards || clears || deallocates === 'all') talk.prepared.clear()
  let left = traces.before
  let at = 0
  return () => {
    done?.()
    // What a transaction sets it may take back again.
    if (moves && talk.transaction === status.idle && isAlone()) talk.settings.move(setting)
    else if (moves) pin(talk)
    if (resets === 'all') talk.parameters.isReset = true
    if (resets !== undefined) talk.settings.reset(resets)
    if (discards) {
      // What was sent behind it is still to come.
      if (talk.pins === before) talk.isPinned = false
      talk.settings.remember('none')
    }
    if (discards || (deallocates === 'all' && left === 0)) talk.statements.deleteWhere(one => known.has(one))
    else if (name !== undefined) talk.statements.set(name, undefined)
    left -= 1
    for (const freed of frees) if (freed.at === at) talk.statements.set(freed.name, undefined)
    at += 1
  }
}

/**
 * A text is about to be sent that takes back names of the protocol among others: the server gets a statement under each of them, which has
 * nothing in it and is there to be taken back.
 */
export function lendNames(talk: Conversation, { frees }: Traces): void {
  if (talk.prepared === undefined) return
  for (const name of new Set(frees.map(freed => freed.name))) {
    if (talk.statements.get(name)?.sent === undefined) continue
    talk.send({ kind: 'close', swallow: true })
    talk.send({ kind: 'parse', swallow: true })
    talk.toServer.append(Buffer.concat([buildCloseStatement(name), buildParse({ name, text: nothing, types: [] })]))
  }
}

const nothing = Buffer.alloc(0)

function pin(talk: Conversation): void {
  talk.isPinned = true
  talk.pins += 1
}

/** A batch has ended: what it has set is taken along, or stays; what it has reset is led back to what the session began with. */
export function settleBatch(talk: Conversation): void {
  const { pins, restore } = talk.settings.end(talk.transaction, talk.isPinned)
  if (pins) pin(talk)
  if (restore !== undefined) talk.sendOwn(restore)
  // Whatever is still to come of a COPY that failed comes before this is answered.
  else if (talk.strays.areDue && talk.pending.length === 0) talk.sendOwn('')
  if (talk.pending.outstandingReady === 0) talk.settings.leadsBack = false
}

/** Also by planning: what PostgreSQL takes for immutable is called before anything runs. */
export function noteLeftover(talk: Conversation, traces: Traces | undefined): void {
  if (talk.prepared === undefined || traces === undefined) return
  if (weight[traces.leftover] > weight[talk.leftover]) talk.leftover = traces.leftover
}

/** Whether a text goes by what an earlier transaction has left, which may have been somebody else's. */
export function recallsOthers(talk: Conversation, { recalls }: Traces): boolean {
  return recalls && !talk.isPinned && talk.transaction === status.idle
}

/** Which statement a DEALLOCATE takes back is known when it is bound. */
export function reviseDeallocation(talk: Conversation, prepared: ServerStatements, statement: Statement): void {
  const { traces, sent, text } = statement
  if (sent === undefined || typeof traces?.deallocates !== 'object') return
  const wanted = deallocation(talk, traces) ?? text
  if (sent.text.equals(wanted)) return
  statement.sent = { ...sent, text: wanted }
  if (prepared.unnamed === statement) prepared.unnamed = undefined
}

/** What the client is told of a DEALLOCATE of one name, whatever the server was given for it. */
export const deallocated = new MessageBuilder().begin(back.commandComplete).cstring('DEALLOCATE').end().take()

const nobodysChannel = Buffer.from('UNLISTEN "bawn: nothing"')

/**
 * What the server is to read in place of a DEALLOCATE that names a statement of the protocol; `undefined`: the text as it is. The server
 * keeps the statement, which others may have as well: what is sent fails where DEALLOCATE does, and changes nothing.
 */
export function deallocation(talk: Conversation, { deallocates }: Traces): Buffer | undefined {
  if (talk.prepared === undefined || deallocates === undefined || deallocates === 'all') return undefined
  const sent = talk.statements.get(Buffer.from(deallocates.name).toString('latin1'))?.sent
  return sent === undefined ? undefined : nobodysChannel
}
