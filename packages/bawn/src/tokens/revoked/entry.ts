import { parseObject } from '../record.ts'

/** Whose tokens, or which key, is taken back. */
export type RevokedTarget =
  /** Every token that has this claim with this value, or with a list that holds it; of one issuer, or of any. */
  | { readonly kind: 'claim'; readonly claim: string; readonly value: string; readonly issuer: string | undefined }
  /** Every token of an issuer, by its `iss`. */
  | { readonly kind: 'issuer'; readonly issuer: string }
  /** Every API key of this name. */
  | { readonly kind: 'api-key'; readonly name: string }
  /** One API key. @param hash `sha256:` and lower-case hex: the key itself is kept nowhere */
  | { readonly kind: 'api-key-hash'; readonly hash: string }

/** One revocation. Times are ms since 1970. */
export interface RevokedEntry {
  readonly target: RevokedTarget
  /** Only what was issued before this; `undefined`: whenever it was issued. */
  readonly notBefore: number | undefined
  readonly revokedAt: number
  /** From then on it counts no longer, and may be forgotten; `undefined`: never. */
  readonly endsAt: number | undefined
}

/** The same for the same target: a second revocation takes the place of the first. */
export function targetKey(target: RevokedTarget): string {
  switch (target.kind) {
    case 'claim':
      return JSON.stringify(['claim', target.claim, target.value, target.issuer ?? null])
    case 'issuer':
      return JSON.stringify(['issuer', target.issuer])
    case 'api-key':
      return JSON.stringify(['api-key', target.name])
    case 'api-key-hash':
      return JSON.stringify(['api-key-hash', target.hash])
  }
}

export function isOver({ endsAt }: Pick<RevokedEntry, 'endsAt'>, now: number): boolean {
  return endsAt !== undefined && endsAt <= now
}

/** What a store keeps of an entry, as JSON. */
export function formatEntry({ target, notBefore, revokedAt, endsAt }: RevokedEntry): string {
  return JSON.stringify({ target: targetKey(target), notBefore, revokedAt, endsAt })
}

/** @returns `undefined` when the text is not what `formatEntry` makes */
export function parseEntry(text: unknown): RevokedEntry | undefined {
  const { target: key, notBefore, revokedAt, endsAt } = parseObject(text) ?? {}
  const target = typeof key === 'string' ? parseTarget(key) : undefined
  if (target === undefined || typeof revokedAt !== 'number' || !isInstant(notBefore) || !isInstant(endsAt)) {
    return undefined
  }
  return { target, notBefore, revokedAt, endsAt }
}

function isInstant(value: unknown): value is number | undefined {
  return value === undefined || typeof value === 'number'
}

function parseTarget(key: string): RevokedTarget | undefined {
  const parts: unknown = JSON.parse(key)
  if (!Array.isArray(parts)) return undefined
  const [kind, first, value, issuer]: readonly unknown[] = parts
  if (typeof first !== 'string') return undefined
  if (kind === 'issuer') return { kind, issuer: first }
  if (kind === 'api-key') return { kind, name: first }
  if (kind === 'api-key-hash') return { kind, hash: first }
  if (kind !== 'claim' || typeof value !== 'string') return undefined
  if (issuer !== null && typeof issuer !== 'string') return undefined
  return { kind, claim: first, value, issuer: issuer ?? undefined }
}
