import type { RawStmt } from 'libpg-query'
import type { ErrorCode } from '../../error.ts'
import type { Field } from '../../fields/field.ts'
import type { AccountReading } from '../administration/statement.ts'
import type { TextMatch } from '../firewall/rules.ts'
import type { Reading, Unread } from '../grants/reading.ts'
import type { Token } from './lexer.ts'
import type { DatabaseObjects } from './objects.ts'

/** A column of a relation that holds at least one protected column. */
export interface RelationColumn {
  readonly name: string
  /** `pg_attribute.attnum`, from 1. */
  readonly attnum: number
  readonly typeOid: number
  readonly hasDefault: boolean
  /** Computed by the database; COPY leaves it out. */
  readonly generated: boolean
  readonly field: Field | undefined
}

/** A table (or partition, or inheritance child) with a protected column. */
export interface ProtectedRelation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** All live columns, in order: `INSERT` without a column list and `*` need them. */
  readonly columns: readonly RelationColumn[]
  /** Not declared itself: protected through the tables that a view reads, or through the parent of a partition or child. */
  readonly derived?: 'view' | 'child' | undefined
  /** Why nothing may be written into it: a rule of it, or a default beneath it, would store what is not sealed. */
  readonly unwritable?: string | undefined
}

/** A view, or a table with rules, over protected columns that is not understood: naming it is refused. */
export interface Dependent {
  readonly schema: string
  readonly name: string
  /** For the refusal; may be empty. */
  readonly reason: string
  /** Only writing is refused: a rule of it, or a default beneath it, would store what is not sealed. */
  readonly readable?: boolean | undefined
}

/** Why a declared column cannot be protected as the database is now. Statements that read or write its table are refused until it can; schema changes are not. */
export interface SchemaProblem {
  readonly code: 'postgres.column_missing' | 'postgres.column_not_bytea'
  readonly schema: string
  readonly table: string
  readonly column: string
  /** What is wrong, with names; nothing secret. */
  readonly message: string
  readonly hint: string
}

/** What the catalogue of fields means in one database as it is now. Replaced whole when the schema changed; `epoch` then differs. */
export interface SchemaSnapshot {
  readonly epoch: number
  readonly relations: readonly ProtectedRelation[]
  /** By table OID, then by attnum: how result columns are recognised. */
  readonly columns: ReadonlyMap<number, ReadonlyMap<number, Field>>
  /** Views, tables with rules and parents of protected partitions that could not be followed. */
  readonly dependents: readonly Dependent[]
  /** Other relations with the name of a protected one: an unqualified name may mean them, so values are then written and searched only by `schema.table`. */
  readonly homonyms: readonly { readonly schema: string; readonly name: string }[]
  readonly problems: readonly SchemaProblem[]
  /** Names of temporary views over protected columns, of whatever session: who has made one may not use it. */
  readonly temporary?: readonly string[] | undefined
  /** There are event triggers: a statement may change more of the schema than it says. */
  readonly eventTriggers?: boolean | undefined
  /** Why row filters do not hold; while there is any reason, no statement goes on. */
  readonly missingFilters?: readonly string[] | undefined
  /** Everything that a statement can name: with grants only. It changes more often than the rest and does not move `epoch`. */
  readonly objects?: DatabaseObjects | undefined
}

/** Replaces bytes `start` to `end` of the statement text (UTF-8 byte offsets). */
export type Edit =
  /** By fixed text. */
  | { readonly kind: 'text'; readonly start: number; readonly end: number; readonly text: string }
  /** By a literal `'\x…'` of the sealed value or of the search hash; made anew at each execution. */
  | {
      readonly kind: 'value'
      readonly start: number
      readonly end: number
      readonly field: Field
      readonly as: 'sealed' | 'searched'
      /** The literal's value as the client wrote it, unescaped. */
      readonly plaintext: Uint8Array
    }

/** `$index` of the statement holds a protected value: its type towards the server is bytea (OID 17). */
export interface ParameterUse {
  /** From 1. */
  readonly index: number
  readonly field: Field
  readonly as: 'sealed' | 'searched'
}

/** What a text does to the names of prepared statements and cursors, for `EXECUTE` and `FETCH` later on. */
export type NamedEffect =
  | {
      readonly kind: 'prepared'
      readonly name: string
      readonly parameters: readonly ParameterUse[]
      /** It names something protected. */
      readonly concerned: boolean
    }
  /** Without a name: all. */
  | { readonly kind: 'freed'; readonly name: string | undefined }
  /** Of a cursor. */
  | { readonly kind: 'declared'; readonly name: string; readonly concerned: boolean }

/** A query by the name that it was given before, in SQL or by the protocol's messages. */
export interface NamedQuery {
  readonly kind: 'statement' | 'cursor'
  readonly name: string
}

/** What the parameters of a named statement hold; `undefined` when it cannot be told. */
export type NamedUses = (name: string) => readonly ParameterUse[] | undefined

