import { z } from 'zod'
import { duration } from '../option.ts'
import type { RevokedEntry, RevokedTarget } from '../tokens/revoked/entry.ts'
import { AdminError } from './error.ts'

/** What an operator takes back, or gives back: as stated, before the configuration has its say. */
export interface RevocationChoice {
  /** An issuer is named as the configuration does, or by its `iss`; an API key by its name, its hash or the beginning of that, or by itself. */
  readonly target: RevokedTarget
  /** ms since 1970 */
  readonly notBefore: number | undefined
  readonly keepMs: number | undefined
}

/** One revocation, as it is listed. Times are ISO 8601. */
export interface RevocationRow {
  readonly claim?: string
  readonly value?: string
  readonly issuer?: string
  readonly api_key?: string
  readonly api_key_hash?: string
  readonly not_before: string | null
  readonly revoked_at: string
  readonly ends_at: string | null
}

const names = ['claim', 'value', 'issuer', 'api_key', 'not_before', 'keep']
const timestamp = z.iso.datetime({ offset: true })

const bad = (message: string): AdminError => new AdminError('admin.revocation', message)

/** A name or a value: nothing that a line of a log or a terminal would take for something else. */
function isPlain(text: string, max: number): boolean {
  return text !== '' && text.length <= max && !/[\p{Cc}\p{Cs}]/u.test(text)
}

type ClaimTarget = Extract<RevokedTarget, { readonly kind: 'claim' }>

function claimTarget(claim: string, value: string, issuer: string | undefined): ClaimTarget {
  if (!isPlain(claim, 128) || !isPlain(value, 1_024)) throw bad('a claim has a name and a value')
  return { kind: 'claim', claim, value, issuer }
}

/** Reads the query of a request's target. @throws {AdminError} `admin.revocation` */
export function revocationOf(target: string): RevocationChoice {
  const query = new URLSearchParams(target.split('?')[1] ?? '')
  const said = [...query.keys()]
  // A misspelt condition would take back more than was meant, or nothing.
  if (!said.every(name => names.includes(name)) || new Set(said).size !== said.length)
    throw bad('what is meant is not said')
  const of = (name: string): string | undefined => query.get(name) ?? undefined
  const [claim, value, issuer, apiKey] = [of('claim'), of('value'), of('issuer'), of('api_key')]
  const notBefore = instantOf(of('not_before'))
  const keepMs = keepOf(of('keep'))
  if (apiKey !== undefined) {
    if (
      !isPlain(apiKey, 1_024) ||
      claim !== undefined ||
      value !== undefined ||
      issuer !== undefined ||
      notBefore !== undefined
    )
      throw bad('an API key is named, and nothing beside it')
    return { target: { kind: 'api-key', name: apiKey }, notBefore, keepMs }
  }
  if (issuer !== undefined && !isPlain(issuer, 1_024)) throw bad('an issuer has a name')
  if (claim !== undefined || value !== undefined) {
    return { target: claimTarget(claim ?? '', value ?? '', issuer), notBefore, keepMs }
  }
  if (issuer === undefined) throw bad('what is meant is not said')
  return { target: { kind: 'issuer', issuer }, notBefore, keepMs }
}

function instantOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!timestamp.safeParse(text).success) throw bad('not_before is no time of RFC 3339')
  return Date.parse(text)
}

function keepOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const parsed = duration.safeParse(text)
  if (!parsed.success || parsed.data === 0) throw bad('keep is no duration: 15m, 24h, 24d')
  return parsed.data
}

/**
 * The claim and the value in `/tokens/{claim}/{value}`, as KrakenD's revoke server has them; `undefined`: another path. `api_key` is no claim
 * here: it is as it is in `/revocations/revoke`.
 *
 * @throws {AdminError} `admin.revocation`
 */
export function claimOfPath(path: string): RevokedTarget | undefined {
  const [, claim, value] = /^\/tokens\/([^/]+)\/([^/]+)$/.exec(path) ?? []
  if (claim === undefined || value === undefined) return undefined
  try {
    const target = claimTarget(decodeURIComponent(claim), decodeURIComponent(value), undefined)
    return target.claim === 'api_key' ? { kind: 'api-key', name: target.value } : target
  } catch (cause) {
    if (cause instanceof AdminError) throw cause
    throw bad('the path is not percent-encoded')
  }
}

export function revocationRow({ target, notBefore, revokedAt, endsAt }: RevokedEntry): RevocationRow {
  const iso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString())
  const times = { not_before: iso(notBefore), revoked_at: new Date(revokedAt).toISOString(), ends_at: iso(endsAt) }
  switch (target.kind) {
    case 'claim': {
      const { claim, value, issuer } = target
      return { claim, value, ...(issuer === undefined ? {} : { issuer }), ...times }
    }
    case 'issuer':
      return { issuer: target.issuer, ...times }
    case 'api-key':
      return { api_key: target.name, ...times }
    case 'api-key-hash':
      return { api_key_hash: target.hash, ...times }
  }
}
