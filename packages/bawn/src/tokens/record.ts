import { originMember } from './origin.ts'
import type { TokenRecord } from './store.ts'

/** Whom a token speaks for, and since which password. */
export type IssuedSubject = Pick<TokenRecord, 'subject' | 'credential'>

/** What a store keeps of a subject, as JSON. */
export function formatSubject({ subject, credential }: IssuedSubject): string {
  const { id, roles, source, clientId, notAfter, origin, claims } = subject
  return JSON.stringify({ id, roles, source, clientId, notAfter, origin, claims, credential })
}

/** @returns `undefined` when the text is not what `formatSubject` makes */
export function parseSubject(text: unknown): IssuedSubject | undefined {
  const value = parseObject(text)
  if (value === undefined) return undefined
  const { id, roles, source, clientId, notAfter, claims, credential } = value
  if (typeof id !== 'string' || !isStringList(roles)) return undefined
  if (!isOptional(source, 'string') || !isOptional(clientId, 'string') || !isOptional(notAfter, 'number'))
    return undefined
  const origin = originMember(value['origin'])
  if (!isOptional(credential, 'string') || !isOptional(claims, 'string') || origin === undefined) return undefined
  return { subject: { id, roles, source, clientId, notAfter, ...origin, ...claimsMember(claims) }, credential }
}

/** As a member of a subject. */
export const claimsMember = (claims: string | undefined): { readonly claims?: string } =>
  claims === undefined ? {} : { claims }

/** A whole record as one JSON text; the digest is not in it. */
export function formatRecord({ issuedAt, validUntil, ...issued }: Omit<TokenRecord, 'digest'>): string {
  return JSON.stringify({ subject: formatSubject(issued), issuedAt, validUntil })
}

/** @returns `undefined` when the text is not what `formatRecord` makes */
export function parseRecord(digest: string, text: unknown): TokenRecord | undefined {
  const value = parseObject(text)
  const issued = parseSubject(value?.['subject'])
  const { issuedAt, validUntil } = value ?? {}
  if (issued === undefined || typeof issuedAt !== 'number' || typeof validUntil !== 'number') return undefined
  return { digest, ...issued, issuedAt, validUntil }
}

export function parseObject(text: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isPlainObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

interface Kinds {
  readonly string: string
  readonly number: number
}

export function isOptional<Kind extends keyof Kinds>(value: unknown, kind: Kind): value is Kinds[Kind] | undefined {
  return value === undefined || typeof value === kind
}
