import type { Identity } from '../authn/identity.ts'
import type { Mask } from '../masking/mask.ts'

export interface ColumnName {
  /** Name of a configured database. */
  readonly database: string
  readonly schema: string
  readonly table: string
  readonly column: string
}

export interface JsonPlace {
  /** As in the configuration: a route's path, or a prefix that ends in `/*`. */
  readonly route: string
  /** `$.items[*].email` is `['items', '*', 'email']`; `*` stands for every element of an array. */
  readonly path: readonly string[]
  readonly carries: 'sealed' | 'plain'
}

/** One declared sensitive thing. */
export interface Field {
  readonly name: string
  readonly columns: readonly ColumnName[]
  readonly json: readonly JsonPlace[]
  readonly type: 'text' | 'bytes'
  readonly encrypt: 'acrablock' | 'acrastruct' | undefined
  readonly searchable: boolean
}

/** What an identity sees of a field, and the rule that says so (`email.reveal.support`). */
export type Disclosure =
  | { readonly kind: 'plain'; readonly rule: string }
  | { readonly kind: 'masked'; readonly rule: string; readonly mask: Mask }
  | { readonly kind: 'withheld'; readonly rule: string }

/** A field as one class of identity sees it. Made once per class, used per value. */
export interface FieldView {
  readonly field: Field
  readonly disclosure: Disclosure
  /**
   * @param stored a container as the column or the JSON value holds it (transport encoding removed), or the value itself where
   *   `carries` is `plain`. Not changed; the result never shares memory with it.
   * @returns what may be shown, or `undefined` when nothing may (SQL NULL, JSON null). An empty value stays empty.
   * @throws {FieldError} `fields.unreadable`; doors turn it into an error of the whole answer and never pass the stored bytes on
   */
  reveal(stored: Uint8Array, carries: 'sealed' | 'plain'): Uint8Array | undefined
  /**
   * Seals a value on its way in; with `searchable` the search hash stands before it. An empty value stays empty.
   * @throws {FieldError} `fields.no_key` when there is no key to seal with, `fields.masked_value` when it is the mask that this identity
   *   is shown
   */
  protect(plaintext: Uint8Array): Uint8Array
  /** The 33 bytes that equal the start of a stored value. Only when the field is searchable **and** the disclosure is plain; else throws `fields.not_searchable`. */
  searchHash(plaintext: Uint8Array): Uint8Array
}

/** The one catalogue of HTTP and SQL. */
export interface Catalogue {
  readonly fields: readonly Field[]
  find(name: string): Field | undefined
  /** Cached by `identityClass`. */
  view(field: Field, identity: Identity): FieldView
}
