import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import type { CredentialVersion } from '../accounts/credential-version.ts'
import { TokenError } from './error.ts'
import { originMember } from './origin.ts'
import { claimsMember, isOptional, isStringList, parseObject } from './record.ts'
import { createRunningTokens } from './running.ts'
import type { RevocationReading, RevocationStore } from './store.ts'
import { createTokenCache } from './token-cache.ts'
import type { TokenManager, TokenSubject } from './token-manager.ts'

/** Bytes of a token; more is not read. */
const maxTokenLength = 8_192
/** RFC 8725 section 3.11: nobody who believes other JWTs of ours takes this for one of them, nor we theirs. */
const typ = 'bawn-token+jwt'
/** A token is given again while this part of what a new one would get is left of it. */
const worthGiving = 1 / 2

/** A key that signs, or one that did. */
export interface SigningKey {
  /** The header of its tokens, in base64url: algorithm, type and key id are compared as one text and never read. */
  readonly header: string
  /** @returns base64url */
  sign(input: string): string
  /** @param signature strict base64url */
  verifies(input: string, signature: string): boolean
  /** Known to whoever may sign, and to nobody else. */
  readonly secret: KeyObject
}

/**
 * Reads a key: Ed25519 in PEM (PKCS#8), for EdDSA; or base64 of 32 to 512 bytes, for HS256.
 *
 * @throws {TokenError} `tokens.bad_key`; the message holds nothing of the text
 */
export function parseSigningKey(text: string): SigningKey {
  return text.includes('-----BEGIN') ? ed25519Key(text) : secretKey(text)
}

function headerOf(alg: string, keyBytes: Uint8Array): string {
  const kid = createHash('sha256').update('bawn token key id').update(keyBytes).digest('base64url').slice(0, 16)
  return Buffer.from(JSON.stringify({ alg, typ, kid })).toString('base64url')
}

function ed25519Key(pem: string): SigningKey {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // Without its cause: what OpenSSL says of a key may quote it.
    throw new TokenError('tokens.bad_key', 'the key of signed tokens is no private key in PEM')
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new TokenError('tokens.bad_key', `the key of signed tokens is ${key.asymmetricKeyType}, and must be Ed25519`)
  }
  const publicKey = createPublicKey(key)
  const secret = createHash('sha256')
    .update('bawn token secret')
    .update(key.export({ type: 'pkcs8', format: 'der' }))
  return {
    secret: createSecretKey(secret.digest()),
    header: headerOf('EdDSA', publicKey.export({ type: 'spki', format: 'der' })),
    sign: input => sign(null, Buffer.from(input, 'latin1'), key).toString('base64url'),
    verifies: (input, signature) => {
      const bytes = strictBase64Url(signature)
      return bytes?.length === 64 && verify(null, Buffer.from(input, 'latin1'), publicKey, bytes)
    },
  }
}

function secretKey(text: string): SigningKey {
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text.trim()) ? Buffer.from(text.trim(), 'base64') : Buffer.alloc(0)
  // RFC 7518 section 3.2: no shorter than the hash.
  if (bytes.length < 32 || bytes.length > 512) {
    throw new TokenError('tokens.bad_key', 'the key of signed tokens is neither PEM nor base64 of 32 to 512 bytes')
  }
  const key = createSecretKey(bytes)
  const header = headerOf('HS256', createHmac('sha256', key).update(typ).digest())
  bytes.fill(0)
  const mac = (input: string): Buffer => createHmac('sha256', key).update(input, 'latin1').digest()
  return {
    secret: createSecretKey(createHmac('sha256', key).update('bawn token secret').digest()),
    header,
    sign: input => mac(input).toString('base64url'),
    verifies: (input, signature) => {
      const given = strictBase64Url(signature)
      return given?.length === 32 && timingSafeEqual(given, mac(input))
    },
  }
}

/** One text for one value: no padding, no stray bits. */
function strictBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

