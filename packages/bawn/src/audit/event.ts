import type { DoorName, Identity } from '../authn/identity.ts'

/** How much of a field was shown. */
export interface FieldUse {
  readonly field: string
  readonly as: 'plain' | 'masked' | 'withheld' | 'sealed' | 'searched'
  /** Values, not rows. */
  readonly count: number
}

/** What a backend was told of rows and fields. */
export interface HintUse {
  /** The entry of `hints.rows` that decided; `undefined` without rows. */
  readonly by?: string | undefined
  /** The condition as the configuration has it: names, no values. JSON where it is none. */
  readonly where?: string | undefined
  /** Of the names in it, those that are about who asks. */
  readonly values?: Readonly<Record<string, unknown>> | undefined
  /** The other names: what they stood for came with the request, and may be anything, a protected value too. */
  readonly fromRequest?: readonly string[] | undefined
  /** Names of fields, and how they are seen. */
  readonly fields?: Readonly<Record<string, 'plain' | 'masked' | 'withheld'>> | undefined
}

/**
 * One line of the trail. Never holds a token, password, key, plaintext, row or statement text: `resource` is a route, or
 * `database/table,table`, and `action` a verb.
 */
export interface AuditEvent {
  readonly kind: 'login' | 'request' | 'statement' | 'admin' | 'gateway'
  /** Also in the answer to the caller (header or error detail) and in the log. */
  readonly requestId: string
  readonly door: DoorName | 'gateway'
  /** `undefined` before anybody was identified. */
  readonly identity: Identity | undefined
  /** The name a client stated in a failed login; cut to 128 characters. */
  readonly claimedName?: string | undefined
  readonly address: string | undefined
  readonly action: string
  readonly resource: string
  readonly fields?: readonly FieldUse[]
  readonly hints?: HintUse | undefined
  readonly decision: 'permit' | 'deny' | 'error'
  /** The rule that decided: a host rule, a policy, a field's disclosure rule. */
  readonly rule: string
  /** An error code of `src/error.ts`, or the reason of a rejected login. */
  readonly code?: string | undefined
}

/** Where events go. Doors call `emit` once for every decision, and `commit` before they send anything that an event of the same turn speaks of. */
export interface AuditTrail {
  /** Appends to the chain. Lines reach the operating system at the end of the current turn of the event loop at the latest. */
  emit(event: AuditEvent): void
  /** Writes what is buffered, synchronously. Throws when it cannot: then the answer must not be sent. */
  commit(): void
  /** Hash of the last line, hex: the anchor that `bawn audit verify --head` compares. */
  readonly head: string
  close(): Promise<void>
}
