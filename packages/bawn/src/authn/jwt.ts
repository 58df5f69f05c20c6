import { createTokenCache } from '../tokens/token-cache.ts'
import { AuthnError } from './error.ts'
import type { Identity, Outcome, RejectionReason } from './identity.ts'
import { algorithmsOf, type IssuerOptions, type SignatureAlgorithm } from './issuer-option.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from './json.ts'
import { hasJweForm } from './jwe.ts'
import { keyNameOf, maxKidLength, type VerificationKey } from './jwk.ts'
import { createKeySet, type KeySet, type KeySetStatus, type KeySetSurroundings, type KeySetVersion } from './jwks.ts'
import { type CompactJws, isSignatureOf, maxTokenLength, parseCompactJws } from './jws.ts'
import { checkClaims } from './jwt-claims.ts'
import { createSecretKeySet } from './shared-secret.ts'
import type { TokenCheck } from './token-check.ts'
import { createTokenDecryption, type OpenedToken, repeatsClaims } from './token-decryption.ts'

/** What the mechanism needs of the world outside. */
export interface JwtSurroundings extends KeySetSurroundings {
  /** Finds the secret behind a reference; needed where an issuer has `secret` or `decryption`. */
  readonly secret: (reference: string) => string
}

/** Tokens of the configured issuers: JWT (RFC 7519) in compact form, signed, or signed and then encrypted, under the rules of RFC 8725. */
export interface JwtMechanism {
  /**
   * Never `absent`: the caller has found a token. The answer is there at once when the issuer's keys are.
   *
   * @throws {AuthnError} (rejects with) `authn.issuer_unreachable`: whether the token is good cannot be known
   */
  authenticate(token: string): Outcome | Promise<Outcome>
  /** What `authenticate` would say, where that is known without parsing or verifying anything. @param token any text */
  recall(token: string): Outcome | undefined
  /**
   * The claims of a token of another kind than access tokens that one issuer has signed; what they are worth is for the asker to judge.
   *
   * @param issuer its name in the configuration
   * @param typs what the `typ` header may be where there is one, in lower case (RFC 8725 section 3.11)
   * @throws {AuthnError} (rejects with) `authn.issuer_unreachable`
   */
  claimsOf(token: string, issuer: string, typs: readonly string[]): Promise<SignedClaims>
  /** Fetches the keys of all issuers, and loads what opens encrypted tokens. Does not reject: see `status`. */
  prime(): Promise<void>
  status(): readonly (KeySetStatus & { readonly name: string })[]
  /** Stops what is being fetched. */
  close(): void
}

export type SignedClaims =
  | { readonly kind: 'signed'; readonly claims: JsonObject }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason }

/** An issuer with its keys. */
interface TrustedIssuer {
  readonly name: string
  readonly options: IssuerOptions
  readonly algorithms: readonly SignatureAlgorithm[]
  readonly keySet: KeySet
  readonly checks: readonly TokenCheck[]
}

/** What an issuer's tokens are judged with besides its keys. */
export interface IssuerChecks {
  /** By name of the issuer; one without is judged by its options alone. */
  readonly checks?: ReadonlyMap<string, readonly TokenCheck[]>
  /** Told that a check has refused a token whose signature and claims are good. */
  readonly onRefused?: (issuer: string, check: string, reason: string) => void
}

interface VerifiedToken {
  readonly identity: Identity
  readonly issuer: TrustedIssuer
  readonly generation: number
  /** ms since 1970, leeway included; ±Infinity where the token says nothing. */
  readonly notBefore: number
  readonly expiresAt: number
}

/** Keys that are tried for a token that names none, or several of one name. */
const maxTries = 3

/**
 * @param issuers by name, from the configuration
 * @throws {AuthnError} `authn.bad_issuer` when two have the same `iss`, or a key set may not be fetched from where it is;
 *   `authn.weak_secret`, `authn.bad_decryption_key`; and whatever `surroundings.secret` throws
 */
