import type { KeyObject } from 'node:crypto'
import { type BlockKey, openAcraBlock } from './acra-block.ts'
import { openAcraStruct } from './acra-struct.ts'
import { asBuffer } from './bytes.ts'
import type { PrivateKey } from './ec-key.ts'
import { EnvelopeError } from './error.ts'
import { isSearchHashOf, searchHashNumber, searchHashSize } from './search-hash.ts'
import { forged } from './secure-cell.ts'
import { type ContainerKind, containerFault, hasSerializedTag, splitSerialized } from './serialized.ts'

/** The keys that may open a value: one client's, or one zone's. */
export interface OpeningKeys {
  /** Current first, earlier ones after it. */
  readonly blockKeys: readonly BlockKey[]
  /** Current first, earlier ones after it. */
  readonly privateKeys: readonly PrivateKey[]
  /** Without it a search hash is removed but not checked. */
  readonly search?: KeyObject | undefined
  /** What AcraStructs were sealed with: the zone id with zones, else nothing. Block keys carry their own context. */
  readonly context?: Uint8Array | undefined
}

export interface Stored {
  readonly kind: 'stored'
  readonly hash: Buffer | undefined
  readonly containerKind: ContainerKind
  readonly container: Buffer
}

/** Takes the value of a protected column apart without any key; or says what is wrong with it. */
export function parseStored(value: Buffer): Stored | { readonly kind: 'fault'; readonly fault: string } {
  const hashed = value[0] === searchHashNumber && value.length > searchHashSize
  const hash = hashed ? value.subarray(0, searchHashSize) : undefined
  const rest = hashed ? value.subarray(searchHashSize) : value
  if (hasSerializedTag(rest)) {
    const parsed = splitSerialized(rest)
    return typeof parsed === 'string' ? { kind: 'fault', fault: parsed } : checked(hash, parsed.kind, parsed.container)
  }
  // The tag of a bare AcraBlock is the beginning of that of an AcraStruct, but as a length it would be 572 million bytes.
  const struct = rest.length >= 8 && rest.readUInt32LE(4) === 0x2222_2222
  return checked(hash, struct ? 'acrastruct' : 'acrablock', rest)
}

function checked(
  hash: Buffer | undefined,
  containerKind: ContainerKind,
  container: Buffer,
): ReturnType<typeof parseStored> {
  const fault = containerFault(containerKind, container)
  return fault === undefined ? { kind: 'stored', hash, containerKind, container } : { kind: 'fault', fault }
}

/**
 * Opens the value of a protected column: a search hash or none, then exactly one container, serialized or bare, and nothing else.
 *
 * @returns the plaintext, in memory of its own
 * @throws {EnvelopeError} `envelope.malformed` when it is not of that form; `envelope.forged` when no key opens it, or when the
 *   search hash is not that of the plaintext
 */
export function openStored(value: Uint8Array, keys: OpeningKeys): Buffer {
  const stored = parseStored(asBuffer(value, 'value'))
  if (stored.kind === 'fault') throw new EnvelopeError('envelope.malformed', stored.fault)
  return openParsed(stored, keys)
}

/** @throws {EnvelopeError} as `openStored` */
export function openParsed({ hash, containerKind, container }: Stored, keys: OpeningKeys): Buffer {
  const plaintext = openContainer(containerKind, container, keys)
  if (hash !== undefined && keys.search !== undefined && !isSearchHashOf(hash, keys.search, plaintext)) {
    plaintext.fill(0)
    throw forged('value')
  }
  return plaintext
}

/** @throws {EnvelopeError} `envelope.malformed`, `envelope.forged` */
export function openContainer(kind: ContainerKind, container: Buffer, keys: OpeningKeys): Buffer {
  if (kind === 'acrablock') return openAcraBlock(keys.blockKeys, container).plaintext
  return openAcraStruct(keys.privateKeys, container, keys.context)
}

/**
 * Whether a value has the whole form that `openStored` opens: tags, kinds, all lengths, inner headers, checksum. A few microseconds
 * and no key. It is still only a look: whoever writes the value can make one that passes and does not open, so what must be
 * protected is decided by configuration and not by this.
 */
export function looksLikeContainer(value: Uint8Array): boolean {
  return parseStored(asBuffer(value, 'value')).kind === 'stored'
}
