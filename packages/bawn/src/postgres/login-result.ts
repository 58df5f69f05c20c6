import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { ScramLoginKeys } from '../accounts/scram-verifier.ts'
import { isLoopbackAddress } from '../authn/address.ts'
import type { Identity, Outcome, RejectionReason } from '../authn/identity.ts'
import type { RevocationCheck } from '../authn/revocation/revocation-check.ts'
import type { GatewayError } from '../error.ts'
import type { ByteInput } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import type { StartupRequest } from './startup-settings.ts'

/** What is known of the connection when the question is asked. */
export interface LoginContext {
  readonly input: ByteInput
  readonly socket: Socket
  readonly address: string
  readonly tls: boolean
  /** Verified against the listener's `client_ca`; never anything else. */
  readonly certificate: X509Certificate | undefined
  /** Where the listener wants that looked up: nobody gets in with a certificate that is not good. */
  readonly revocation: RevocationCheck | undefined
  /** Hash of our own certificate, inside TLS (RFC 5929 section 4). */
  readonly channelBinding: Uint8Array | undefined
}

export interface LoggedIn {
  readonly kind: 'identified'
  readonly identity: Identity
  readonly rule: string
  /** Goes out before anything else: it proves us to the client. */
  readonly serverFinal: Buffer
  /** Where the database takes users by their own verifier. To be filled with zeros when the login is over, however it ends. */
  readonly keys?: ScramLoginKeys | undefined
  /** Where PostgreSQL itself has let the client in: what it says behind AuthenticationOk. */
  readonly opened?: ByteInput | undefined
}

export type LoginResult =
  | LoggedIn
  /** `reason` is for the trail; `error` for the client, and the same for every reason that could tell users apart. */
  | {
      readonly kind: 'failed'
      readonly error: GatewayError
      readonly rule: string
      readonly reason: LoginFailure
    }

/** `discovery`: the client asked where to get a token and comes back with one; nobody has failed to log in. */
export type LoginFailure = RejectionReason | 'no-rule' | 'undecided' | 'throttled' | 'discovery'

/** How the failure is told: a password is wrong (28P01), or a proof of another kind is not accepted (28000). */
export type Proof = 'password' | 'certificate' | 'OAuth bearer' | 'trust'

export function failed({ user }: StartupRequest, rule: string, by: Proof, reason: LoginFailure): LoginResult {
  const code = by === 'password' ? 'postgres.login_failed' : 'postgres.login_refused'
  const error = new PostgresError(code, `${by} authentication failed for user "${shown(user)}"`)
  return { kind: 'failed', error, rule, reason }
}

/** Nothing was judged: the limits come first. */
export function throttled({ user }: StartupRequest, rule: string, retryAfterMs: number): LoginResult {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  const error = new PostgresError(
    'postgres.login_throttled',
    `too many failed logins for user "${shown(user)}" or from this address: try again in ${seconds} s`,
  )
  return { kind: 'failed', error, rule, reason: 'throttled' }
}

export function judge(outcome: Outcome, request: StartupRequest, rule: string, by: Proof): LoginResult {
  switch (outcome.kind) {
    case 'identified':
      // The name that the client states is what host rules were matched by: it must be its own. A certificate has two, its own and its
      // service's, and was compared with both.
      if (by !== 'certificate' && outcome.identity.id !== request.user)
        return failed(request, rule, by, 'name-mismatch')
      return { kind: 'identified', identity: outcome.identity, rule, serverFinal: Buffer.alloc(0) }
    case 'absent':
      return failed(request, rule, by, 'untrusted')
    case 'rejected':
      return failed(request, rule, by, outcome.reason)
  }
}

/** A name from the client inside a message of ours. */
export function shown(name: string): string {
  return name.length > 128 ? `${name.slice(0, 128)}…` : name
}

/** A secret in clear is readable on the way: it is asked for inside TLS, or on the machine itself. */
export function isPrivate({ tls, address }: LoginContext): boolean {
  return tls || isLoopbackAddress(address)
}
