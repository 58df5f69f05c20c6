import { isAscii } from 'node:buffer'
import { afterScheme } from './auth-params.ts'
import type { HttpCredentials } from './http-mechanism.ts'

/** User and password of an Authorization header. */
export interface BasicCredentials {
  readonly user: string
  readonly password: string
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 7617 section 2 forbids them in both parts
const control = /[\x00-\x1f\x7f-\x9f]/
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads `Basic` (RFC 7617): base64 of UTF-8, split at the first colon, without control characters.
 *
 * @returns undefined when the header is of another scheme or not there; `malformed` when it is Basic and cannot be read
 */
export function readBasic({ authorization }: HttpCredentials): BasicCredentials | 'malformed' | undefined {
  const header = authorization[0]
  const encoded = header === undefined ? undefined : afterScheme(header, 'basic')
  if (encoded === undefined) return undefined
  if (encoded === '' || !base64.test(encoded)) return 'malformed'
  const bytes = Buffer.from(encoded, 'base64')
  // Stray bits: two texts for the same bytes are two ways past a log search.
  if (bytes.toString('base64').replace(/=+$/, '') !== encoded.replace(/=+$/, '')) return 'malformed'
  let text: string
  try {
    text = isAscii(bytes) ? bytes.toString('latin1') : decoder.decode(bytes)
  } catch {
    return 'malformed'
  }
  const colon = text.indexOf(':')
  if (colon === -1 || control.test(text)) return 'malformed'
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