/** In common to all plans that are not refused. */
interface Consequences {
  readonly schemaChange: boolean
  /** Where it changes the schema: as far as its text tells, nothing that is protected, over anything protected, or called as that is. */
  readonly apart?: boolean | undefined
  /** Names of views, partitions and children that it makes: they are protected, and not known before the transaction has ended. */
  readonly makes?: readonly string[] | undefined
  /** By the place of the statement in the text. */
  readonly named?: readonly (NamedEffect | undefined)[] | undefined
}

/** How COPY writes rows; bytes, not characters: the server takes one-byte marks only. */
export type CopyFormat =
  | { readonly kind: 'binary' }
  | {
      readonly kind: 'text'
      readonly delimiter: number
      /** What stands for NULL. */
      readonly null: Buffer
      /** The first line is names. */
      readonly header: boolean
    }
  | {
      readonly kind: 'csv'
      readonly delimiter: number
      readonly quote: number
      readonly escape: number
      readonly null: Buffer
      readonly header: boolean
      /** By place of the column. FORCE_QUOTE; of protected columns only. */
      readonly forceQuote: ReadonlySet<number>
      /** FORCE_NULL: what is quoted may be NULL too. */
      readonly forceNull: ReadonlySet<number>
      /** FORCE_NOT_NULL: what stands for NULL is a value. */
      readonly forceNotNull: ReadonlySet<number>
    }

/** COPY between the client and protected columns. */
export interface CopyPlan {
  /** `in`: FROM STDIN. */
  readonly direction: 'in' | 'out'
  readonly format: CopyFormat
  /** Every column that is copied, in order; `undefined` is not protected. */
  readonly columns: readonly (Field | undefined)[]
}

export type StatementPlan =
  /** Nothing protected is touched: forward as it is, look at no row. */
  | (Consequences & { readonly kind: 'pass' })
  /** Results may carry protected columns (found by OID in RowDescription); values on the way in are replaced. */
  | (Consequences & {
      readonly kind: 'protected'
      /** `SELECT`, `INSERT` …; several joined by `+`. For the trail. */
      readonly verb: string
      /** `schema.table`, sorted; empty for `EXECUTE` and `FETCH`. For the trail. */
      readonly tables: readonly string[]
      /** In order, not overlapping. */
      readonly edits: readonly Edit[]
      readonly parameters: readonly ParameterUse[]
      /** Makes a prepared statement or a cursor by SQL: such names are the same as those of Parse and Bind. */
      readonly declares: boolean
      /** It gives values to statements by their names: it holds for this session only, and for now. */
      readonly forNow?: boolean | undefined
      /** Where results come of EXECUTE and FETCH only: by which names, without those that the text has given itself to what names nothing protected. */
      readonly executes?: readonly NamedQuery[] | undefined
      /** It is the one statement of its text. */
      readonly copy?: CopyPlan | undefined
    })
  | RefusedPlan

/** Never forwarded. */
export interface RefusedPlan {
  readonly kind: 'refused'
  readonly code: ErrorCode
  readonly message: string
  /** What the client can do instead; shown as ErrorResponse `H`. */
  readonly hint: string
  /** Byte offset in the text. */
  readonly offset: number | undefined
  /** The text is no statement, and nothing protected can be named in it: the server may say what is wrong, if it does not run it. */
  readonly askServer?: boolean
  /** Grants decided so: what the trail has of it. */
  readonly denial?: { readonly rule: string; readonly action: string; readonly resource: string }
  /** In PostgreSQL's own words, with nothing of ours beside them: what somebody may not see does not exist. */
  readonly bare?: boolean
}

/** What grants make of a text. */
export type TextReading = Reading | Unread | AccountReading

/** What a class of identities may do with a field in an expression: `search` only where the field is searchable and seen plain. */
export type FieldAbility = (field: Field) => 'search' | 'none'

/**
 * Plans statements of one database. Pure but for its cache: a plan depends on text, snapshot epoch and class of identity only.
 */
/** What the planner asks of a firewall: what its rules make of a text, once for each. */
export interface StatementRules {
  match(text: Uint8Array, tokens: readonly Token[], statements: readonly RawStmt[]): TextMatch
  /** Of a statement about accounts that is the gateway's own. */
  readonly accounts: TextMatch
}

export interface Planner {
  /**
   * @param text the statement as the client sent it, UTF-8, without the terminating NUL
   * @param identityClass cache key of the abilities
   * @param named what is prepared in the session; without it no value is given to a named statement
   * @returns at once when cached or when no parsing is needed
   */
  plan(
    text: Uint8Array,
    snapshot: SchemaSnapshot,
    identityClass: string,
    ability: FieldAbility,
    named?: NamedUses,
  ): StatementPlan | Promise<StatementPlan>
  /**
   * What a text touches, for grants. Kept by text once `plan` has shown that it holds no plaintext: call it with the same array.
   *
   * @param text as for `plan`
   * @param asSql not to be taken for a statement about accounts
   */
  read(text: Uint8Array, asSql?: boolean): TextReading | Promise<TextReading>
  /**
   * What the rules of a firewall make of a text; kept as readings are, as long as it is called with the same rules.
   *
   * @param accounts whether statements about accounts are the gateway's own
   */
  match(text: Uint8Array, accounts: boolean, firewall: StatementRules): TextMatch | Unread | Promise<TextMatch | Unread>
  close(): Promise<void>
}
