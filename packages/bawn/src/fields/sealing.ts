import {
  EnvelopeError,
  looksLikeContainer,
  openStored,
  sealAcraBlock,
  sealAcraStruct,
  searchHash,
  serialize,
} from '@bawn/envelope'
import { KeyError } from '../keys/error.ts'
import type { ClientKeys, Keystore } from '../keys/keystore.ts'
import { FieldError } from './error.ts'
import type { Field } from './field.ts'

/** Keys of a field for one client id. The one place where a key and a plaintext meet. */
export interface Sealing {
  /** @throws {FieldError} `fields.unreadable` */
  open(stored: Uint8Array): Buffer
  /** @throws {FieldError} `fields.no_key` */
  seal(plaintext: Uint8Array): Buffer
  /** What this field's own keys open is opened; anything else is `undefined`, whatever it looks like. */
  openOwn(value: Uint8Array): Buffer | undefined
  /** 33 bytes. @throws {FieldError} `fields.no_key` */
  hash(plaintext: Uint8Array): Buffer
}

/**
 * Keys are looked up when they are first needed: a view that withholds never asks for one.
 *
 * @param clientId `undefined` when the identity has none and the field wants the identity's
 */
export function createSealing(field: Field, clientId: string | undefined, keystore: Keystore): Sealing {
  let found: ClientKeys | undefined
  /** Of this turn of the event loop: a result of thousands of values is not thousands of looks at the disk, and keys made later are found. */
  let refused: KeyError | undefined
  const lookUp = (): ClientKeys => {
    if (found !== undefined) return found
    if (refused !== undefined) throw refused
    if (clientId === undefined) {
      throw new FieldError(
        'fields.no_key',
        `field ${field.name} takes its keys from the identity, which has no client id`,
      )
    }
    found = keystore.client(clientId)
    return found
  }
  const keys = (): ClientKeys => {
    try {
      return lookUp()
    } catch (cause) {
      if (!(cause instanceof KeyError)) throw cause
      if (refused === undefined) {
        refused = cause
        setImmediate(() => {
          refused = undefined
        })
      }
      throw new FieldError('fields.no_key', `field ${field.name} has no usable keys: ${cause.message}`, { cause })
    }
  }
  const openWith = (stored: Uint8Array): Buffer => {
    const { symmetric, storage, search } = keys()
    return openStored(stored, { blockKeys: symmetric, privateKeys: storage, search })
  }
  const missing = (kind: string) =>
    new FieldError('fields.no_key', `field ${field.name} needs a ${kind} key of client id ${clientId ?? 'nobody'}`)
  const hash = (plaintext: Uint8Array): Buffer => {
    const { search } = keys()
    if (search === undefined) throw missing('search')
    return searchHash(search, plaintext)
  }

  return {
    hash,
    open(stored) {
      try {
        return openWith(stored)
      } catch (cause) {
        if (!(cause instanceof EnvelopeError) && !(cause instanceof FieldError)) throw cause
        const words = `a value of field ${field.name} does not open with the keys of client id ${clientId ?? 'nobody'}`
        throw new FieldError('fields.unreadable', words, { cause })
      }
    },
    openOwn(value) {
      // Costs microseconds and no key; what passes is still only tried.
      if (!looksLikeContainer(value)) return undefined
      try {
        return openWith(value)
      } catch (cause) {
        if (cause instanceof EnvelopeError) return undefined
        throw cause
      }
    },
    seal(plaintext) {
      const container = sealContainer(field, plaintext, keys(), missing)
      return field.searchable ? Buffer.concat([hash(plaintext), container]) : container
    },
  }
}

function sealContainer(
  field: Field,
  plaintext: Uint8Array,
  keys: ClientKeys,
  missing: (kind: string) => FieldError,
): Buffer {
  switch (field.encrypt) {
    case 'acrablock': {
      const [key] = keys.symmetric
      if (key === undefined) throw missing('symmetric')
      return serialize('acrablock', sealAcraBlock(key, plaintext))
    }
    case 'acrastruct': {
      if (keys.storagePublic === undefined) throw missing('storage')
      return serialize('acrastruct', sealAcraStruct(keys.storagePublic, plaintext))
    }
    case undefined:
      // Sealing is asked of a field that is only masked: to hand the plaintext back would let it through.
      throw new FieldError('fields.no_key', `field ${field.name} is not encrypted and cannot be sealed`)
  }
}

/** What a field lacks to be used with a client id, in words; `undefined` when nothing. @throws {KeyError} */
export function missingKey(field: Field, keys: ClientKeys): string | undefined {
  if (field.encrypt === 'acrablock' && keys.symmetric.length === 0) return 'a symmetric key'
  if (field.encrypt === 'acrastruct' && keys.storagePublic === undefined) return 'a storage key pair'
  if (field.searchable && keys.search === undefined) return 'a search key'
  return undefined
}
