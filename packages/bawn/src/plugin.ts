import type { PasswordCheck } from './accounts/password.ts'
import type { Account } from './accounts/store.ts'
import type { LoginThrottle } from './accounts/throttle.ts'
import type { TokenJudge } from './authn/bearer.ts'
import type { HttpCredentials } from './authn/http-mechanism.ts'
import type { RejectionReason } from './authn/identity.ts'
import type { TokenStore } from './tokens/store.ts'
import type { TokenManager } from './tokens/token-manager.ts'

// What a plug-in is. What is in the box (`builtin.ts`) is a value of the same type as a stranger's.

/** A plug-in is a plain value: importing its module does nothing but make it. */
export interface Plugin {
  /** For the log; which name the configuration gives it is the operator's. */
  readonly name: string
  /** Of this interface. A number that the gateway does not know stops the start. */
  readonly api: 1
  readonly accountStores?: readonly AccountStoreKind[]
  readonly tokenManagers?: readonly TokenManagerKind[]
  readonly mechanisms?: readonly MechanismKind[]
}

/**
 * How options are checked: a Standard Schema, version 1 (https://standardschema.dev). Schemas of zod, valibot, arktype and others are
 * ones; one written by hand is an object with this one member. It answers at once: a promise is refused.
 */
export interface OptionsSchema<Options = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    /** @param value what the configuration says, without the key that names the kind */
    readonly validate: (value: unknown) => OptionsReading<Options> | Promise<OptionsReading<Options>>
  }
}

export type OptionsReading<Options> =
  | { readonly value: Options; readonly issues?: undefined }
  | { readonly issues: readonly OptionsIssue[] }

export interface OptionsIssue {
  /** What is wrong, without the value: it may be a secret. */
  readonly message: string
  /** From the top of the options to what is wrong. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What every factory is given. */
export interface KindSurroundings {
  /** ms since 1970 */
  readonly clock: () => number
  /** One line of the gateway's log. Neither secrets nor what a caller sent belong into it. */
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
  readonly fetch: typeof fetch
  /** What a secret reference (`env:NAME`, `file:path`) stands for. @throws {GatewayError} `config.secret` */
  readonly secret: (reference: string) => string
  /** A path of the options, which are relative to the configuration file, made absolute. */
  readonly path: (text: string) => string
}

/**
 * A kind of account store: `accounts: { staff: { kind: csv, … } }`.
 *
 * @typeParam Made what the box makes is an `AccountStore`; a stranger's store needs less
 */
export interface AccountStoreKind<Options = unknown, Made = AccountSource> {
  readonly kind: string
  readonly options: OptionsSchema<Options>
  /** A throw stops the start, or keeps the last good configuration at a reload. */
  open(options: Options, surroundings: AccountStoreSurroundings): Made | Promise<Made>
}

export interface AccountStoreSurroundings extends KindSurroundings {
  /** Of the store, in the configuration. */
  readonly name: string
  /** Whether the store may make what is not there yet: tables, a first user. Not where somebody only looks. */
  readonly create: boolean
}

/** What logins need of an account store. Methods reject only when the store itself fails ("cannot decide": 503). */
export interface AccountSource {
  /** `undefined`: nobody is called so. */
  find(user: string): Promise<Account | undefined>
  /** As of `AccountStore`. */
  decoy?(user: string): Promise<Account | undefined>
  /** As of `AccountStore`. */
  decoySecret?(): Promise<Uint8Array>
  /** For `bawn accounts list`. */
  list?(): Promise<readonly Account[]>
  close?(): Promise<void>
}

/** A kind of token manager: `tokens: { kind: …, ttl: 15m, … }`. */
export interface TokenManagerKind<Options = unknown, Made = Omit<TokenManager, 'name'>> {
  readonly kind: string
  /** Of what stands beside `ttl`, `resource`, `endpoint`, `headers` and `cookie`, which every kind has. */
  readonly options: OptionsSchema<Options>
  open(options: Options, surroundings: TokenManagerSurroundings): Made | Promise<Made>
}

export interface TokenManagerSurroundings extends KindSurroundings {
  /** How long a token is valid. */
  readonly ttlMs: number
  /** Of the process: what is kept there outlives a reload. */
  readonly memory: TokenStore
}

/** A kind of mechanism: `mechanisms: { badge: { … } }` and `use: [badge]` in a host rule. */
export interface MechanismKind<Options = unknown, Made = Mechanism> {
  readonly kind: string
  readonly options: OptionsSchema<Options>
  /** Where a credential may stand besides Authorization; none of it reaches an upstream. Pure: it is asked without an instance too. */
  carries?(options: Options): CredentialPlaces
  /** Whether it judges bearer tokens that have not the form of a JWT: `jwt` and `api-key` leave them to it then. Pure. */
  judgesOpaque?(options: Options): boolean
  create(options: Options, surroundings: MechanismSurroundings): Made | Promise<Made>
}

export interface CredentialPlaces {
  /** In lower case. */
  readonly headers?: readonly string[]
  /** Parameters of the query. */
  readonly query?: readonly string[]
  readonly cookies?: readonly string[]
}

export interface MechanismSurroundings extends KindSurroundings {
  /** One for all mechanisms: take a try before a guessable secret is compared. */
  readonly throttle: LoginThrottle
  /** Checks a name and a password against the account stores; `undefined` where there are none. */
  readonly passwords: PasswordCheck | undefined
  /** Judges tokens of the issuers; `undefined` where there are none. */
  readonly issuers: TokenJudge | undefined
  /** Another mechanism judges bearer tokens that have not the form of a JWT. */
  readonly leavesOpaque: boolean
}

/** A mechanism, for one door or both. */
export interface Mechanism {
  readonly http?: HttpPart | undefined
  close?(): Promise<void>
}

/** At the HTTP door. */
export interface HttpPart {
  /** A throw or rejection means "cannot decide": 503. */
  authenticate(credentials: HttpCredentials): MechanismAnswer | Promise<MechanismAnswer>
  /** As of `HttpMechanism`. */
  challenge?(credentials: HttpCredentials, outcome: 'absent' | 'rejected'): string | readonly string[] | undefined
}

/** What a mechanism answers: `Outcome` in the words of a plug-in. */
export type MechanismAnswer =
  | { readonly kind: 'identified'; readonly identity: ProvenIdentity }
  /** No credential of this mechanism's kind: the next one of the host rule is asked. */
  | { readonly kind: 'absent' }
  /** A credential of this kind, and it is bad: nobody else is asked. */
  | {
      readonly kind: 'rejected'
      readonly reason: RejectionReason
      /** The name that was stated, for the trail. */
      readonly claimedName?: string | undefined
    }
  /** Too many failures: nothing was compared. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number; readonly claimedName?: string | undefined }

/** Who it is. By which mechanism is not for a plug-in to say. */
export interface ProvenIdentity {
  /** 1 to 128 characters, no control characters. */
  readonly id: string
  readonly roles: readonly string[]
  /** JSON. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** ms since 1970; `undefined`: the proof does not run out. */
  readonly expiresAt?: number | undefined
}
