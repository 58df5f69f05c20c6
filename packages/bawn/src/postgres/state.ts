import type { Administration } from '../accounts/grant.ts'
import type { PasswordCheck } from '../accounts/password.ts'
import type { Account } from '../accounts/store.ts'
import type { LoginThrottle } from '../accounts/throttle.ts'
import type { AuditTrail } from '../audit/event.ts'
import type { CertificateMechanism } from '../authn/certificate.ts'
import type { HostRules } from '../authn/host-rules.ts'
import type { Identity, Outcome } from '../authn/identity.ts'
import type { TokenSource } from '../authn/oauthbearer.ts'
import type { PluggedMechanism } from '../authn/option.ts'
import type { PasswordJudge } from '../authn/password-judge.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import type { ScramMechanism } from '../authn/scram-mechanism.ts'
import type { TrustMechanism } from '../authn/trust.ts'
import type { DatabaseLogin, DatabaseLoginTls } from '../database-client.ts'
import type { Catalogue } from '../fields/field.ts'
import type { Slots } from '../limits/session-slots.ts'
import type { GrantGate } from '../policy/grants.ts'
import type { Gate } from '../policy/policy.ts'
import type { Firewall } from './firewall/firewall.ts'
import type { Learning } from './firewall/learning.ts'
import type { DatabaseHosts } from './hosts.ts'
import type { UpstreamPool } from './pool/upstream-pool.ts'
import type { SessionLimits } from './session-limits.ts'
import type { Planner } from './sql/plan.ts'
import type { SchemaSource } from './sql/schema.ts'

// What the door is given, as interfaces: whoever composes the gateway builds one `DoorState` and swaps it whole on a reload.

/** One database behind the door. */
export interface DatabaseState {
  readonly name: string
  /** With `hosts` the first of them; the credential is the same at all. */
  readonly upstream: UpstreamTarget
  /** Where the database has several: one of them is the primary. `undefined`: `upstream` is it, whatever it is. */
  readonly hosts?: DatabaseHosts<UpstreamTarget> | undefined
  /** `undefined`: broker. */
  readonly login?: LoginMode
  /** By what the database itself knows who a session is for; its planner guards that. */
  readonly marks?: SessionMarks | undefined
  /** Who may connect. */
  readonly gate: Gate
  /** Who of them may replicate; `undefined`: nobody. */
  readonly replication?: Gate | undefined
  /** Connections that sessions have one after the other; `undefined`: each has one of its own. With `broker` only. */
  readonly pool?: UpstreamPool | undefined
  /** How many, and for how long. */
  readonly limits: SessionLimits
  readonly schema: Pick<
    SchemaSource,
    'current' | 'fresh' | 'refresh' | 'outdate' | 'doubt' | 'isChangedBy' | 'announce'
  >
  readonly planner: Planner
  /**
   * Which statements go on at all. To be asked for at each statement: a reload may bring other rules, also for sessions that are open.
   * `schema` is a source with `objects` where a rule asks for tables.
   */
  readonly firewall?: Firewall | undefined
  /** Where shapes of statements are collected. */
  readonly learning?: Learning | undefined
  /**
   * Where every statement needs its grants, and statements about accounts are the gateway's own; `undefined`: nothing is enforced. To be
   * asked for at each statement: a reload may bring grants, or others, also for sessions that are open. `schema` must then be a source
   * with `objects`: without them nothing is permitted.
   */
  readonly grants?: { readonly gate: GrantGate; readonly administration: Administration } | undefined
}

/** Where the database is. Its credential is the gateway's own: it reads the schema, and is what users come in by as `broker`. */
export interface UpstreamTarget extends Omit<DatabaseLogin, 'tls'> {
  readonly tls: UpstreamTls | undefined
  /** Of silence, before somebody looks whether it is still there: TCP on an idle connection, and the gateway where an answer is awaited. */
  readonly probeAfterMs: number
}

export interface UpstreamTls extends DatabaseLoginTls {
  /** Whether its certificate was revoked; `undefined`: nobody is asked. */
  readonly revocation?: RevocationCheck | undefined
}

/** What sessions begin with, for rules in the database (row-level security, triggers). */
export interface SessionMarks {
  /** `id`: the role that is called as the identity is; or by a role of the identity, the first in order that stands for one. */
  readonly role: 'id' | ReadonlyMap<string, string> | undefined
  /** Setting that has the id. */
  readonly setting: string | undefined
  /** Setting that has the roles, separated by commas. */
  readonly rolesSetting: string | undefined
}

/** Who logs in to PostgreSQL for somebody who comes in by the gateway. */
export type LoginMode =
  /** The gateway, with its own credential. */
  | { readonly kind: 'broker' }
  /** The user, by the SCRAM verifier that PostgreSQL and an account store have in common. */
  | { readonly kind: 'verifier' }
  /** The user, by whatever PostgreSQL itself asks for. */
  | {
      readonly kind: 'pass-through'
      /** By the user's name; who is not in it has those of the account of the same name. */
      readonly roles: ReadonlyMap<string, readonly string[]> | undefined
    }

/** How callers may prove who they are. A method that throws or rejects cannot decide: the door answers 57P03. */
export interface DoorState {
  readonly databases: ReadonlyMap<string, DatabaseState>
  readonly hostRules: Pick<HostRules, 'match'>
  /** Given a certificate whose chain was verified against the listener's `client_ca`. */
  readonly certificate: Pick<CertificateMechanism, 'authenticate'> | undefined
  readonly scram: ScramMechanism | undefined
  readonly jwt: { authenticate(token: string): Outcome | Promise<Outcome> } | undefined
  readonly password: Pick<PasswordCheck, 'check'> | undefined
  readonly trust: TrustMechanism | undefined
  /** The account of this name, of the first store that knows it. */
  readonly findAccount: (user: string) => Promise<{ readonly account: Account; readonly source: string } | undefined>
  /** Mechanisms of plug-ins, by their names. */
  readonly plugged: ReadonlyMap<PluggedMechanism, PasswordJudge>
  /** Tokens that the gateway has issued, as the password. */
  readonly token: PasswordJudge | undefined
  /** Where a client is sent for a token; without it `oauthbearer` takes tokens and tells nobody where to get one. */
  readonly tokenSource: TokenSource | undefined
  /** Slows guessing by SCRAM; `password` does so itself, and nobody guesses a token. */
  readonly throttle: LoginThrottle
  /** Places in databases; outlives reloads. */
  readonly slots: Slots
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

/** What a session does: in PostgreSQL's own words (`pg_stat_activity`). */
export type Activity = 'active' | 'idle' | 'idle in transaction' | 'idle in failed transaction'

export interface SessionNow {
  readonly activity: Activity | 'waiting'
  /** Since when it does that, in ms since 1970. */
  readonly since: number
  /** From the client, and to it, since it logged in. */
  readonly bytesIn: number
  readonly bytesOut: number
}

/** One open session, as the operator's list shows it. */
export interface SessionSummary {
  readonly id: string
  readonly identity: Identity
  readonly database: string
  readonly address: string
  /** What the client calls itself. */
  readonly applicationName: string
  /** When it began, in ms since 1970. */
  readonly since: number
  /** `host:port` of PostgreSQL, and the process there that works for it; `undefined` while it waits for a place. */
  readonly server: { readonly address: string; readonly processId: number } | undefined
  /** What it does now. */
  now(): SessionNow
  /** Is it known by now that the certificate which it came with was revoked? What has run out is asked for anew, beside. */
  hasRevokedCertificate(): boolean
}
