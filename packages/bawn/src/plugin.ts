import type { PasswordCheck } from './accounts/password.ts'
import type { LoginThrottle } from './accounts/throttle.ts'
import type { TokenJudge } from './authn/bearer.ts'
import type { HttpCredentials } from './authn/http-mechanism.ts'
import type { Identity, RejectionReason } from './authn/identity.ts'
import type { TypedLogin } from './authn/password-judge.ts'
import type { CheckVerdict } from './authn/token-check.ts'
import type { TokenLimits, TokenStore } from './tokens/store.ts'
import type { TokenManager } from './tokens/token-manager.ts'

// What a plug-in is. What is in the box (`builtin.ts`) is a value of the same type as a stranger's. What a stranger's code answers is
// checked at the border (`plugins/`) before anything believes it.

/** A plug-in is a plain value: importing its module does nothing but make it. */
export interface Plugin {
  /** For the log; which name the configuration gives it is the operator's. */
  readonly name: string
  /** Of this interface. A number that the gateway does not know stops the start. */
  readonly api: 1
  readonly accountStores?: readonly AccountStoreKind[]
  readonly tokenManagers?: readonly TokenManagerKind[]
  readonly mechanisms?: readonly MechanismKind[]
  readonly tokenChecks?: readonly TokenCheckKind[]
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

/**
 * What every factory is given. A reload makes a new instance while the old one still serves what is under way: two of them live side by
 * side, and are closed one by one.
 */
export interface KindSurroundings {
  /** ms since 1970 */
  readonly clock: () => number
  /** One line of the gateway's log. Neither secrets nor what a caller sent belong into it. */
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
  readonly fetch: typeof fetch
  /** What a secret reference of the options (`env:NAME`, `file:path`) stands for. @throws {GatewayError} `config.secret` */
  readonly secret: (reference: string) => string
  /** A path of the options, which are relative to the configuration file, made absolute. */
  readonly path: (text: string) => string
}

/**
 * A kind of account store: `accounts: { staff: { kind: csv, … } }`.
 *
 * @typeParam Made what the box makes is an `AccountStore` of its own; a stranger's needs less
 */
export interface AccountStoreKind<Options = unknown, Made = AccountSource> {
  /** `a` to `z`, digits, `_`, `-`; at most 64. No other kind of account store is called so. */
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

/** What logins need of an account store. Methods reject only when the store itself fails: then it cannot be decided who somebody is. */
export interface AccountSource {
  /** `undefined`: nobody is called exactly so. */
  find(user: string): Promise<WrittenAccount | undefined>
  /**
   * Some account, chosen by the name alone and always the same while the accounts are: unknown names are checked against its verifier, so
   * that they cost what known names cost.
   */
  decoy?(user: string): Promise<WrittenAccount | undefined>
  /** 32 random bytes that outlive a restart, from which verifiers of unknown names are derived. Never shown. */
  decoySecret?(): Promise<Uint8Array>
  /** For `bawn accounts list`. */
  list?(): Promise<readonly WrittenAccount[]>
  close?(): Promise<void>
}

export interface WrittenAccount {
  readonly name: string
  /** Each a name of letters, digits, `_`, `-`, `.`. */
  readonly roles: readonly string[]
  /**
   * What a password is checked by: at most one `SCRAM-SHA-256$…` and at most one of `$argon2id$…`, `$2b$…`, `$pbkdf2-sha512$…`, `$apr1$…`,
   * `{SHA}…`. None: nobody logs in with a password.
   */
  readonly verifiers?: readonly string[]
  /** Keeps its owner out; default: false. */
  readonly locked?: boolean
}

/**
 * A kind of token manager: `tokens: { kind: …, ttl: 15m, … }`. Its tokens are taken at the PostgreSQL door where it has `isGood`.
 *
 * @typeParam Made what the box makes has a name as well
 */
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
  /** A manager of random tokens that are kept, as digests, in a store of one's own. */
  randomTokens(store: TokenStore, options?: RandomTokenChoices): TokenManager
}

/** Defaults: as of `kind: memory`. */
export interface RandomTokenChoices {
  /** Each use moves the end. */
  readonly renew?: boolean
  readonly lifetimeMs?: number
  readonly limits?: TokenLimits
}

/**
 * A kind of mechanism: `mechanisms: { badge: { … } }` and `use: [badge]` in a host rule.
 *
 * @typeParam Made what the box makes gives whole identities
 */
export interface MechanismKind<Options = unknown, Made = Mechanism> {
  readonly kind: string
  /** Where it can be used: `create` makes a part for each. */
  readonly doors: readonly ('http' | 'postgres')[]
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
  /** One for all mechanisms. At the HTTP door, take a try before a secret that can be guessed is compared; PostgreSQL's does so itself. */
  readonly throttle: LoginThrottle
  /** Checks a name and a password against the account stores; `undefined` where there are none. */
  readonly passwords: Pick<PasswordCheck, 'check'> | undefined
  /** Judges tokens of the issuers; `undefined` where there are none. */
  readonly issuers: TokenJudge | undefined
  /** Another mechanism judges bearer tokens that have not the form of a JWT. */
  readonly leavesOpaque: boolean
}

/** A mechanism, for one door or both. */
export interface Mechanism {
  readonly http?: HttpPart | undefined
  readonly postgres?: PostgresPart | undefined
  close?(): Promise<void>
}

/** At the HTTP door. */
export interface HttpPart {
  /** A throw or rejection means "cannot decide": 503. */
  authenticate(credentials: HttpCredentials): MechanismAnswer | Promise<MechanismAnswer>
  /**
   * Values of WWW-Authenticate header lines for a 401.
   *
   * @param outcome what `authenticate` came to; `absent` too where another mechanism decided
   */
  challenge?(credentials: HttpCredentials, outcome: 'absent' | 'rejected'): string | readonly string[] | undefined
}

/** At the PostgreSQL door: the client is asked for a password, over TLS or from this machine only, and this judges what was typed. */
export interface PostgresPart {
  /** A throw or rejection means "cannot decide": 57P03. Whoever is identified must be called as the client has stated. */
  authenticate(login: TypedLogin): MechanismAnswer | Promise<MechanismAnswer>
}

/** What a mechanism answers. */
export type MechanismAnswer =
  | { readonly kind: 'identified'; readonly identity: ProvenIdentity }
  /** It is proven who it is; the account stores say whether there is such an account, whether it is locked, and what roles it has. */
  | { readonly kind: 'account'; readonly name: string }
  /** No credential of this mechanism's kind: the next one of the host rule is asked. */
  | { readonly kind: 'absent' }
  /** A credential of this kind, and it is bad: nobody else is asked. Callers get one text for every reason. */
  | {
      readonly kind: 'rejected'
      readonly reason: RejectionReason
      /** The name that was stated, for the trail. */
      readonly claimedName?: string | undefined
    }
  /** Too many failures: nothing was compared. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number; readonly claimedName?: string | undefined }

/** Who it is. By which mechanism, and with which client id, is not for a plug-in to say. */
export interface ProvenIdentity {
  /** 1 to 128 characters, no control characters. */
  readonly id: string
  /** Each a name of letters, digits, `_`, `-`, `.`. */
  readonly roles: readonly string[]
  /** JSON, at most 1,000 values, nested 16 deep. An integer beyond 2^53 has to be a bigint: as a number it may be its neighbour, and policies take it for missing. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** ms since 1970; `undefined`: the proof does not run out. */
  readonly expiresAt?: number | undefined
}

/** A further check of an issuer's tokens: `issuers: { corp: { …, checks: [{ check: must-have, … }] } }`. */
export interface TokenCheckKind<Options = unknown> {
  readonly kind: string
  readonly options: OptionsSchema<Options>
  create(options: Options, surroundings: TokenCheckSurroundings): ClaimsCheck | Promise<ClaimsCheck>
}

export interface TokenCheckSurroundings extends KindSurroundings {
  /** Name of the issuer in the configuration. */
  readonly issuer: string
}

/**
 * Asked once for each token, after its signature and its claims have been found good; the answer is kept as long as the token is. So it
 * must be a function of the token alone, and answers at once.
 */
export interface ClaimsCheck {
  /**
   * @param claims frozen, and without prototypes; integers beyond 2^53 are bigints, exactly as the token has them (`JSON.stringify` takes none)
   * @returns the reason of a refusal goes to the log: it holds nothing of the token
   * @throws when it cannot decide: 503, and nothing is kept
   */
  check(claims: Identity['claims'], identity: Identity): CheckVerdict
}