export function createJwtMechanism(
  issuers: Readonly<Record<string, IssuerOptions>>,
  surroundings: JwtSurroundings & IssuerChecks,
): JwtMechanism {
  const { clock, checks, onRefused } = surroundings
  const byIssuer = new Map<string, TrustedIssuer>()
  for (const [name, options] of Object.entries(issuers)) {
    const other = byIssuer.get(options.issuer)
    if (other !== undefined)
      throw new AuthnError('authn.bad_issuer', `issuers ${other.name} and ${name} have the same issuer value`)
    const keySet = openKeySet(name, options, surroundings)
    const trusted = { name, options, algorithms: algorithmsOf(options), keySet, checks: checks?.get(name) ?? [] }
    byIssuer.set(options.issuer, trusted)
  }
  const decryption = createTokenDecryption(issuers, surroundings.secret)
  const cache = createTokenCache<VerifiedToken>({ maxEntries: 10_000, maxWeight: 64 * 1_048_576 })

  /** `undefined`: look at the token itself. */
  const recallBy = (digest: string): Outcome | undefined => {
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

  /** @param sealed what the token came in */
  const judge = (text: string, digest: string, sealed?: OpenedToken): Outcome | Promise<Outcome> => {
    const token = readToken(text, byIssuer)
    if (token.kind === 'rejected') return sealed === undefined ? token : rejected('untrusted')
    // Whoever may encrypt for one issuer vouches for no other.
    if (sealed !== undefined && !(sealed.issuers.has(token.issuer.name) && repeatsClaims(sealed.header, token.claims)))
      return rejected('untrusted')
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
  }

  const openAndJudge = async (text: string, digest: string): Promise<Outcome> => {
    const sealed = await decryption?.open(text)
    if (sealed === undefined) return rejected('malformed')
    return sealed.kind === 'rejected' ? sealed : judge(sealed.token, digest, sealed)
  }
  /** One token is decrypted once, however many requests bring it. */
  const opening = new Map<string, Promise<Outcome>>()

  const decide = (token: UnverifiedToken, digest: string, version: KeySetVersion): Outcome => {
    const { claims, issuer } = token
    const reading = checkClaims(claims, issuer.name, issuer.options, clock())
    if (reading.kind === 'rejected') return reading
    const { identity, notBefore, expiresAt } = reading
    for (const { name, check } of issuer.checks) {
      const verdict = check(identity.claims, identity)
      if (verdict === 'accept') continue
      onRefused?.(issuer.name, name, verdict.reject)
      return rejected('check-failed')
    }
    // An object of claims takes a few times the bytes of its text.
    cache.set(
      digest,
      { identity, issuer, generation: version.generation, notBefore, expiresAt },
      1_024 + 4 * token.length,
    )
    return { kind: 'identified', identity }
  }

  /** The keys of which one verifies it; `undefined`: none does. @param tried keys that do not */
  const keysOf = async (token: UnverifiedToken, tried?: KeySetVersion): Promise<KeySetVersion | undefined> => {
    const { keySet } = token.issuer
    const loaded = tried ?? (await keySet.load())
    const first = tried === undefined ? verifyWith(loaded, token) : 'unknown-key'
    if (first === 'verified') return loaded
    if (first === 'forged') return undefined
    const reloaded = await keySet.reloadFor(token.keyName)
    return reloaded.generation !== loaded.generation && verifyWith(reloaded, token) === 'verified'
      ? reloaded
      : undefined
  }

  const decideSlowly = async (token: UnverifiedToken, digest: string, tried?: KeySetVersion): Promise<Outcome> => {
    const version = await keysOf(token, tried)
    return version === undefined ? rejected('untrusted') : decide(token, digest, version)
  }

  /** What was recalled in vain, which is then authenticated: its digest is a good part of what a new token costs. */
  let missed: { readonly text: string; readonly digest: string } | undefined

  const digestOf = (text: string): string => {
    const digest = missed?.text === text ? missed.digest : cache.digestOf(text)
    missed = undefined
    return digest
  }

  return {
    authenticate(text) {
      if (text.length > maxTokenLength) return rejected('malformed')
      const digest = digestOf(text)
      const known = recallBy(digest)
      if (known !== undefined) return known
      if (decryption === undefined || !hasJweForm(text)) return judge(text, digest)
      const underWay = opening.get(digest)
      if (underWay !== undefined) return underWay
      const outcome = openAndJudge(text, digest).finally(() => opening.delete(digest))
      opening.set(digest, outcome)
      return outcome
    },
    recall(text) {
      if (text.length > maxTokenLength) return undefined
      const digest = cache.digestOf(text)
      const known = recallBy(digest)
      missed = known === undefined ? { text, digest } : undefined
      return known
    },
    async claimsOf(text, name, typs) {
      const token = readToken(text, byIssuer, typs)
      if (token.kind === 'rejected') return token
      if (token.issuer.name !== name || (await keysOf(token)) === undefined) return rejected('untrusted')
      return { kind: 'signed', claims: token.claims }
    },
    prime: async () => {
      await Promise.allSettled([...Array.from(byIssuer.values(), ({ keySet }) => keySet.refresh()), decryption?.load()])
    },
    status: () => Array.from(byIssuer.values(), ({ name, keySet }) => ({ name, ...keySet.status() })),
    close: () => {
      for (const { keySet } of byIssuer.values()) keySet.close()
    },
  }
}

function openKeySet(name: string, options: IssuerOptions, surroundings: JwtSurroundings): KeySet {
  const { jwks, secret, discovery, issuer } = options
  const places = [jwks, discovery ? { discovery: issuer } : undefined].filter(place => place !== undefined)
  if (places.length + (secret === undefined ? 0 : 1) !== 1)
    throw new AuthnError(
      'authn.bad_issuer',
      `issuer ${name} needs jwks, discovery, signing or secret, and not two of them`,
    )
  const [place] = places
  return place === undefined
    ? createSecretKeySet(name, options, surroundings.secret)
    : createKeySet({ ...options, name, jwks: place }, surroundings)
}

interface UnverifiedToken {
  readonly kind: 'token'
  readonly jws: CompactJws
  readonly algorithm: SignatureAlgorithm
  /** As `key_id` of its issuer reads it. */
  readonly keyName: string | undefined
  readonly claims: JsonObject
  readonly issuer: TrustedIssuer
  readonly length: number
}

/**
 * Everything before the signature. The `iss` it goes by is only a choice of whose keys have to verify it.
 *
 * @param typs in place of what its issuer says of access tokens
 */
function readToken(
  text: string,
  byIssuer: ReadonlyMap<string, TrustedIssuer>,
  typs?: readonly string[],
): UnverifiedToken | Extract<Outcome, { kind: 'rejected' }> {
  const jws = parseCompactJws(text)
  const claims = jws === undefined ? undefined : parseJson(jws.payload)
  if (jws === undefined || !isJsonObject(claims)) return rejected('malformed')
  const { alg, kid, typ, cty } = jws.header
  // RFC 7515 section 4.1.11: crit names what must be understood, and we understand nothing that it may name; b64 (RFC 7797) needs it.
  if ('crit' in jws.header || 'b64' in jws.header) return rejected('untrusted')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return rejected('malformed')
  // A token within a token: it would be the outer one's claims that we looked at.
  if (cty !== undefined) return rejected('untrusted')
  const issuer = typeof claims['iss'] === 'string' ? byIssuer.get(claims['iss']) : undefined
  const algorithm = issuer?.algorithms.find(allowed => allowed === alg)
  if (issuer === undefined || algorithm === undefined) return rejected('untrusted')
  if (typs === undefined ? !isType(typ, issuer.options.typ) : !isOneOf(typ, typs)) return rejected('untrusted')
  const keyName = keyNameOf(jws.header, issuer.options.key_id)
  if (keyName === 'malformed') return rejected('malformed')
  return { kind: 'token', jws, algorithm, keyName: keyName?.name, claims, issuer, length: text.length }
}

/** Not said is no contradiction. */
function isOneOf(typ: Json | undefined, typs: readonly string[]): boolean {
  return typ === undefined || (typeof typ === 'string' && typs.includes(plainType(typ)))
}

/** RFC 7515 section 4.1.9: a media type, whose application/ may be left out. */
function plainType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '')
}

