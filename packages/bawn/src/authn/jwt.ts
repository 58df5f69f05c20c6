import { AuthnError } from './error.ts'
import type { Identity, Outcome, RejectionReason } from './identity.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import { maxKidLength, type VerificationKey } from './jwk.ts'
import { createKeySet, type KeySet, type KeySetStatus, type KeySetSurroundings, type KeySetVersion } from './jwks.ts'
import { type CompactJws, isSignatureOf, maxTokenLength, parseCompactJws } from './jws.ts'
import { checkClaims } from './jwt-claims.ts'
import type { IssuerOptions, SignatureAlgorithm } from './option.ts'
import { createTokenCache } from './token-cache.ts'

/** Tokens of the configured issuers: JWT (RFC 7519) in compact form, signed, under the rules of RFC 8725. */
export interface JwtMechanism {
  /**
   * Never `absent`: the caller has found a token. The answer is there at once when the issuer's keys are.
   *
   * @throws {AuthnError} (rejects with) `authn.issuer_unreachable`: whether the token is good cannot be known
   */
  authenticate(token: string): Outcome | Promise<Outcome>
  /** Fetches the keys of all issuers. Does not reject: see `status`. */
  prime(): Promise<void>
  status(): readonly (KeySetStatus & { readonly name: string })[]
  /** Stops what is being fetched. */
  close(): void
}

/** An issuer with its keys. */
interface TrustedIssuer {
  readonly name: string
  readonly options: IssuerOptions
  readonly keySet: KeySet
}

interface VerifiedToken {
  readonly identity: Identity
  readonly issuer: TrustedIssuer
  readonly generation: number
  /** ms since 1970, leeway included. */
  readonly notBefore: number
  readonly expiresAt: number
}

/** Keys that are tried for a token that names none, or several of one name. */
const maxTries = 3

/**
 * @param issuers by name, from the configuration
 * @throws {AuthnError} `authn.bad_issuer` when two have the same `iss`, or a key set may not be fetched from where it is
 */
export function createJwtMechanism(
  issuers: Readonly<Record<string, IssuerOptions>>,
  surroundings: KeySetSurroundings,
): JwtMechanism {
  const { clock } = surroundings
  const byIssuer = new Map<string, TrustedIssuer>()
  for (const [name, options] of Object.entries(issuers)) {
    const other = byIssuer.get(options.issuer)
    if (other !== undefined)
      throw new AuthnError('authn.bad_issuer', `issuers ${other.name} and ${name} have the same issuer value`)
    byIssuer.set(options.issuer, { name, options, keySet: createKeySet({ name, ...options }, surroundings) })
  }
  const cache = createTokenCache<VerifiedToken>({ maxEntries: 10_000, maxWeight: 64 * 1_048_576 })

  /** `undefined`: look at the token itself. */
  const recall = (digest: string): Outcome | undefined => {
    const known = cache.get(digest)
    if (known === undefined) return undefined
    const now = clock()
    // Other keys, or keys too old to be used: nothing that they once proved is proven now.
    if (known.issuer.keySet.current()?.generation === known.generation) {
      if (now < known.notBefore) return rejected('not-yet-valid')
      if (now < known.expiresAt) return { kind: 'identified', identity: known.identity }
    }
    cache.delete(digest)
    return undefined
  }

  const decide = (token: UnverifiedToken, digest: string, version: KeySetVersion): Outcome => {
    const { claims, issuer } = token
    const reading = checkClaims(claims, issuer.name, issuer.options, clock())
    if (reading.kind === 'rejected') return reading
    const { identity, notBefore, expiresAt } = reading
    // An object of claims takes a few times the bytes of its text.
    cache.set(
      digest,
      { identity, issuer, generation: version.generation, notBefore, expiresAt },
      1_024 + 4 * token.length,
    )
    return { kind: 'identified', identity }
  }

  /** `tried` are keys that did not verify it. */
  const decideSlowly = async (token: UnverifiedToken, digest: string, tried?: KeySetVersion): Promise<Outcome> => {
    const { keySet } = token.issuer
    const loaded = tried ?? (await keySet.load())
    const first = tried === undefined ? verifyWith(loaded, token) : 'unknown-key'
    if (first === 'verified') return decide(token, digest, loaded)
    if (first === 'forged') return rejected('untrusted')
    const reloaded = await keySet.reloadFor(token.kid)
    return reloaded.generation !== loaded.generation && verifyWith(reloaded, token) === 'verified'
      ? decide(token, digest, reloaded)
      : rejected('untrusted')
  }

  return {
    authenticate(text) {
      if (text.length > maxTokenLength) return rejected('malformed')
      const digest = cache.digestOf(text)
      const known = recall(digest)
      if (known !== undefined) return known
      const token = readToken(text, byIssuer)
      if (token.kind === 'rejected') return token
      const version = token.issuer.keySet.current()
      if (version === undefined) return decideSlowly(token, digest)
      switch (verifyWith(version, token)) {
        case 'verified':
          return decide(token, digest, version)
        case 'forged':
          return rejected('untrusted')
        case 'unknown-key':
          return decideSlowly(token, digest, version)
      }
    },
    prime: async () => {
      await Promise.allSettled(Array.from(byIssuer.values(), ({ keySet }) => keySet.refresh()))
    },
    status: () => Array.from(byIssuer.values(), ({ name, keySet }) => ({ name, ...keySet.status() })),
    close: () => {
      for (const { keySet } of byIssuer.values()) keySet.close()
    },
  }
}

