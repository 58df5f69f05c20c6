import type { Conversation } from './conversation.ts'
import { frameEnd } from './wire/frame-reader.ts'
import { back } from './wire/message.ts'

/**
 * Answers to messages over nothing protected, as far as they are the usual ones and lie whole in a chunk: nothing of them is to be looked at
 * but what they answer. Not where connections are shared, nor where a ReadyForQuery may come that nobody has asked for.
 *
 * @returns how many bytes of the chunk they have; what follows has to be looked at message by message
 */
export function passPlainAnswers(talk: Conversation, chunk: Buffer): number {
  const { pending, strays } = talk
  if (talk.copyIn !== 'no' || talk.prepared !== undefined || strays.areDue) return 0
  let at = 0
  for (;;) {
    const head = pending.head()
    if (head?.isPlain !== true) return at
    const end = frameEnd(chunk, at)
    if (end === undefined) return at
    switch (chunk[at]) {
      case back.parseComplete:
        if (head.kind !== 'parse') return at
        pending.shift()
        break
      case back.bindComplete:
        if (head.kind !== 'bind') return at
        pending.shift()
        break
      case back.rowDescription:
        if (head.kind === 'describe-portal') pending.shift()
        else if (head.kind !== 'query') return at
        break
      case back.noData:
        if (head.kind !== 'describe-portal') return at
        pending.shift()
        break
      case back.dataRow:
        if (head.kind !== 'execute' && head.kind !== 'query') return at
        break
      case back.commandComplete:
      case back.emptyQuery:
        if (head.kind === 'execute') pending.shift()
        else if (head.kind !== 'query') return at
        break
      case back.readyForQuery: {
        const transaction = chunk[at + 5]
        if ((head.kind !== 'sync' && head.kind !== 'query') || end - at !== 6 || transaction === undefined) return at
        talk.becameReady(head, transaction)
        break
      }
      default:
        return at
    }
    at = end
  }
}
