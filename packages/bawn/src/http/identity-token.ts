import { randomUUID } from 'node:crypto'
import { withExactIntegers } from '../authn/exact-claims.ts'
import type { Identity } from '../authn/identity.ts'
import { claimAt } from '../authn/jwt-claims.ts'
import type { JwtSigner } from '../tokens/jwt-signer.ts'
import { stringifyExact } from './exact-json.ts'
import type { Hint } from './hints.ts'

export interface IdentityTokenOptions {
  readonly signer: JwtSigner
  /** Whom it is for: another backend must not believe it. */
  readonly audience: string
  readonly ttlMs: number
  /** Of the caller's token; a dotted path reaches into objects. Names that a JWT has a meaning for are never taken from there. */
  readonly claims: readonly string[]
}

/** Says who is asking, signed: a backend believes it whoever brings it, and nobody can make one. */
export type IdentityToken = (identity: Identity, hint?: Hint) => string

/** A token is sent again while this part of its time is left: signing costs more than all the rest of a request. */
const worthSending = 1 / 2

/** @param clock ms since 1970 */
export function createIdentityToken(options: IdentityTokenOptions, clock: () => number): IdentityToken {
  const { signer, audience, ttlMs, claims } = options
  const made = new WeakMap<
    Identity,
    { readonly token: string; readonly until: number; readonly hint: string | undefined }
  >()
  return (identity, hint) => {
    const now = clock()
    const known = made.get(identity)
    const isGood = known !== undefined && now < known.until && now >= known.until - ttlMs
    if (isGood && known.hint === hint?.text) return known.token
    const taken: Record<string, unknown> = Object.create(null)
    // Signed with the number of somebody else it would be believed.
    const exact = withExactIntegers(identity.claims) as Identity['claims']
    for (const path of claims) {
      const value = claimAt(exact, path)
      if (value !== undefined) taken[path] = value
    }
    const iat = Math.floor(now / 1000)
    // Never beyond what it rests on.
    const end = Math.min(now + ttlMs, identity.expiresAt ?? Infinity)
    const payload = {
      ...taken,
      // Never the caller's own, where there is none either.
      hints: hint?.value,
      iss: signer.issuer ?? 'bawn',
      sub: identity.id,
      aud: audience,
      roles: identity.roles,
      iat,
      exp: Math.ceil(end / 1000),
      jti: randomUUID(),
    }
    const token = signer.sign(stringifyExact(payload), 'bawn-identity+jwt')
    made.set(identity, { token, until: Math.min(end, now + ttlMs * worthSending), hint: hint?.text })
    return token
  }
}
