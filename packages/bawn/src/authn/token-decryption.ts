import { type DecryptionKey, isKeyFor, parseDecryptionKey } from './decryption-key.ts'
import { AuthnError } from './error.ts'
import type { RejectionReason } from './identity.ts'
import type { IssuerOptions } from './issuer-option.ts'
import type { Json, JsonObject } from './json.ts'
import { type CompactJwe, holdsJwt, parseCompactJwe } from './jwe.ts'

/** Opens tokens that are encrypted to us (RFC 7516). What comes out is a signed token, of which nothing is proven yet. */
export interface TokenDecryption {
  /**
   * One reason for every token that does not open: which of key, tag and padding was wrong is what a forger wants to know.
   *
   * @throws {AuthnError} (rejects with) `authn.busy`
   */
  open(token: string): Promise<OpenedToken | { readonly kind: 'rejected'; readonly reason: RejectionReason }>
  /** Loads what the first token would have to wait for. */
  load(): Promise<void>
}

export interface OpenedToken {
  readonly kind: 'opened'
  /** A compact JWS, if the sender did right. */
  readonly token: string
  /** Names of the issuers that may have encrypted it. */
  readonly issuers: ReadonlySet<string>
  /** Of the JWE: authentic only as far as the sender was. */
  readonly header: JsonObject
}

/** Keys that are tried for one token. */
const maxTries = 3
/** Tokens that are decrypted at once: each takes a thread, and more would keep files and names waiting. */
const maxPending = 64

/** What a JWE holds; `undefined` when it does not open with that key, whatever the reason. Never rejects. */
export type JweDecryption = (token: string, jwe: CompactJwe, key: DecryptionKey) => Promise<Buffer | undefined>

/** Loads `jose`, which decrypts (docs/decisions/0015): 12 ms and 5 MB for those who need it. */
export async function loadJweDecryption(): Promise<JweDecryption> {
  const { compactDecrypt } = await import('jose/jwe/compact/decrypt')
  return async (token, jwe, { key }) => {
    const options = {
      keyManagementAlgorithms: [jwe.algorithm],
      contentEncryptionAlgorithms: [jwe.encryption],
      maxDecompressedLength: 0,
    }
    try {
      const { plaintext } = await compactDecrypt(token, key, options)
      return Buffer.from(plaintext)
    } catch {
      // Whatever it says, it stays here.
      return undefined
    }
  }
}

interface Candidate {
  readonly name: string
  readonly options: IssuerOptions
  readonly key: DecryptionKey
}

/**
 * @param issuers by name, from the configuration
 * @param resolve finds what is behind a reference
 * @returns `undefined` when no issuer encrypts: then no library for it is loaded
 * @throws {AuthnError} `authn.bad_decryption_key`
 */
export function createTokenDecryption(
  issuers: Readonly<Record<string, IssuerOptions>>,
  resolve: (reference: string) => string,
): TokenDecryption | undefined {
  const candidates = Object.entries(issuers).flatMap(([name, options]) =>
    (options.decryption?.keys ?? []).map(reference => {
      const key = parseDecryptionKey(resolve(reference), `issuer ${name}: ${reference}`)
      return { name, options, key } satisfies Candidate
    }),
  )
  if (candidates.length === 0) return undefined
  let loading: Promise<JweDecryption> | undefined
  const load = (): Promise<JweDecryption> => {
    loading ??= loadJweDecryption()
    return loading
  }
  let pending = 0

  const openWith = async (tries: readonly DecryptionKey[], token: string, jwe: CompactJwe) => {
    const decrypt = await load()
    for (const key of tries) {
      const plaintext = await decrypt(token, jwe, key)
      if (plaintext !== undefined) return { key: key.key, text: plaintext.toString('latin1') }
    }
    return undefined
  }

  return {
    async open(token) {
      const jwe = parseCompactJwe(token)
      if (jwe.kind === 'rejected') return jwe
      if (!holdsJwt(jwe.header)) return untrusted
      const fitting = candidates.filter(candidate => isCandidateFor(candidate, jwe))
      if (fitting.length === 0) return untrusted
      if (pending >= maxPending) throw new AuthnError('authn.busy', `${maxPending} tokens are being decrypted`)
      pending += 1
      try {
        const opened = await openWith(differentKeys(fitting).slice(0, maxTries), token, jwe)
        if (opened === undefined) return untrusted
        const names = fitting.filter(({ key }) => key.key.equals(opened.key)).map(({ name }) => name)
        return { kind: 'opened', token: opened.text, issuers: new Set(names), header: jwe.header }
      } finally {
        pending -= 1
      }
    },
    load: async () => void (await load()),
  }
}

const untrusted = { kind: 'rejected', reason: 'untrusted' } as const

function isCandidateFor({ key, options }: Candidate, jwe: CompactJwe): boolean {
  const { decryption, issuer } = options
  if (decryption === undefined || !decryption.algorithms.includes(jwe.algorithm)) return false
  if (!decryption.encryption.includes(jwe.encryption) || !isKeyFor(key, jwe)) return false
  // RFC 7519 section 5.3: a header may say whose token it is, so that the right key is tried.
  return jwe.header['iss'] === undefined || jwe.header['iss'] === issuer
}

/** Issuers may share a key. */
function differentKeys(candidates: readonly Candidate[]): readonly DecryptionKey[] {
  const found: DecryptionKey[] = []
  for (const { key } of candidates) if (!found.some(other => other.key.equals(key.key))) found.push(key)
  return found
}

/** RFC 7519 section 5.3: claims that the header repeats have to be those of the token inside. */
export function repeatsClaims(header: JsonObject, claims: JsonObject): boolean {
  return ['iss', 'sub', 'aud'].every(name => !(name in header) || isSame(header[name], claims[name]))
}

function isSame(left: Json | undefined, right: Json | undefined): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}
