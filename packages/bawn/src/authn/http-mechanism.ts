import type { X509Certificate } from 'node:crypto'
import type { MechanismName, Outcome } from './identity.ts'

/** What a request brings that could prove who asks; parsed once, at the border. */
export interface HttpCredentials {
  readonly method: string
  /** As on the request line: digest needs it to the letter. */
  readonly target: string
  /** Values of all Authorization headers; never more than one reaches a mechanism. */
  readonly authorization: readonly string[]
  /** Values of all headers of that name, in lower case. */
  header(name: string): readonly string[]
  /** The one value of a query parameter, decoded; `undefined` when there is none or more than one. */
  query(name: string): string | undefined
  /** The one value of a cookie; `undefined` when there is none or more than one. */
  cookie(name: string): string | undefined
  /** Verified against the listener's `client_ca`; never anything else. */
  readonly certificate: X509Certificate | undefined
  readonly address: string
  readonly tls: boolean
  /** ms since 1970 */
  readonly now: number
}

/** What an HTTP mechanism answers: an `Outcome`, and what only HTTP can tell a caller. */
export type HttpOutcome =
  | (Extract<Outcome, { readonly kind: 'identified' }> & {
      /** What every answer to this request carries, flat: our own part of the proof. */
      readonly headers?: readonly string[]
    })
  | (Extract<Outcome, { readonly kind: 'absent' }> & {
      /** There was a cookie, and a page of another origin made the browser send it: nobody is identified by that. */
      readonly foreignPage?: boolean
    })
  | (Extract<Outcome, { readonly kind: 'rejected' }> & {
      /** The name that was stated, for the trail. */
      readonly claimedName?: string | undefined
    })
  /** Too many failures: nothing was compared. 429 with Retry-After. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number; readonly claimedName?: string | undefined }

/** A mechanism at the HTTP door. The door asks those that the host rule names, in its order, and stops at the first that is not `absent`. */
export interface HttpMechanism {
  readonly name: MechanismName
  /** Headers (lower case), query parameters and cookies that carry its credential: they never reach an upstream. */
  readonly carries: {
    readonly headers: readonly string[]
    readonly query: readonly string[]
    readonly cookies?: readonly string[]
    /** What names of cookies begin with, where a part of the name is chosen as it goes. */
    readonly cookiePrefixes?: readonly string[]
  }
  /** A throw or rejection means "cannot decide": 503. */
  authenticate(credentials: HttpCredentials): HttpOutcome | Promise<HttpOutcome>
  /**
   * Values of WWW-Authenticate header lines for a 401: one, or one for each algorithm; `undefined` when it has none.
   *
   * @param outcome what `authenticate` came to; `absent` too where another mechanism decided
   */
  challenge(credentials: HttpCredentials, outcome: 'absent' | 'rejected'): string | readonly string[] | undefined
}
