import { isUtf8 } from 'node:buffer'
import type { Mask } from '../masking/mask.ts'
import { FieldError } from './error.ts'
import type { Disclosure, Field, FieldView } from './field.ts'
import type { Sealing } from './sealing.ts'

type Reveal = FieldView['reveal']

/**
 * Makes the closures that are called per value.
 *
 * @param unreadable what a value that does not open, or is no text, becomes
 */
export function createFieldView(
  field: Field,
  disclosure: Disclosure,
  sealing: Sealing,
  unreadable: 'error' | 'nothing',
): FieldView {
  const strict = createReveal(field, disclosure, sealing)
  return Object.freeze<FieldView>({
    field,
    disclosure,
    reveal: unreadable === 'error' || disclosure.kind === 'withheld' ? strict : orNothing(strict),
    protect: plaintext => protect(field, disclosure, sealing, plaintext),
    searchHash(plaintext) {
      if (!field.searchable || disclosure.kind !== 'plain') {
        const why = field.searchable ? `is not seen in plain (${disclosure.rule})` : 'is not searchable'
        throw new FieldError('fields.not_searchable', `field ${field.name} ${why}`)
      }
      return sealing.hash(plaintext)
    },
  })
}

function createReveal(field: Field, disclosure: Disclosure, sealing: Sealing): Reveal {
  switch (disclosure.kind) {
    case 'withheld':
      return () => undefined
    case 'plain':
      return (stored, carries) => {
        if (stored.length === 0) return new Uint8Array(0)
        const plaintext = carries === 'sealed' ? sealing.open(stored) : new Uint8Array(stored)
        if (field.type === 'text' && !isUtf8(plaintext)) throw notText(field, plaintext)
        return plaintext
      }
    case 'masked': {
      const { mask } = disclosure
      return (stored, carries) => {
        if (stored.length === 0) return new Uint8Array(0)
        if (carries === 'plain') return masked(field, mask, stored)
        const plaintext = sealing.open(stored)
        try {
          return masked(field, mask, plaintext)
        } finally {
          plaintext.fill(0)
        }
      }
    }
  }
}

function masked(field: Field, mask: Mask, plaintext: Uint8Array): Uint8Array {
  if (!isUtf8(plaintext)) throw notText(field, undefined)
  // The string cannot be wiped (SECURITY.md); it lives until the next collection.
  return Buffer.from(mask(Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength).toString('utf8')))
}

function notText(field: Field, wipe: Uint8Array | undefined): FieldError {
  wipe?.fill(0)
  return new FieldError('fields.unreadable', `a value of field ${field.name} opens and is not UTF-8 text`)
}

function orNothing(reveal: Reveal): Reveal {
  return (stored, carries) => {
    try {
      return reveal(stored, carries)
    } catch (cause) {
      if (cause instanceof FieldError && cause.code === 'fields.unreadable') return undefined
      throw cause
    }
  }
}

/** Whoever reads a masked value, changes something else and writes all of it back would put the mask over the value. */
function isOwnMask(mask: Mask, plaintext: Uint8Array): boolean {
  const text = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength).toString('utf8')
  return mask(text) === text
}

/**
 * A value that is a container already counts as one only when this field's own keys open it (an application that has only the public key wrote
 * it); its plaintext is then sealed as the field says. Taken by its looks, it would carry any plaintext past encryption.
 */
function protect(field: Field, disclosure: Disclosure, sealing: Sealing, value: Uint8Array): Uint8Array {
  if (value.length === 0) return new Uint8Array(0)
  const opened = field.encrypt === undefined ? undefined : sealing.openOwn(value)
  try {
    const plaintext = opened ?? value
    if (field.type === 'text' && !isUtf8(plaintext)) {
      throw new FieldError(
        'fields.not_text',
        `field ${field.name} is of type text and was given bytes that are not UTF-8`,
      )
    }
    if (disclosure.kind === 'masked' && isOwnMask(disclosure.mask, plaintext)) {
      throw new FieldError(
        'fields.masked_value',
        `field ${field.name} was given what ${disclosure.rule} shows in place of a value`,
      )
    }
    return sealing.seal(plaintext)
  } finally {
    opened?.fill(0)
  }
}
