// The package's public door: what a plug-in or an embedding program may use.
export type { LoginAttempt, LoginThrottle } from './accounts/throttle.ts'
export type { HttpCredentials } from './authn/http-mechanism.ts'
export type { Identity, MechanismName, Outcome, RejectionReason } from './authn/identity.ts'
export type { TypedLogin } from './authn/password-judge.ts'
export type { CheckVerdict } from './authn/token-check.ts'
export { type Blame, type ErrorCode, type ErrorSpec, errors, GatewayError } from './error.ts'
export type {
  AccountSource,
  AccountStoreKind,
  AccountStoreSurroundings,
  ClaimsCheck,
  CredentialPlaces,
  HttpPart,
  KindSurroundings,
  Mechanism,
  MechanismAnswer,
  MechanismKind,
  MechanismSurroundings,
  OptionsIssue,
  OptionsReading,
  OptionsSchema,
  Plugin,
  PostgresPart,
  ProvenIdentity,
  RandomTokenChoices,
  TokenCheckKind,
  TokenCheckSurroundings,
  TokenManagerKind,
  TokenManagerSurroundings,
  WrittenAccount,
} from './plugin.ts'
export type { TokenOrigin } from './tokens/origin.ts'
export type { TokenLimits, TokenRecord, TokenStore } from './tokens/store.ts'
export type {
  IssuedToken,
  TokenListing,
  TokenManager,
  TokenSubject,
  VerifiedToken,
} from './tokens/token-manager.ts'
