import { readFile } from 'node:fs/promises'
import { readAnswerBody } from '../answer-body.ts'
import { AuthnError } from './error.ts'
import type { IssuerOptions } from './issuer-option.ts'
import { isJsonObject, parseJson } from './json.ts'
import { type KeySetReading, parseKeySet, type VerificationKey } from './jwk.ts'
import { isPem, parsePemKeys } from './pem-keys.ts'
import { fetchTrusted } from './tls-fetch.ts'

/** What the key sets need of the world outside. */
export interface KeySetSurroundings {
  readonly fetch: typeof fetch
  /** ms since 1970 */
  readonly clock: () => number
  /** For key sets in files; the file system when it is not given. */
  readonly readFile?: (path: string) => Promise<Uint8Array>
}

export interface KeySetVersion {
  /** Another number means other keys. */
  readonly generation: number
  readonly keys: readonly VerificationKey[]
}

/**
 * The keys of one issuer: fresh for a while, then refreshed in the background while the old ones go on being used, and no longer used
 * at all when they could not be refreshed for too long. Nothing is fetched unless somebody asks; never twice at a time.
 */
export interface KeySet {
  /** The keys that may be used now. `undefined`: `load` them first. */
  current(): KeySetVersion | undefined
  /** @throws {AuthnError} `authn.issuer_unreachable`: there are none that may be used */
  load(): Promise<KeySetVersion>
  /**
   * The keys after looking once more for one that is missing; at most one look in 30 s, whatever is asked for.
   *
   * @throws {AuthnError} `authn.issuer_unreachable` when looking failed: the key may exist
   */
  reloadFor(kid: string | undefined): Promise<KeySetVersion>
  /** Fetches now, whatever is fresh. @throws {AuthnError} `authn.issuer_unreachable` */
  refresh(): Promise<void>
  status(): KeySetStatus
  close(): void
}

export interface KeySetStatus {
  readonly source: string
  readonly keys: number
  /** Keys of the set that cannot be used, and why. */
  readonly skipped: readonly string[]
  /** ms since 1970; `undefined` before the first time. */
  readonly fetchedAt: number | undefined
  readonly usable: boolean
  /** What the last attempt failed with. */
  readonly failure: string | undefined
}

export const maxKeySetBytes = 1_048_576
const fetchTimeoutMs = 5_000
/** Between two attempts for keys that we do not have. */
const cooldownMs = 30_000
/** After an attempt that failed, before the next for keys that we need. */
const retryMs = 2_000
const maxMissingKids = 1_000

/** Where the keys of an issuer are, and for how long they are good. */
export interface KeySetOptions extends Pick<IssuerOptions, 'insecure_http' | 'key_id' | 'ca' | 'pins'> {
  /** Of the issuer, for messages. */
  readonly name: string
  /** https URL, a file's path, or the set itself; or the issuer whose metadata says where it is. */
  readonly jwks: NonNullable<IssuerOptions['jwks']> | { readonly discovery: string }
  /** ms that fetched keys are fresh */
  readonly refresh: number
  /** ms after that in which they are still used while the issuer cannot be reached */
  readonly stale: number
}

/** @throws {AuthnError} `authn.bad_issuer` when the URL is not one, or not https; or when the set that is written out is none */
export function createKeySet(options: KeySetOptions, surroundings: KeySetSurroundings): KeySet {
  const { clock } = surroundings
  const source = parseSource(options)
  const closing = new AbortController()
  const missing = new Map<string, number>()
  let version: KeySetVersion | undefined
  let digest: string | undefined
  let skipped: readonly string[] = []
  let fetchedAt = 0
  let attemptedAt: number | undefined
  let failure: AuthnError | undefined
  let inFlight: Promise<KeySetVersion> | undefined

  // A clock that was set back must not keep keys alive: a negative age counts as a long one wherever that is the safe side.
  const isWithin = (since: number, ms: number): boolean => clock() >= since && clock() - since <= ms
  const isUsable = () => version !== undefined && isWithin(fetchedAt, options.refresh + options.stale)
  const hasJustFailed = () => failure !== undefined && attemptedAt !== undefined && isWithin(attemptedAt, retryMs)

  const attempt = (): Promise<KeySetVersion> => {
    if (inFlight !== undefined) return inFlight
    const startedAt = clock()
    attemptedAt = startedAt
    inFlight = read()
      .then(
        reading => {
          failure = undefined
          fetchedAt = startedAt
          skipped = reading.skipped
          if (version === undefined || digest !== reading.digest) {
            digest = reading.digest
            version = { generation: (version?.generation ?? 0) + 1, keys: reading.keys }
            missing.clear()
          }
          return version
        },
        (cause: unknown) => {
          const detail = cause instanceof Error ? cause.message : 'unknown'
          failure = new AuthnError('authn.issuer_unreachable', `no keys from issuer ${options.name}: ${detail}`, {
            cause,
          })
          throw failure
        },
      )
      .finally(() => {
        inFlight = undefined
      })
    return inFlight
  }

  const read = async () => {
    closing.signal.throwIfAborted()
    const reading = await readSource(source, options, surroundings, closing.signal)
    if (reading.kind === 'malformed') throw new Error(reading.detail)
    return reading
  }

  const set: KeySet = {
    current() {
      if (version === undefined) return undefined
      if (!isWithin(fetchedAt, options.refresh) && inFlight === undefined && !hasJustFailed()) attempt().catch(() => {})
      return isUsable() ? version : undefined
    },

    async load() {
      const usable = set.current()
      if (usable !== undefined) return usable
      if (inFlight === undefined && failure !== undefined && hasJustFailed()) throw failure
      return attempt()
    },

    async reloadFor(kid) {
      if (inFlight === undefined && version !== undefined) {
        const until = kid === undefined ? undefined : missing.get(kid)
        const looked =
          (attemptedAt !== undefined && isWithin(attemptedAt, cooldownMs)) || (until !== undefined && clock() < until)
        if (looked) {
          if (failure !== undefined) throw failure
          return version
        }
      }
      const found = await attempt()
      if (kid !== undefined && found.keys.every(key => key.kid !== kid)) {
        missing.set(kid, clock() + options.refresh)
        if (missing.size > maxMissingKids) missing.delete(missing.keys().next().value ?? '')
      }
      return found
    },

    async refresh() {
      await attempt()
    },

    status: () => ({
      source: sourceText(source),
      keys: version?.keys.length ?? 0,
      skipped,
      fetchedAt: version === undefined ? undefined : fetchedAt,
      usable: isUsable(),
      failure: failure?.message,
    }),

    close: () => closing.abort(new Error('the gateway is stopping')),
  }
  return set
}

