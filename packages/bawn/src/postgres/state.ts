import type { X509Certificate } from 'node:crypto'
import type { AuditTrail } from '../audit/event.ts'
import type { Identity, Outcome } from '../authn/identity.ts'
import type { UsableMechanism } from '../authn/option.ts'
import type { ScramFinal, ScramFirst, ScramMechanismName } from '../authn/scram.ts'
import type { Catalogue } from '../fields/field.ts'
import type { Gate } from '../policy/policy.ts'
import type { Planner, SchemaSnapshot } from './sql/plan.ts'

// What the door is given, as interfaces: whoever composes the gateway builds one `DoorState` and swaps it whole on a reload.

/** One database behind the door. */
export interface DatabaseState {
  readonly name: string
  readonly upstream: UpstreamTarget
  /** Who may connect. */
  readonly gate: Gate
  readonly schema: SchemaSource
  readonly planner: Planner
}

/** Where and how to log in to PostgreSQL. */
export interface UpstreamTarget {
  readonly host: string
  readonly port: number
  /** Its name on that server. */
  readonly database: string
  /** `undefined` is plain TCP; otherwise verify-full. */
  readonly tls: { readonly ca: string | undefined; readonly serverName: string | undefined } | undefined
  readonly user: string
  readonly password: string
  readonly connectTimeoutMs: number
}

/** The catalogue of fields as the database's schema makes it at this moment. */
export interface SchemaSource {
  /** Rejects when it cannot be read: then no statement is let through. */
  current(): SchemaSnapshot | Promise<SchemaSnapshot>
  /** Reads the schema again, after a statement that may have changed it. Rejects as `current` does. */
  refresh(): Promise<SchemaSnapshot>
}

/** A matched rule names itself; `none` refuses. */
export type HostRuleMatch =
  | { readonly kind: 'matched'; readonly rule: string; readonly use: readonly UsableMechanism[] }
  | { readonly kind: 'none' }

export interface HostRuleQuestion {
  readonly door: 'postgres'
  readonly user: string
  readonly address: string
  readonly tls: boolean
  readonly database: string
}

/** As `ScramMechanism.start` of authn: unknown names get the exchange that others get. Rejects when it cannot be decided. */
export type ScramStart = (
  user: string,
  login: { readonly channelBinding: Uint8Array | undefined; readonly nonce: string },
) => Promise<ScramLogin>

export interface ScramLogin {
  readonly mechanisms: readonly ScramMechanismName[]
  first(mechanism: string, message: Uint8Array): ScramFirst
  final(
    message: Uint8Array,
  ):
    | { readonly kind: 'identified'; readonly serverFinal: Uint8Array; readonly identity: Identity }
    | Exclude<ScramFinal, { readonly kind: 'identified' }>
}

/** How callers may prove who they are. A method that throws or rejects cannot decide: the door answers 57P03. */
export interface DoorState {
  readonly databases: ReadonlyMap<string, DatabaseState>
  readonly hostRules: { match(question: HostRuleQuestion): HostRuleMatch }
  /** Given a certificate whose chain was verified against the listener's `client_ca`. */
  readonly certificate: { authenticate(certificate: X509Certificate): Outcome | Promise<Outcome> } | undefined
  readonly scram: { start: ScramStart } | undefined
  readonly jwt: { authenticate(token: string): Outcome | Promise<Outcome> } | undefined
  readonly catalogue: Catalogue
  readonly audit: AuditTrail
  /** Which statements get a line in the trail. */
  readonly auditStatements: 'protected' | 'all'
  readonly log: (entry: LogEntry) => void
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** For the operator. `cause` may be logged with its stack; it holds no secret, as no error of ours does. */
export interface LogEntry {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly requestId: string
  readonly cause?: unknown
}

/** One open session, as the operator's list shows it. */
export interface SessionSummary {
  readonly id: string
  readonly identity: Identity
  readonly database: string
  readonly address: string
  readonly since: number
}