interface Claims {
  readonly subject: TokenSubject
  /** ms since 1970 */
  readonly issuedAt: number
  readonly validUntil: number
  readonly epoch: number
  /** Which password the account had, under the secret of the key that signed. */
  readonly credential: string | undefined
}

export interface SignedTokenOptions {
  readonly name: string
  readonly ttlMs: number
  readonly issuer: string
  /** The first signs; all are believed. */
  readonly keys: readonly [SigningKey, ...SigningKey[]]
}

/**
 * Signed tokens: compact JWS (RFC 7515) with our own claims, short-lived, never renewed. Nothing is kept of them; what is kept, and read
 * at each use, is who was revoked, so that revoking works for the next request at every node.
 *
 * @param revocations closed with the manager
 * @param clock ms since 1970
 */
export function createSignedTokens(
  options: SignedTokenOptions,
  revocations: RevocationStore,
  clock: () => number,
): TokenManager {
  const { name, ttlMs, issuer, keys } = options
  const [current] = keys
  const byHeader = new Map(keys.map(key => [key.header, key]))
  // What was signed, not its signature: it is signed again (both algorithms give the same bytes) when the token is given again.
  const running = createRunningTokens<{ readonly payload: string; readonly claims: Claims }>()
  /** Claims of tokens whose signature was verified: what they are worth now is asked at each use. */
  const verified = createTokenCache<Claims>({ maxEntries: 10_000, maxWeight: 16 * 1_048_576 })
  const claimsOf = (token: string): Claims | undefined => {
    if (!isRecognized(token)) return undefined
    const digest = verified.digestOf(token)
    const known = verified.get(digest)
    if (known !== undefined) return known
    const claims = readToken(token, byHeader, issuer)
    if (claims !== undefined) verified.set(digest, claims, 1_024 + 4 * token.length)
    return claims
  }
  const isRecognized = (text: string): boolean =>
    text.length <= maxTokenLength && byHeader.has(text.slice(0, text.indexOf('.')))

  const tokenOf = (payload: string): string => {
    const input = `${current.header}.${payload}`
    return `${input}.${current.sign(input)}`
  }

  return {
    name,
    recognizes: isRecognized,
    async issue(subject, version) {
      const now = clock()
      const credential = version?.under(current.secret)
      const reading = await revocations.read(subject.id)
      const known = running.get(subject)
      const fresh = Math.min(ttlMs, (subject.notAfter ?? Number.POSITIVE_INFINITY) - now)
      if (
        known !== undefined &&
        isGood(known.claims, reading) &&
        known.claims.credential === credential &&
        known.claims.validUntil > now &&
        known.claims.validUntil - now >= fresh * worthGiving
      ) {
        return { token: tokenOf(known.payload), validUntil: known.claims.validUntil, isNew: false }
      }
      // NumericDate (RFC 7519 section 2) in whole seconds, downwards: never longer than said.
      const issuedAt = Math.floor(now / 1000) * 1000
      const validUntil = Math.floor((now + fresh) / 1000) * 1000
      if (validUntil <= now) throw new TokenError('tokens.expired_proof', 'the proof has run out: no token for it')
      const claims = { subject, issuedAt, validUntil, epoch: reading.epoch, credential }
      const payload = formatClaims(claims, issuer)
      const token = tokenOf(payload)
      if (token.length > maxTokenLength) {
        throw new TokenError(
          'tokens.full',
          `a token of more than ${maxTokenLength} bytes: the subject has too many roles`,
        )
      }
      running.set(subject, { payload, claims })
      return { token, validUntil, isNew: true }
    },
    async verify(token, statedUser) {
      const key = byHeader.get(token.slice(0, token.indexOf('.')))
      const claims = claimsOf(token)
      if (key === undefined || claims === undefined || claims.validUntil <= clock()) return undefined
      const { subject, issuedAt, validUntil } = claims
      if (statedUser !== undefined && statedUser !== subject.id) return undefined
      if (!isGood(claims, await revocations.read(subject.id))) return undefined
      const isIssuedFor = (credential: CredentialVersion | undefined) =>
        claims.credential === credential?.under(key.secret)
      const mark = formatMark(key.header, claims, issuer)
      return { subject, isIssuedFor, issuedAt, validUntil, renewed: false, mark }
    },
    async isGood(mark) {
      const read = parseMark(mark)
      if (read === undefined || read.issuer !== issuer || !byHeader.has(read.header)) return false
      return read.validUntil > clock() && isGood(read, await revocations.read(read.subjectId))
    },
    async revoke(subjectId) {
      const now = clock()
      // How many tokens there are, nobody knows.
      await revocations.revoke(subjectId, now + ttlMs + keepLongerMs, now)
      return 0
    },
    async revokeAll() {
      running.clear()
      await revocations.revokeAll(clock())
      return 0
    },
    list: async () => undefined,
    close: () => revocations.close(),
  }
}

