import type { Conversation } from './conversation.ts'
import { objectKey, type Statement } from './objects.ts'
import { plainBind, plainDescribe, plainExecute, plainParse } from './pending.ts'
import { isPromise, maxSchemaAgeMs } from './planning.ts'
import type { SchemaSnapshot } from './sql/plan.ts'
import { objectNameAt } from './wire/body-reader.ts'
import { frameEnd } from './wire/frame-reader.ts'
import { front } from './wire/message.ts'

// Most of what a client sends is one statement again and again that touches nothing protected: Bind, Describe, Execute, Sync, all of it in
// one chunk. Here such a group is recognised by its bytes and goes on as it came, without a look at each message by itself. Nothing is
// decided here: whatever is not exactly so is left to the way that everything else goes.

/** Bind, Describe and Execute name the portal by its first byte: none. */
const nameless = 0
const headerBytes = 5
/** The fewest bytes of a Parse: two empty texts and no types. */
const leastParseBytes = headerBytes + 4

/** Whether a chunk may begin with a group; costs nothing, and asks for nothing. */
export function mayBeginGroup(chunk: Buffer): boolean {
  return chunk[0] === front.bind || chunk[0] === front.parse
}

/** @param end of Execute */
function isForAllRows(chunk: Buffer, end: number): boolean {
  return chunk[end - 4] === 0 && chunk[end - 3] === 0 && chunk[end - 2] === 0 && chunk[end - 1] === 0
}

/** Groups of messages over nothing protected, up to their Sync. */
export class PlainRequests {
  readonly #talk: Conversation
  /** Letters of the group that is looked at. */
  readonly #letters: number[] = []

  constructor(talk: Conversation) {
    this.#talk = talk
  }

  /**
   * Forwards the groups that a chunk begins with. To be called between two frames only. @returns how many bytes they have
   */
  take(chunk: Buffer): number {
    const talk = this.#talk
    const snapshot = this.#snapshot()
    if (snapshot === undefined) return 0
    let at = 0
    while (at < chunk.length) {
      const end = this.#group(chunk, at, snapshot)
      if (end === undefined) break
      at = end
      for (const letter of this.#letters) {
        if (letter === front.bind) talk.pending.push(plainBind)
        else if (letter === front.describe) talk.pending.push(plainDescribe)
        else if (letter === front.parse) talk.pending.push(plainParse)
        else {
          talk.executedIn = talk.batch
          talk.runs += 1
          talk.pending.push(plainExecute)
        }
      }
      talk.sendPlain('sync')
    }
    if (at > 0) talk.toServer.slice(chunk, 0, at, false)
    return at
  }

  /** The schema as it is now, where nothing but a statement's plan has a say in whether it goes on. */
  #snapshot(): SchemaSnapshot | undefined {
    const talk = this.#talk
    const { database, state, audit } = talk
    if (talk.prepared !== undefined || talk.discarding || talk.copyIn !== 'no') return undefined
    if (talk.schemaChangedAt !== undefined || talk.unread.length > 0) return undefined
    // It would have to be forgotten, and known again if the server skips Bind.
    if (talk.portals.size > 0 || talk.sqlStatements.hasCursors) return undefined
    if (database.grants !== undefined || state.auditStatements === 'all') return undefined
    if (audit.identity.expiresAt !== undefined) return undefined
    const now = database.schema.fresh(maxSchemaAgeMs)
    if (!isPromise(now)) return now.missingFilters?.[0] === undefined ? now : undefined
    // Asked again for the same messages, and heard there.
    now.catch(() => {})
    return undefined
  }

  /** @returns where the group ends that begins at `at`; `undefined`: it is none */
  #group(chunk: Buffer, at: number, snapshot: SchemaSnapshot): number | undefined {
    const talk = this.#talk
    const letters = this.#letters
    letters.length = 0
    let statement: Statement | undefined
    let isBound = false
    let isRun = false
    for (let start = at; ; ) {
      const end = frameEnd(chunk, start)
      if (end === undefined) return undefined
      const letter = chunk[start]
      switch (letter) {
        case front.bind: {
          if (end - start > talk.limits.maxFrameBytes || chunk[start + headerBytes] !== nameless) return undefined
          statement = this.#known(chunk, start + headerBytes + 1, end, snapshot)
          if (statement === undefined) return undefined
          isBound = true
          isRun = false
          break
        }
        case front.parse:
          if (end - start > talk.limits.maxFrameBytes || !this.#isSameParse(chunk, start, end, snapshot))
            return undefined
          break
        case front.describe:
          if (!isBound || end - start !== 7 || chunk[start + 5] !== 0x50 || chunk[start + 6] !== nameless)
            return undefined
          break
        case front.execute:
          if (!isBound || end - start !== 10 || chunk[start + headerBytes] !== nameless) return undefined
          if (!isForAllRows(chunk, end)) return undefined
          isRun = true
          break
        case front.sync:
          // A portal with rows left may be named by what comes behind, and nothing is remembered of it.
          if (end - start !== headerBytes || isBound !== isRun) return undefined
          return talk.pending.length + letters.length < talk.limits.maxPending ? end : undefined
        default:
          return undefined
      }
      letters.push(letter)
      start = end
    }
  }

  /** The statement that Bind names, if it may be run as it is. @param from where its name begins */
  #known(chunk: Buffer, from: number, end: number, snapshot: SchemaSnapshot): Statement | undefined {
    const talk = this.#talk
    let to = from
    while (to < end && chunk[to] !== 0) to += 1
    if (to === end) return undefined
    const name = objectNameAt(chunk, from, to)
    const statement = talk.statements.get(name)
    if (statement === undefined || !this.#isPlain(statement, snapshot)) return undefined
    if (talk.sqlStatements.isProtected(name) || !this.#isJudged(name, statement)) return undefined
    statement.snapshot = snapshot
    return statement
  }

  /** By the rules of the firewall that are in force, whatever SQL may have given the name to. */
  #isJudged(name: string, { judgedIn }: Statement): boolean {
    const { rules, database, judgedNames } = this.#talk
    if (database.firewall === undefined) return true
    return judgedIn === rules && (judgedNames.of(`statement ${objectKey(name)}`) ?? rules) === rules
  }

  /** Its plan is of today, and leaves nothing to do but to forward. */
  #isPlain(statement: Statement, snapshot: SchemaSnapshot): boolean {
    const { plan } = statement
    if (plan.kind !== 'pass' || plan.schemaChange || plan.named !== undefined || plan.makes !== undefined) return false
    if (!statement.confirmed || statement.account !== undefined || statement.traces !== undefined) return false
    if (statement.match !== undefined) return false
    return statement.declarations === this.#talk.declarations && statement.snapshot.epoch === snapshot.epoch
  }

  /** Parse of the very text that the unnamed statement has by now, without types. */
  #isSameParse(chunk: Buffer, start: number, end: number, snapshot: SchemaSnapshot): boolean {
    const talk = this.#talk
    if (talk.database.firewall !== undefined) return false
    if (talk.objectChanges.following !== undefined) return false
    const from = start + headerBytes + 1
    const to = end - 3
    if (end - start < leastParseBytes || chunk[from - 1] !== nameless) return false
    if (chunk[to] !== 0 || chunk[to + 1] !== 0 || chunk[to + 2] !== 0) return false
    const statement = talk.statements.get('')
    if (statement === undefined || statement.types.length > 0 || !this.#isPlain(statement, snapshot)) return false
    return statement.text.length === to - from && statement.text.compare(chunk, from, to) === 0
  }
}
