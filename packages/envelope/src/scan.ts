import { acraBlockSizeAt } from './acra-block.ts'
import { acraStructSizeAt } from './acra-struct.ts'
import { asBuffer } from './bytes.ts'
import { EnvelopeError } from './error.ts'
import {
  type ContainerKind,
  containerFault,
  innerAt,
  serializedKindAt,
  serializedSizeAt,
  serializedTag,
} from './serialized.ts'
import { type OpeningKeys, openContainer, openParsed, parseStored } from './stored.ts'

export interface ScanLimits {
  /**
   * How many well-formed containers of one value keys are tried on; later ones stay as they are. A few kilobytes of well-formed
   * AcraStructs cost a fifth of a millisecond each, and per private key.
   */
  readonly maxCandidates?: number
}

export interface ScanResult {
  /** Shares memory with the input when nothing was opened. */
  readonly value: Buffer
  /** Containers that were replaced by their plaintext. */
  readonly opened: number
  /** Well-formed containers that no key opened. */
  readonly unopened: number
  /** Well-formed containers that were left alone because of `maxCandidates`. */
  readonly skipped: number
}

/** A stretch of the stored bytes, or a plaintext that stands where a container stood. Only the first kind is ever searched. */
interface Piece {
  readonly kind: 'stored' | 'plain'
  readonly bytes: Buffer
}

type Open = (kind: ContainerKind, container: Buffer) => Buffer | undefined

/** One of the three forms: its tag, and how far to go on behind something that carries the tag and does not open. */
interface Form {
  readonly tag: Buffer
  find(bytes: Buffer, at: number, open: Open): { readonly size: number; readonly plaintext: Buffer | undefined }
}

const defaultMaxCandidates = 32

/**
 * Replaces every container in a larger value by its plaintext, as Acra does with any column: serialized containers, or if nothing
 * even begins like one, bare AcraStructs and then bare AcraBlocks. What does not open stays as it is.
 *
 * Differs from Acra in one point, on purpose: plaintext that has just been decrypted is never searched again, so a text that looks
 * like a container cannot be opened by sealing it.
 *
 * A search hash is removed where the whole value is hash and container; it is checked when a search key is there.
 */
export function scan(value: Uint8Array, keys: OpeningKeys, limits: ScanLimits = {}): ScanResult {
  const stored = asBuffer(value, 'value')
  const max = limits.maxCandidates ?? defaultMaxCandidates
  const counts = { opened: 0, unopened: 0, skipped: 0 }
  const attempt = (work: () => Buffer): Buffer | undefined => {
    if (counts.opened + counts.unopened >= max) {
      counts.skipped++
      return undefined
    }
    const plaintext = openedOrNot(work)
    if (plaintext === undefined) counts.unopened++
    else counts.opened++
    return plaintext
  }
  const open: Open = (kind, container) =>
    containerFault(kind, container) === undefined ? attempt(() => openContainer(kind, container, keys)) : undefined

  const whole = parseStored(stored)
  if (whole.kind === 'stored' && whole.hash !== undefined) {
    const plaintext = attempt(() => openParsed(whole, keys))
    return { value: plaintext ?? stored, ...counts }
  }
  const pieces = holdsSerialized(stored)
    ? replace(stored, serializedForm, open)
    : replace(stored, structForm, open).flatMap(piece =>
        piece.kind === 'stored' ? replace(piece.bytes, blockForm, open) : [piece],
      )
  if (counts.opened === 0) return { value: stored, ...counts }
  return { value: joined(pieces), ...counts }
}

function openedOrNot(work: () => Buffer): Buffer | undefined {
  try {
    return work()
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined
    throw error
  }
}

function joined(pieces: readonly Piece[]): Buffer {
  const result = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.bytes.length, 0))
  let at = 0
  for (const piece of pieces) {
    at += piece.bytes.copy(result, at)
    if (piece.kind === 'plain') piece.bytes.fill(0)
  }
  return result
}

function replace(bytes: Buffer, form: Form, open: Open): Piece[] {
  const pieces: Piece[] = []
  let copied = 0
  let at = bytes.indexOf(form.tag)
  while (at !== -1) {
    const { size, plaintext } = form.find(bytes, at, open)
    if (plaintext !== undefined) {
      pieces.push({ kind: 'stored', bytes: bytes.subarray(copied, at) }, { kind: 'plain', bytes: plaintext })
      copied = at + size
    }
    at = bytes.indexOf(form.tag, at + size)
  }
  pieces.push({ kind: 'stored', bytes: bytes.subarray(copied) })
  return pieces
}

/** Something counts as soon as tag and kind are there, whether or not it opens: bare containers beside it stay closed. */
function holdsSerialized(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(serializedTag); at !== -1; at = bytes.indexOf(serializedTag, at + 1)) {
    if (serializedKindAt(bytes, at) !== undefined) return true
  }
  return false
}

const serializedForm: Form = {
  tag: serializedTag,
  find(bytes, at, open) {
    const kind = serializedKindAt(bytes, at)
    const size = kind === undefined ? undefined : serializedSizeAt(bytes, at)
    if (kind === undefined || size === undefined) return { size: 1, plaintext: undefined }
    const plaintext = open(kind, innerAt(bytes, at, size))
    return { size: plaintext === undefined ? 1 : size, plaintext }
  },
}

const structForm = bareForm('acrastruct', Buffer.alloc(8, 0x22), acraStructSizeAt)
const blockForm = bareForm('acrablock', Buffer.alloc(4, 0x22), acraBlockSizeAt)

function bareForm(kind: ContainerKind, tag: Buffer, sizeAt: (bytes: Buffer, at: number) => number | undefined): Form {
  return {
    tag,
    find(bytes, at, open) {
      const size = sizeAt(bytes, at)
      if (size === undefined) return { size: 1, plaintext: undefined }
      // Whole even when it does not open, as Acra does.
      return { size, plaintext: open(kind, bytes.subarray(at, at + size)) }
    },
  }
}