/** Clocks of nodes differ, and a longer ttl may have been configured before: a revocation outlives its tokens by a day. */
const keepLongerMs = 86_400_000

/** Beyond the epoch now: the list of revocations was lost, and what it held is unknown. */
function isGood({ epoch }: Pick<Claims, 'epoch'>, reading: RevocationReading): boolean {
  return epoch <= reading.epoch && epoch >= reading.all && epoch >= (reading.subject ?? 0)
}

/** Everything that decides about a signed token later on, and no signature. */
function formatMark(header: string, { subject, validUntil, epoch }: Claims, issuer: string): string {
  return JSON.stringify({ header, issuer, subjectId: subject.id, validUntil, epoch })
}

/** @returns `undefined` when the text is not what `formatMark` makes */
function parseMark(mark: string) {
  const { header, issuer, subjectId, validUntil, epoch } = parseObject(mark) ?? {}
  if (typeof header !== 'string' || typeof issuer !== 'string' || typeof subjectId !== 'string') return undefined
  if (typeof validUntil !== 'number' || typeof epoch !== 'number') return undefined
  return { header, issuer, subjectId, validUntil, epoch }
}

function formatClaims({ subject, issuedAt, validUntil, epoch, credential }: Claims, issuer: string): string {
  const { id, roles, source, clientId, notAfter, origin, claims: carried } = subject
  const claims = {
    iss: issuer,
    sub: id,
    roles,
    src: source,
    cid: clientId,
    naf: notAfter,
    org: origin,
    clm: carried,
    iat: issuedAt / 1000,
    exp: validUntil / 1000,
    jti: randomBytes(16).toString('base64url'),
    epoch,
    cred: credential,
  }
  return Buffer.from(JSON.stringify(claims)).toString('base64url')
}

/** Nothing of the payload is read before a key of ours has signed it. */
function readToken(token: string, keys: ReadonlyMap<string, SigningKey>, issuer: string): Claims | undefined {
  const [header = '', payload = '', signature = '', ...more] = token.split('.', 4)
  if (more.length > 0 || keys.get(header)?.verifies(`${header}.${payload}`, signature) !== true) return undefined
  const value = parseObject(strictBase64Url(payload)?.toString())
  if (value === undefined) return undefined
  const { iss, sub, roles, src, cid, naf, clm, iat, exp, epoch, cred } = value
  const origin = originMember(value['org'])
  if (iss !== issuer || typeof sub !== 'string' || !isStringList(roles)) return undefined
  if (typeof iat !== 'number' || typeof exp !== 'number' || typeof epoch !== 'number') return undefined
  if (!isOptional(src, 'string') || !isOptional(cid, 'string') || !isOptional(naf, 'number')) return undefined
  if (!isOptional(cred, 'string') || !isOptional(clm, 'string') || origin === undefined) return undefined
  const subject = { id: sub, roles, source: src, clientId: cid, notAfter: naf, ...origin, ...claimsMember(clm) }
  return { subject, issuedAt: iat * 1000, validUntil: exp * 1000, epoch, credential: cred }
}
