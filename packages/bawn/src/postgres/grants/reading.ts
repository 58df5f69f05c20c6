import type { Privilege } from '../../accounts/grant.ts'

/** What a missing object is called by PostgreSQL: `relation "x" does not exist`, and `view` where it was to be dropped. */
export type Noun = 'relation' | 'table' | 'view' | 'materialized view' | 'sequence' | 'index' | 'foreign table'

/**
 * One thing that a statement touches and what it does to it, as it stands in the text: which schema an unqualified name means is found
 * later (`resolve.ts`), with the objects that there are then.
 */
export type Reference =
  /** A table, view, sequence or index that has to exist. */
  | {
      readonly kind: 'relation'
      readonly schema: string | undefined
      readonly name: string
      readonly privileges: readonly Privilege[]
      readonly noun: Noun
      /** Byte offset in the text, where PostgreSQL would tell it. */
      readonly offset: number | undefined
    }
  /** A relation that will be made, or a name that one will get. */
  | { readonly kind: 'creation'; readonly schema: string | undefined; readonly name: string }
  /** A relation gets another name beside itself. */
  | { readonly kind: 'new-name'; readonly schema: string | undefined; readonly name: string; readonly newName: string }
  /** A type, domain, collation … that is made, altered or dropped: it goes by its schema. */
  | { readonly kind: 'object'; readonly schema: string | undefined; readonly name: string }
  | { readonly kind: 'schema'; readonly schema: string; readonly privileges: readonly Privilege[] }
  /** Everything that is in a schema now. */
  | { readonly kind: 'contents'; readonly schema: string; readonly privileges: readonly Privilege[] }
  /** Everything in the database. */
  | { readonly kind: 'database'; readonly privilege: Privilege; readonly what: string }
  /** `attribute`: `x.f`, which calls `f(x)` where `x` has no column `f`. */
  | {
      readonly kind: 'function'
      readonly schema: string | undefined
      readonly name: string
      readonly attribute: boolean
    }
  /** What the gateway cannot see into, or what reaches beyond tables: every privilege is needed. `what` for the message. */
  | { readonly kind: 'restricted'; readonly what: string }

/** A query that gets a name: a prepared statement or a cursor. */
export interface Declaration {
  readonly kind: 'statement' | 'cursor'
  readonly name: string
  readonly references: readonly Reference[]
  /** A cursor that outlives its transaction. */
  readonly held: boolean
}

/** What happens to entries of grants once a statement was carried out and committed. */
export type ObjectChange =
  | { readonly kind: 'drop'; readonly schema: string | undefined; readonly name: string; readonly cascade: boolean }
  | { readonly kind: 'drop-schema'; readonly schema: string; readonly cascade: boolean }
  /** Another name or another schema: which, the database is asked afterwards. */
  | { readonly kind: 'move'; readonly schema: string | undefined; readonly name: string }
  | { readonly kind: 'move-schema'; readonly schema: string }

/** What one statement text asks for; by the text alone, whoever sends it and whatever the database holds. */
export interface Reading {
  readonly kind: 'read'
  /** `SELECT`, `CREATE TABLE` …; several joined by `+`. For the trail. */
  readonly verb: string
  /** The text is one statement: its answer is the answer to all of it. */
  readonly single: boolean
  readonly references: readonly Reference[]
  readonly declarations: readonly Declaration[]
  /** Names of prepared statements and cursors that it runs or reads on. */
  readonly uses: readonly { readonly kind: 'statement' | 'cursor'; readonly name: string }[]
  /** The one name that it takes back (DEALLOCATE, CLOSE), `*` for all; only where it is the whole text. */
  readonly releases: { readonly kind: 'statement' | 'cursor'; readonly name: string } | undefined
  /** Temporary relations that it makes: nobody else's, so nothing is needed for them. */
  readonly temporary: readonly string[]
  /** Relations that it makes: others cannot see them before the commit, nor can the gateway. */
  readonly created: readonly { readonly schema: string | undefined; readonly name: string }[]
  readonly changes: readonly ObjectChange[]
  /** May take away temporary relations of the session: a drop, the end of a transaction, or what is not seen into. */
  readonly unsettles: boolean
}

/** A text that is not understood. It is refused, but for superusers. */
export interface Unread {
  readonly kind: 'unread'
  readonly code: 'postgres.statement_unreadable' | 'postgres.statement_too_complex'
  readonly message: string
  readonly offset: number | undefined
}

/** Touches nothing. */
export const emptyReading: Reading = Object.freeze<Reading>({
  kind: 'read',
  verb: '',
  single: false,
  references: [],
  declarations: [],
  uses: [],
  releases: undefined,
  temporary: [],
  created: [],
  changes: [],
  unsettles: false,
})

/** May do anything. */
export const opaqueReading: Reading = Object.freeze<Reading>({
  ...emptyReading,
  references: [{ kind: 'restricted', what: 'a statement that is not understood' }],
  unsettles: true,
})
