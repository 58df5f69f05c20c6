import { formatTarget } from '../accounts/grant-target.ts'
import type { Conversation } from './conversation.ts'
import { emitStatement } from './execution.ts'
import { entryChanges } from './grants/follow.ts'
import type { ObjectChange } from './grants/reading.ts'
import type { DatabaseObjects } from './sql/objects.ts'

/** Drops and renames that a session has sent, until their entries have followed them. */
export class ObjectChanges {
  readonly #changes: ObjectChange[] = []
  /** What there was when the first of them was sent. */
  #before: DatabaseObjects | undefined
  /** Entries are on their way: statements wait for them, so that none is decided by entries of what is no more. */
  following: Promise<void> | undefined

  get isEmpty(): boolean {
    return this.#changes.length === 0
  }

  note(changes: readonly ObjectChange[], before: DatabaseObjects | undefined): void {
    if (changes.length === 0 || before === undefined) return
    this.#before ??= before
    this.#changes.push(...changes)
  }

  take(): { readonly changes: readonly ObjectChange[]; readonly before: DatabaseObjects | undefined } {
    const before = this.#before
    this.#before = undefined
    return { changes: this.#changes.splice(0), before }
  }
}

/** The transaction has ended, and everybody sees what became of it: entries go along. */
export function followChanges(talk: Conversation): void {
  const { objectChanges } = talk
  const { firewall, schema } = talk.database
  if (talk.apartIn !== undefined) {
    // What it names may have come to be something else while it was on its way.
    if (schema.current !== undefined && schema.current.epoch !== talk.apartIn) {
      schema.outdate()
      schema.announce()
    }
    if (talk.pending.outstandingReady === 0) talk.apartIn = undefined
  }
  // Other sessions of this gateway know of a change before their next statement, and read of new views and children at once.
  if (talk.isSchemaStale && talk.announcedAt !== talk.schemaChangedAt) {
    talk.announcedAt = talk.schemaChangedAt
    schema.doubt()
    schema.announce()
  }
  if (talk.isSchemaStale && (talk.unread.length > 0 || firewall?.asksForTables === true)) schema.outdate()
  if (objectChanges.isEmpty || !talk.isSchemaStale || objectChanges.following !== undefined) return
  objectChanges.following = follow(talk).finally(() => {
    objectChanges.following = undefined
  })
}

/** Never rejects: what could not be changed is told to the operator. */
async function follow(talk: Conversation): Promise<void> {
  const { changes, before } = talk.objectChanges.take()
  const { grants, schema, name } = talk.database
  if (grants === undefined || before === undefined) return
  try {
    const after = (await schema.refresh()).objects
    if (after === undefined) return
    for (const change of entryChanges(name, changes, before, after)) {
      const { administration } = grants
      const count =
        change.kind === 'forget'
          ? await administration.forget(change.target)
          : await administration.rename(change.from, change.to)
      if (count === 0) continue
      const text =
        change.kind === 'forget'
          ? formatTarget(change.target)
          : `${formatTarget(change.from)} to ${formatTarget(change.to)}`
      emitStatement(talk.audit, {
        requestId: talk.nextRequestId(),
        action: change.kind === 'forget' ? 'DROP of entries' : 'RENAME of entries',
        resource: `accounts/${administration.store}: ${text} (${count})`,
        decision: 'permit',
      })
    }
    talk.audit.audit.commit()
  } catch (cause) {
    talk.state.log({
      level: 'error',
      message: 'entries of grants did not follow the objects that were dropped or renamed',
      requestId: talk.audit.sessionId,
      cause,
    })
  }
}