/** RFC 8725 section 3.11: a logout token or a DPoP proof is signed with the same keys and no access token. */
function isType(typ: Json | undefined, wanted: string | undefined): boolean {
  if (typ === undefined) return wanted === undefined
  if (typeof typ !== 'string') return false
  const type = plainType(typ)
  return wanted === undefined ? ['jwt', 'at+jwt'].includes(type) : type === wanted.toLowerCase()
}

type Verification =
  | 'verified'
  /** The key that it names says no. */
  | 'forged'
  /** None of the keys says yes, and there may be newer ones. */
  | 'unknown-key'

function verifyWith(version: KeySetVersion, { jws, algorithm, keyName }: UnverifiedToken): Verification {
  const named =
    keyName === undefined ? version.keys : version.keys.filter(key => key.kid === keyName || key.fitsAnyName)
  if (named.length === 0) return 'unknown-key'
  const fitting: readonly VerificationKey[] = named.filter(key => key.algorithms.includes(algorithm)).slice(0, maxTries)
  if (fitting.some(key => isSignatureOf(key, algorithm, jws))) return 'verified'
  return keyName !== undefined && named.some(key => key.kid === keyName) ? 'forged' : 'unknown-key'
}

function rejected(reason: RejectionReason): Extract<Outcome, { kind: 'rejected' }> {
  return { kind: 'rejected', reason }
}
