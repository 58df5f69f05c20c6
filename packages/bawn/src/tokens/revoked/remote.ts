import type { RevokedEntry, RevokedTarget } from './entry.ts'
import type { Revocation, RevokedTokens } from './mirror.ts'

// The list where several threads serve: each has one of its own, and the first thread, where operators ask, has none.

/** What operators ask of the list, wherever it is. */
export interface RevokedDesk {
  /** Kept, and in force in every thread, when it resolves. Rejects with `tokens.unavailable`, `tokens.full`. */
  revoke(revocation: Revocation): Promise<RevokedEntry>
  /** @returns whether it was revoked */
  restore(target: RevokedTarget): Promise<boolean>
  find(target: RevokedTarget): Promise<RevokedEntry | undefined>
  /** What counts now, the last one first. */
  list(): Promise<readonly RevokedEntry[]>
}

type Method = keyof RevokedDesk

/** A call of a method, as it can be posted. */
export type RevokedQuestion = {
  readonly [Name in Method]: { readonly method: Name; readonly args: Parameters<RevokedDesk[Name]> }
}[Method]

/** How threads with a list are asked. */
export interface RevokedThreads {
  /** Any one of them. */
  ask(question: RevokedQuestion): Promise<unknown>
  /** Every one reads what is new in the store. */
  hear(): Promise<void>
}

/** The list of this thread. */
export function ownRevoked({ revoke, restore, find, list }: RevokedTokens): RevokedDesk {
  return { revoke, restore, find: async target => find(target), list: async () => list() }
}

/** The list of other threads. What comes back is what the list gave: both ends are this program. */
export function remoteRevoked({ ask, hear }: RevokedThreads): RevokedDesk {
  const call = <Name extends Method>(
    method: Name,
    args: Parameters<RevokedDesk[Name]>,
  ): ReturnType<RevokedDesk[Name]> => ask({ method, args } as RevokedQuestion) as ReturnType<RevokedDesk[Name]>
  /** What one of them has written, the others hear at once and not with their next look. */
  const told = async <Result>(written: Promise<Result>): Promise<Result> => {
    const result = await written
    await hear()
    return result
  }
  return {
    revoke: (...args) => told(call('revoke', args)),
    restore: (...args) => told(call('restore', args)),
    find: (...args) => call('find', args),
    list: (...args) => call('list', args),
  }
}

/** An answer of a thread that has a list. */
export async function answerRevoked(desk: RevokedDesk, question: RevokedQuestion): Promise<unknown> {
  switch (question.method) {
    case 'revoke':
      return desk.revoke(...question.args)
    case 'restore':
      return desk.restore(...question.args)
    case 'find':
      return desk.find(...question.args)
    case 'list':
      return desk.list()
  }
}