interface UnverifiedToken {
  readonly kind: 'token'
  readonly jws: CompactJws
  readonly algorithm: SignatureAlgorithm
  readonly kid: string | undefined
  readonly claims: JsonObject
  readonly issuer: TrustedIssuer
  readonly length: number
}

/** Everything before the signature. The `iss` it goes by is only a choice of whose keys have to verify it. */
function readToken(
  text: string,
  byIssuer: ReadonlyMap<string, TrustedIssuer>,
): UnverifiedToken | Extract<Outcome, { kind: 'rejected' }> {
  const jws = parseCompactJws(text)
  const claims = jws === undefined ? undefined : parseJson(jws.payload)
  if (jws === undefined || !isJsonObject(claims)) return rejected('malformed')
  const { alg, kid, typ, cty } = jws.header
  // RFC 7515 section 4.1.11: crit names what must be understood, and we understand nothing that it may name; b64 (RFC 7797) needs it.
  if ('crit' in jws.header || 'b64' in jws.header) return rejected('untrusted')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return rejected('malformed')
  // RFC 8725 section 3.11: a logout token or a DPoP proof is signed with the same keys and no access token. A nested token (cty) is none.
  if (typ !== undefined && (typeof typ !== 'string' || !/^(application\/)?(at\+)?jwt$/i.test(typ)))
    return rejected('untrusted')
  if (cty !== undefined) return rejected('untrusted')
  const issuer = typeof claims['iss'] === 'string' ? byIssuer.get(claims['iss']) : undefined
  const algorithm = issuer?.options.algorithms.find(allowed => allowed === alg)
  if (issuer === undefined || algorithm === undefined) return rejected('untrusted')
  return { kind: 'token', jws, algorithm, kid, claims, issuer, length: text.length }
}

type Verification =
  | 'verified'
  /** The key that it names says no. */
  | 'forged'
  /** None of the keys says yes, and there may be newer ones. */
  | 'unknown-key'

function verifyWith(version: KeySetVersion, { jws, algorithm, kid }: UnverifiedToken): Verification {
  const named = kid === undefined ? version.keys : version.keys.filter(key => key.kid === kid)
  if (named.length === 0) return 'unknown-key'
  const fitting: readonly VerificationKey[] = named.filter(key => key.algorithms.includes(algorithm)).slice(0, maxTries)
  if (fitting.some(key => isSignatureOf(key, algorithm, jws))) return 'verified'
  return kid === undefined ? 'unknown-key' : 'forged'
}

function rejected(reason: RejectionReason): Extract<Outcome, { kind: 'rejected' }> {
  return { kind: 'rejected', reason }
}
