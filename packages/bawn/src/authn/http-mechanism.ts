import type { X509Certificate } from 'node:crypto'
import type { Outcome } from './identity.ts'
import type { UsableMechanism } from './option.ts'

/** What a request brings that could prove who asks; parsed once, at the border. */
export interface HttpCredentials {
  readonly method: string
  /** As on the request line: digest needs it to the letter. */
  readonly target: string
  /** Values of all Authorization headers. */
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

/** A mechanism at the HTTP door. The door asks those that the host rule names, in its order, and stops at the first that is not `absent`. */
export interface HttpMechanism {
  readonly name: UsableMechanism
  /** Headers (lower case) and query parameters that carry its credential: they never reach an upstream. */
  readonly carries: { readonly headers: readonly string[]; readonly query: readonly string[] }
  /** A throw or rejection means "cannot decide": 503. */
  authenticate(credentials: HttpCredentials): Outcome | Promise<Outcome>
  /** Value of a WWW-Authenticate header for a 401, one per mechanism of the rule; `undefined` when it has none. */
  challenge(credentials: HttpCredentials, outcome: 'absent' | 'rejected'): string | undefined
}