/** A URL, a file's path, keys, or where the issuer says where they are. */
type Source = URL | string | KeySetReading | Discovery

interface Discovery {
  readonly kind: 'discovery'
  /** As `iss` has it. */
  readonly issuer: string
  /** Of its metadata. */
  readonly url: URL
}

function sourceText(source: Source): string {
  if (typeof source === 'string') return source
  if (source instanceof URL) return source.href
  return source.kind === 'discovery' ? source.url.href : 'written out'
}

function parseSource(options: KeySetOptions): Source {
  const { name, jwks } = options
  if (typeof jwks !== 'string' && 'discovery' in jwks) {
    const { discovery: issuer } = jwks
    // OpenID Connect Discovery section 4: behind the path of the issuer, whose slash at the end goes.
    const url = parseUrl(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, name, options.insecure_http)
    if (url.search !== '' || url.hash !== '') {
      throw new AuthnError('authn.bad_issuer', `issuer ${name}: discovery needs an issuer without ? and #`)
    }
    return { kind: 'discovery', issuer, url }
  }
  if (typeof jwks !== 'string') {
    const reading = parseKeySet(Buffer.from(JSON.stringify(jwks)), options.key_id)
    if (reading.kind === 'keys') return reading
    throw new AuthnError('authn.bad_issuer', `issuer ${name}: jwks: ${reading.detail}`)
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(jwks)) return jwks
  return parseUrl(jwks, name, options.insecure_http)
}

function parseUrl(text: string, name: string, insecureHttp: boolean): URL {
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') {
    throw new AuthnError('authn.bad_issuer', `issuer ${name}: where its keys are is not a URL without credentials`)
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && insecureHttp)) {
    throw new AuthnError('authn.bad_issuer', `issuer ${name}: where its keys are is not an https URL`)
  }
  return url
}

async function readSource(
  source: Source,
  options: KeySetOptions,
  surroundings: KeySetSurroundings,
  closing: AbortSignal,
): Promise<KeySetReading> {
  if (typeof source === 'string') {
    const bytes = await readKeyFile(source, surroundings)
    return isPem(bytes) ? parsePemKeys(bytes) : parseKeySet(bytes, options.key_id)
  }
  if (!(source instanceof URL) && source.kind !== 'discovery') return source
  const url = source instanceof URL ? source : await discover(source, options, surroundings, closing)
  return parseKeySet(await fetchBody(url, options, surroundings.fetch, closing), options.key_id)
}

/** Where the issuer says its keys are: asked each time that they are fetched, so that they may move. */
async function discover(
  { issuer, url }: Discovery,
  options: KeySetOptions,
  surroundings: KeySetSurroundings,
  closing: AbortSignal,
): Promise<URL> {
  const metadata = parseJson(await fetchBody(url, options, surroundings.fetch, closing))
  // OpenID Connect Discovery section 4.3: metadata of another issuer would give us its keys.
  if (!isJsonObject(metadata) || metadata['issuer'] !== issuer) {
    throw new Error('what it says of itself is not JSON, or of another issuer')
  }
  const { jwks_uri: place } = metadata
  if (typeof place !== 'string') throw new Error('it does not say where its keys are')
  return parseUrl(place, options.name, options.insecure_http)
}

async function fetchBody(
  url: URL,
  { ca, pins }: KeySetOptions,
  fetchUrl: typeof fetch,
  closing: AbortSignal,
): Promise<Uint8Array> {
  const headers = { accept: 'application/jwk-set+json, application/json' }
  const signal = AbortSignal.any([closing, AbortSignal.timeout(fetchTimeoutMs)])
  if (ca !== undefined || pins !== undefined) return fetchTrusted(url, { ca, pins }, headers, signal, maxKeySetBytes)
  // Where a redirect leads, nobody wrote into the configuration.
  const response = await fetchUrl(url, { redirect: 'error', headers, signal })
  return readAnswerBody(response, maxKeySetBytes)
}

async function readKeyFile(path: string, surroundings: KeySetSurroundings): Promise<Uint8Array> {
  const bytes = await (surroundings.readFile ?? readFile)(path)
  if (bytes.length > maxKeySetBytes) throw new Error(`more than ${maxKeySetBytes} bytes`)
  return bytes
}
