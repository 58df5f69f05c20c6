import type { Conversation } from '../conversation.ts'
import { status } from '../wire/message.ts'
import type { Leftover } from './connection.ts'
import { keyOf } from './shared-names.ts'
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
  const { leftover, pins, setting, discards, deallocates } = traces
  if (weight[leftover] > weight[talk.leftover]) talk.leftover = leftover
  // What a transaction sets it may take back again.
  const moves = setting !== undefined && talk.transaction === status.idle && !talk.isPinned
  if (pins || (setting !== undefined && !moves)) talk.isPinned = true
  if (!moves && !discards && deallocates === undefined) return done
  return () => {
    done?.()
    if (moves && setting !== undefined) talk.remember?.(setting)
    if (discards) {
      talk.isPinned = false
      talk.remember?.('none')
    }
    if (discards || deallocates === 'all') {
      talk.statements.deleteWhere(() => true)
      talk.prepared?.clear()
    } else if (deallocates !== undefined) {
      const name = Buffer.from(deallocates.name).toString('latin1')
      const sent = talk.statements.get(name)?.sent
      talk.statements.set(name, undefined)
      if (sent !== undefined) talk.prepared?.forget(keyOf(sent))
    }
  }
}

/** Whether a text goes by what an earlier transaction has left, which may have been somebody else's. */
export function recallsOthers(talk: Conversation, { recalls }: Traces): boolean {
  return recalls && !talk.isPinned && talk.transaction === status.idle
}

/** What the server is to read in place of a DEALLOCATE that names a statement of the protocol; `undefined`: the text as it is. */
export function deallocation(talk: Conversation, { deallocates }: Traces): Buffer | undefined {
  if (talk.prepared === undefined || deallocates === undefined || deallocates === 'all') return undefined
  const sent = talk.statements.get(Buffer.from(deallocates.name).toString('latin1'))?.sent
  if (sent === undefined) return undefined
  const name = talk.isPinned ? talk.prepared.get(keyOf(sent)) : undefined
  // It need not be there, and all others are prepared again when they are needed.
  return Buffer.from(name === undefined ? 'DEALLOCATE ALL' : `DEALLOCATE "${name}"`)
}
