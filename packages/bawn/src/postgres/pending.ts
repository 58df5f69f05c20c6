import type { EditedText } from './edits.ts'
import type { Execution } from './execution.ts'
import type { Portal, Statement } from './objects.ts'

/** A message that was sent to the server and is not answered yet. */
export interface Pending {
  readonly kind: 'query' | 'parse' | 'bind' | 'describe-statement' | 'describe-portal' | 'execute' | 'close' | 'sync'
  /** Number of the Sync or simple query that ends its batch. */
  readonly batch: number
  /** Results may hold protected columns. */
  readonly execution?: Execution | undefined
  /** The server was made to fail here; the client gets this ErrorResponse in place of the server's. */
  readonly refusal?: Buffer | undefined
  /** To be called when it does. */
  readonly refused?: (() => void) | undefined
  /** The server was given another message here; the client gets this in place of its answer. */
  readonly answer?: Buffer | undefined
  /** A FunctionCall: it has one result, and is answered up to ReadyForQuery as a query is. */
  readonly functionCall?: boolean
  /** Our own message: the client sees nothing of its answer. */
  readonly swallow?: boolean
  /** A Sync of ours that asks which Syncs before it are still to be answered (`StraySyncs`). */
  readonly asksStrays?: boolean
  readonly statement?: Statement | undefined
  readonly portal?: Portal | undefined
  /** Close of a statement of this name, where names of clients do not reach the server. */
  readonly closes?: string
  /** What the tables of statements and portals held before this message, put back if the server skips it. */
  readonly undo?: (() => void) | undefined
  /** To be called when the server has said that the statement was carried out. */
  readonly done?: (() => void) | undefined
  /** For positions in the server's error. */
  readonly edited?: EditedText | undefined
  /** Nothing of it is told, put back or done when it is answered, and what answers it is nobody's to look at. */
  readonly isPlain?: boolean
}

function plain(kind: Pending['kind']): Pending {
  return { kind, batch: -1, statement: undefined, portal: undefined, undo: undefined, done: undefined, isPlain: true }
}

/** Messages of which one is as another, by the unnamed portal: nothing has to be remembered of each, not even its batch. */
export const plainParse: Pending = plain('parse')
export const plainBind: Pending = plain('bind')
export const plainDescribe: Pending = plain('describe-portal')
export const plainExecute: Pending = plain('execute')

/** More Syncs are not remembered in one COPY. */
const maxPassed = 10_000

/** Messages that wait for their answers, in order. */
export class PendingQueue {
  #entries: Pending[] = []
  #head = 0
  #shifted = 0
  /** Syncs that COPY reads over. */
  #passed: Pending[] = []
  /** And behind them something was sent that it does not. */
  #isStopped = false
  /** ReadyForQuery messages that are still to come. */
  outstandingReady = 0
  /** ReadyForQuery messages that were asked for since the session began. */
  readySent = 0

  /** ReadyForQuery messages that came of those: the same number is the same batch, wherever in it the server is. */
  get readyCame(): number {
    return this.readySent - this.outstandingReady
  }

  get length(): number {
    return this.#entries.length - this.#head
  }

  push(entry: Pending): void {
    this.#entries.push(entry)
    if (entry.kind !== 'sync' && entry.kind !== 'query') return
    this.outstandingReady += 1
    this.readySent += 1
  }

  /** The message that the next answer belongs to. */
  head(): Pending | undefined {
    return this.#entries[this.#head]
  }

  /** Which one that is, of all that ever were: another number is another message. `undefined`: there is none. */
  get headNumber(): number | undefined {
    return this.#head === this.#entries.length ? undefined : this.#shifted
  }

  /** Whether a Close of this statement, behind which ReadyForQuery was asked for, is still to be answered. @param batch the present one */
  closesBefore(batch: number, name: string): boolean {
    for (let at = this.#head; at < this.#entries.length; at += 1) {
      const entry = this.#entries[at]
      if (entry === undefined || entry.batch === batch) return false
      if (entry.kind === 'close' && entry.closes === name) return true
    }
    return false
  }

  shift(): void {
    const entry = this.#entries[this.#head]
    if (entry?.kind === 'sync' || entry?.kind === 'query') this.outstandingReady -= 1
    this.#head += 1
    this.#shifted += 1
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    } else if (this.#head > 1_024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }

  /** After an error of the extended protocol: everything up to the next Sync is skipped by the server, the newest undone first. */
  dropToSync(): void {
    const dropped: Pending[] = []
    for (let entry = this.#entries[this.#head]; entry !== undefined && entry.kind !== 'sync'; ) {
      dropped.push(entry)
      this.shift()
      entry = this.#entries[this.#head]
    }
    for (const entry of dropped.reverse()) entry.undo?.()
  }

  /** The server went into COPY FROM STDIN: it reads over each Sync behind it, for no data was sent before it asked. */
  passSyncs(): void {
    const rest = this.#entries.slice(this.#head)
    const other = rest.findIndex((entry, index) => index > 0 && entry.kind !== 'sync')
    this.#passed = rest.slice(1, other === -1 ? rest.length : other)
    this.#isStopped = other !== -1
    this.#entries = rest.toSpliced(1, this.#passed.length)
    this.#head = 0
    this.outstandingReady -= this.#passed.length
    this.readySent -= this.#passed.length
  }

  /**
   * A Sync goes to a server that is in COPY FROM STDIN, as far as is known.
   *
   * @returns whether it is read over there, unless the COPY has failed by now; otherwise it is to be awaited, as any other
   */
  passSync(batch: number): boolean {
    if (this.#isStopped) return false
    if (this.#passed.length < maxPassed) this.#passed.push({ kind: 'sync', batch })
    return true
  }

  /** Whether any was. */
  get hasPassed(): boolean {
    return this.#passed.length > 0 && !this.#isStopped
  }

  /** Something else than data goes to a server that is in COPY FROM STDIN, as far as is known. Not behind a Sync that was passed. */
  stopCopy(): void {
    if (this.#passed.length === 0) this.#isStopped = true
  }

  /**
   * The COPY failed. It may have done so before it read: a trigger, a cancel request. Where something else than data was behind the Syncs, it
   * has: otherwise the server would have ended the connection.
   *
   * @returns how many Syncs may still be answered, and nobody can know
   */
  failCopy(): number {
    const passed = this.#passed
    this.#passed = []
    if (!this.#isStopped) return passed.length
    this.#entries.splice(this.#head + 1, 0, ...passed)
    this.outstandingReady += passed.length
    this.readySent += passed.length
    return 0
  }

  /** The COPY has read everything. */
  endCopy(): void {
    if (this.#passed.length > 0) this.#passed = []
  }

  /** What is outstanding, oldest first. */
  list(): readonly Pending[] {
    return this.#entries.slice(this.#head)
  }
}
