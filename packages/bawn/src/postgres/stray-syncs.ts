import type { Conversation } from './conversation.ts'
import type { Pending } from './pending.ts'
import { MessageBuilder } from './wire/builder.ts'
import { back } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

/**
 * Syncs that a COPY may have come to read over before it failed, or not: as many ReadyForQuery may come besides those that are awaited. They
 * come before whatever answers what was sent behind them.
 *
 * Behind an error of the extended protocol nobody knows either whether the server reads on. Where that has to be known, it is asked by a
 * Sync and a Close of the gateway's own: all ReadyForQuery before the Close is answered are of these Syncs, but for the last.
 */
export class StraySyncs {
  #count = 0
  /** The query at the head was carried out, or has failed. */
  #isAnswered = false
  /** What the ReadyForQuery said that came since the server was asked. */
  #held: number[] = []

  get areDue(): boolean {
    return this.#count > 0
  }

  /** Something has failed. @param count Syncs of which nobody can know */
  expect(count: number): void {
    this.#count = count
    this.#isAnswered = true
  }

  /** Something else than ReadyForQuery was answered. */
  end(): void {
    this.#count = 0
    this.#isAnswered = true
  }

  /** ReadyForQuery came that was awaited. */
  next(): void {
    this.#isAnswered = false
  }

  /** ReadyForQuery of one of them came. */
  take(): void {
    this.#count -= 1
  }

  /** ReadyForQuery came, and whose it is is not known yet. @param transaction what it says */
  hold(transaction: number): void {
    this.#held.push(transaction)
  }

  /** The server has answered what it was asked. @returns what came, in order; the last one is the answer to the gateway's Sync */
  takeHeld(): readonly number[] {
    const held = this.#held
    this.#held = []
    this.end()
    return held
  }

  /** Whether ReadyForQuery is of one of them. @param head what was to be answered next */
  isOf(head: Pending | undefined): boolean {
    if (this.#count === 0) return false
    return head === undefined || (head.kind !== 'sync' && (head.kind !== 'query' || !this.#isAnswered))
  }
}

/** One of them is answered. @param transaction what its ReadyForQuery says */
export function takeStray(talk: Conversation, transaction: number): void {
  talk.strays.take()
  talk.discarding = false
  talk.transaction = transaction
  talk.settle()
}

/**
 * What comes behind our own Sync is answered: of the Syncs before it, the COPY had not read over those whose ReadyForQuery has come.
 *
 * @param head our Sync
 * @returns the client's ReadyForQuery messages
 */
export function tellHeld(talk: Conversation, head: Pending): Buffer {
  const held = talk.strays.takeHeld()
  const own = held.at(-1)
  if (own === undefined) throw new WireError('an answer from PostgreSQL to nothing that was asked')
  const told = new MessageBuilder()
  for (const transaction of held.slice(0, -1)) told.begin(back.readyForQuery).uint8(transaction).end()
  if (held.length > 1) talk.discarding = false
  talk.becameReady(head, own)
  return told.take()
}
