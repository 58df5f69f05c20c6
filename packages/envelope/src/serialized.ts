import { acraBlockFault } from './acra-block.ts'
import { acraStructFault } from './acra-struct.ts'
import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'

// 0 tag, 3 x 25 (%%%) | 3 LE64 length of the whole | 11 kind | 12 container

/** `acrablock` is opened with the key that sealed it; `acrastruct` was sealed with a public key. */
export type ContainerKind = 'acrablock' | 'acrastruct'

/** A serialized container taken apart; `container` shares memory with it. */
export interface Serialized {
  readonly kind: ContainerKind
  readonly container: Buffer
}

export const serializedTag: Buffer = Buffer.of(0x25, 0x25, 0x25)
const headerSize = 12
const kindAt = 11

function kindOf(byte: number | undefined): ContainerKind | undefined {
  if (byte === 0xf0) return 'acrablock'
  return byte === 0xf1 ? 'acrastruct' : undefined
}

/**
 * Puts a container into the form that Acra has written since 0.90: 12 bytes more, which say where it ends and what it is.
 *
 * @param container exactly one, of this kind
 * @throws {EnvelopeError} `envelope.malformed` when it is not: what cannot be read back is not written
 */
export function serialize(kind: ContainerKind, container: Uint8Array): Buffer {
  const bytes = asBuffer(container, 'container')
  const fault = containerFault(kind, bytes)
  if (fault !== undefined) throw new EnvelopeError('envelope.malformed', fault)
  const value = Buffer.allocUnsafe(headerSize + bytes.length)
  serializedTag.copy(value)
  value.writeUInt32LE(value.length, 3)
  value.writeUInt32LE(0, 7)
  value[kindAt] = kind === 'acrablock' ? 0xf0 : 0xf1
  bytes.copy(value, headerSize)
  return value
}

/**
 * Takes a serialized container apart. What is inside is not checked.
 *
 * @param value exactly one serialized container
 * @returns `container` shares memory with `value`
 * @throws {EnvelopeError} `envelope.malformed`
 */
export function parseSerialized(value: Uint8Array): Serialized {
  const parsed = splitSerialized(asBuffer(value, 'value'))
  if (typeof parsed === 'string') throw new EnvelopeError('envelope.malformed', parsed)
  return parsed
}

/** As `parseSerialized`, with what is wrong in words instead of an error. */
export function splitSerialized(bytes: Buffer): Serialized | string {
  const kind = serializedKindAt(bytes, 0)
  if (kind === undefined || !hasSerializedTag(bytes)) return 'this is no serialized container'
  if (serializedSizeAt(bytes, 0) !== bytes.length)
    return 'the length of the serialized container differs from what is there'
  return { kind, container: bytes.subarray(headerSize) }
}

export function hasSerializedTag(bytes: Buffer): boolean {
  return bytes.length >= 3 && bytes[0] === 0x25 && bytes[1] === 0x25 && bytes[2] === 0x25
}

/** The kind that the header at `at` names, when more than a header is left. The tag is not looked at. */
export function serializedKindAt(bytes: Buffer, at: number): ContainerKind | undefined {
  return bytes.length - at > headerSize ? kindOf(bytes[at + kindAt]) : undefined
}

/** How long the serialized container at `at` says that it is, when that fits into `bytes` and leaves room for a container. */
export function serializedSizeAt(bytes: Buffer, at: number): number | undefined {
  if (bytes.readUInt32LE(at + 7) !== 0) return undefined
  const size = bytes.readUInt32LE(at + 3)
  return size > headerSize && size <= bytes.length - at ? size : undefined
}

/** The container of the serialized one at `at`, `size` bytes long. */
export function innerAt(bytes: Buffer, at: number, size: number): Buffer {
  return bytes.subarray(at + headerSize, at + size)
}

/** What keeps `bytes`, all of them, from being a container of this kind, in words. No key is used. */
export function containerFault(kind: ContainerKind, bytes: Buffer): string | undefined {
  if (kind === 'acrastruct') return acraStructFault(bytes)
  const fault = acraBlockFault(bytes)
  if (fault !== undefined) return fault
  return bytes.readUInt32LE(4) === bytes.length - 4 ? undefined : 'there are bytes after the AcraBlock'
}
