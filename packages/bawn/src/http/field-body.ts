import type { FieldUse } from '../audit/event.ts'
import type { Identity } from '../authn/identity.ts'
import type { Catalogue, Field } from '../fields/field.ts'
import type { FieldPlan, Place } from './field-plan.ts'
import { JsonError, spliceJson } from './json/splice.ts'
import { HttpError } from './problem.ts'

/** Nested deeper is refused; what clients and servers exchange is far below it, and some parsers fall over above. */
const maxDepth = 64

export interface OpenedBody {
  readonly bytes: Buffer
  readonly uses: readonly FieldUse[]
}

/**
 * Shows the protected values of an answer as the identity may see them.
 *
 * @throws {HttpError} `http.unreadable_answer` when the document cannot be proved to be what the places say
 * @throws {FieldError} `fields.unreadable` when a stored value does not open; nothing of the answer may be sent then
 */
export function revealBody(document: Buffer, plan: FieldPlan, catalogue: Catalogue, identity: Identity): OpenedBody {
  const views = plan.places.map(place => catalogue.view(place.field, identity))
  const counts = new Map<Field, FieldUse>()
  try {
    const bytes = spliceJson(document, plan.tree, maxDepth, (target, text) => {
      const place = at(plan.places, target)
      const view = at(views, target)
      count(counts, place.field, view.disclosure.kind)
      const stored = place.carries === 'sealed' ? fromTransport(text) : plainBytes(place, text)
      const shown = view.reveal(stored, place.carries)
      return shown === undefined
        ? undefined
        : shownText(place, Buffer.from(shown.buffer, shown.byteOffset, shown.length))
    })
    return { bytes, uses: [...counts.values()] }
  } catch (error) {
    if (error instanceof JsonError)
      throw new HttpError('http.unreadable_answer', `the upstream’s answer: ${error.message}`, { cause: error })
    throw error
  }
}

/**
 * Seals the values of a request's body that the upstream holds sealed; the others pass.
 *
 * @throws {HttpError} `http.unreadable_body`
 * @throws {FieldError} `fields.no_key`
 */
export function protectBody(document: Buffer, plan: FieldPlan, catalogue: Catalogue, identity: Identity): OpenedBody {
  const views = plan.places.map(place => catalogue.view(place.field, identity))
  const counts = new Map<Field, FieldUse>()
  try {
    const bytes = spliceJson(document, plan.tree, maxDepth, (target, text) => {
      const place = at(plan.places, target)
      if (place.carries === 'plain') return text
      const view = at(views, target)
      const plaintext = place.field.type === 'bytes' ? fromBase64(text) : Buffer.from(text)
      if (plaintext === undefined) throw new HttpError('http.unreadable_body', `field ${place.field.name}: not base64`)
      count(counts, place.field, 'sealed')
      return Buffer.from(view.protect(plaintext)).toString('base64')
    })
    return { bytes, uses: [...counts.values()] }
  } catch (error) {
    if (error instanceof JsonError)
      throw new HttpError('http.unreadable_body', `the request’s body: ${error.message}`, { cause: error })
    throw error
  }
}

/** A field has one line in the trail, however many places it has. */
function count(counts: Map<Field, FieldUse>, field: Field, as: FieldUse['as']): void {
  counts.set(field, { field: field.name, as, count: (counts.get(field)?.count ?? 0) + 1 })
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index]
  if (item === undefined) throw new Error('a target without a place')
  return item
}

/**
 * A container as JSON carries it: base64, or `\x` and hexadecimal as PostgreSQL's own JSON functions write bytea. What is neither
 * is handed on as it is: it will not open, and the field's own rule for that decides.
 */
function fromTransport(text: string): Buffer {
  if (/^\\x(?:[0-9A-Fa-f]{2})*$/.test(text)) return Buffer.from(text.slice(2), 'hex')
  return fromBase64(text) ?? Buffer.from(text)
}

/** Strict, of either alphabet (RFC 4648 sections 4 and 5), with and without padding. Line breaks as PostgreSQL's encode() makes them pass. */
function fromBase64(text: string): Buffer | undefined {
  const joined = text.includes('\n') ? text.replaceAll('\n', '') : text
  if (!/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}$/.test(joined)) return undefined
  const bare = joined.replace(/=+$/, '')
  if (bare.length % 4 === 1) return undefined
  if (bare.length !== joined.length && joined.length % 4 !== 0) return undefined
  return Buffer.from(bare, 'base64')
}

function plainBytes(place: Place, text: string): Buffer {
  if (place.field.type === 'text') return Buffer.from(text)
  const bytes = fromBase64(text)
  if (bytes === undefined) throw new HttpError('http.unreadable_answer', `field ${place.field.name}: not base64`)
  return bytes
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function shownText(place: Place, shown: Buffer): string {
  if (place.field.type === 'bytes') return shown.toString('base64')
  try {
    return utf8.decode(shown)
  } catch (cause) {
    throw new HttpError('http.unreadable_answer', `field ${place.field.name}: opened, and not text`, { cause })
  }
}
