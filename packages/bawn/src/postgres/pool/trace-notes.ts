import type { Conversation } from '../conversation.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { back, status } from '../wire/message.ts'
import type { Leftover } from './connection.ts'
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
  const { pins, setting, discards, deallocates, clears } = traces
  noteLeftover(talk, traces)
  // What a transaction sets it may take back again.
  const moves = setting !== undefined && talk.transaction === status.idle && !talk.isPinned
  if (pins || (setting !== undefined && !moves)) {
    talk.isPinned = true
    talk.pins += 1
  }
  if (!moves && !discards && setting !== 'none' && !clears && deallocates === undefined) return done
  const before = talk.pins
  const known = new Set(talk.statements.values())
  const name = typeof deallocates === 'object' ? Buffer.from(deallocates.name).toString('latin1') : undefined
  // By now, not when it is done: what follows has to be prepared again.
  if (discards || clears || deallocates === 'all') talk.prepared.clear()
  return () => {
    done?.()
    if (moves && setting !== undefined) talk.remember?.(setting)
    if (discards || setting === 'none') talk.parameters.isReset = true
    if (discards) {
      // What was sent behind it is still to come.
      if (talk.pins === before) talk.isPinned = false
      talk.remember?.('none')
    }
    if (discards || deallocates === 'all') talk.statements.deleteWhere(statement => known.has(statement))
    else if (name !== undefined) talk.statements.set(name, undefined)
  }
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
