import type { IssuerOptions } from './option.ts'

/** OAUTHBEARER (RFC 7628), as libpq of PostgreSQL 18 speaks it: what the client sends, and where it is told to get a token. */

export const oauthbearerName = 'OAUTHBEARER'
/** What the client answers to a failure before it is told that it failed (RFC 7628 section 3.2.3). */
export const oauthbearerDummy = '\x01'
const separator = '\x01'

/** Where tokens are issued that we believe. */
export interface TokenSource {
  /** URL of the provider's metadata; libpq wants it to belong to the issuer that its user named. */
  readonly configuration: string
  /** What a client asks for, words with spaces between; empty leaves it to the client. */
  readonly scope: string
}

export type OauthbearerMessage =
  | { readonly kind: 'token'; readonly token: string }
  /** `auth=` is empty: the client asks where to get a token, and has none yet. No failed login. */
  | { readonly kind: 'discovery' }
  /** Breaks the protocol. `detail` says how, without a byte of the message. */
  | { readonly kind: 'malformed'; readonly detail: string }

/** A token is at most 16 KiB, and what stands around it is short. */
const maxMessageBytes = 20_480

/** Reads the client's only message of its own: gs2 header, then `key=value` pairs, each ended by 0x01, and one 0x01 more. */
export function parseOauthbearer(bytes: Uint8Array): OauthbearerMessage {
  const bad = (detail: string): OauthbearerMessage => ({ kind: 'malformed', detail })
  if (bytes.length > maxMessageBytes) return bad('it is too long')
  const [header = '', ...pairs] = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .split(separator)
  const gs2 = /^(n|y|p=[A-Za-z0-9.-]+),([^,]*),$/.exec(header)
  if (gs2 === null) return bad('no gs2 header')
  if (gs2[1]?.startsWith('p')) return bad('channel binding does not exist here')
  if (gs2[2] !== '') return bad('an authorization identity is not taken')
  // Each pair ends in a separator, and so does the message: nothing is left behind either.
  if (pairs.pop() !== '' || pairs.pop() !== '') return bad('its end is missing')
  if (!pairs.every(pair => /^[A-Za-z]+=[\x20-\x7e\t\r\n]*$/.test(pair))) return bad('no pairs of key and value')
  const values = pairs.filter(pair => pair.startsWith('auth='))
  const [value] = values
  if (value === undefined || values.length > 1) return bad('not one value of auth')
  if (value === 'auth=') return { kind: 'discovery' }
  // RFC 6750 section 2.1: b64token.
  const token = /^auth=Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(value)?.[1]
  return token === undefined ? bad('auth holds no bearer token') : { kind: 'token', token }
}

/** The server's answer to a bad token, and to a client that asks where tokens come from (RFC 7628 section 3.2.2). */
export function formatOauthbearerFailure({ configuration, scope }: TokenSource): string {
  return JSON.stringify({
    status: 'invalid_token',
    'openid-configuration': configuration,
    ...(scope === '' ? {} : { scope }),
  })
}

/** The first issuer that publishes its metadata by OpenID Connect Discovery 1.0 section 4; `undefined` when its name is no URL. */
export function tokenSourceOf(issuers: readonly IssuerOptions[]): TokenSource | undefined {
  const found = issuers.find(({ issuer }) => URL.canParse(issuer) && /^https?:/.test(issuer))
  if (found === undefined) return undefined
  return { configuration: `${found.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, scope: found.scope }
}
