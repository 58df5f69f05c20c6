import type { Edit } from './sql/plan.ts'

/** A statement text after its edits, and the way back from a position in it. */
export interface EditedText {
  readonly text: Buffer
  /** @param position 1-based, in characters of the edited text @returns the same of the text as the client sent it */
  originalPosition(position: number): number
}

/**
 * Splices on bytes, so that everything that is not edited stays as the client wrote it.
 *
 * @param edits in order, not overlapping
 * @param literal the literal that stands for a value edit, quotes included
 */
export function applyEdits(
  text: Buffer,
  edits: readonly Edit[],
  literal: (edit: Extract<Edit, { readonly kind: 'value' }>) => string,
): EditedText {
  const parts: Buffer[] = []
  /** Pieces of the edited text: where each begins there, and what it stands for in the original. */
  const pieces: { readonly at: number; readonly from: number; readonly kept: boolean }[] = []
  let at = 0
  let size = 0
  const put = (bytes: Buffer, from: number, kept: boolean): void => {
    pieces.push({ at: size, from, kept })
    parts.push(bytes)
    size += bytes.length
  }
  for (const edit of edits) {
    if (edit.start < at || edit.end < edit.start || edit.end > text.length) throw new RangeError('edits overlap')
    put(text.subarray(at, edit.start), at, true)
    put(Buffer.from(edit.kind === 'text' ? edit.text : literal(edit)), edit.start, false)
    at = edit.end
  }
  put(text.subarray(at), at, true)
  const edited = Buffer.concat(parts)
  return {
    text: edited,
    originalPosition(position) {
      const offset = byteOffset(edited, position)
      const piece = pieces.findLast(candidate => candidate.at <= offset)
      if (piece === undefined) return position
      return characterPosition(text, piece.from + (piece.kept ? offset - piece.at : 0))
    },
  }
}

/** @returns the 1-based position in characters of the byte at `offset` of a UTF-8 text */
export function characterPosition(text: Uint8Array, offset: number): number {
  let position = 1
  for (let at = 0; at < offset && at < text.length; at += 1) if (!isContinuation(text[at + 1] ?? 0)) position += 1
  return position
}

function byteOffset(text: Uint8Array, position: number): number {
  let character = 1
  for (let at = 0; at < text.length; at += 1) {
    if (isContinuation(text[at] ?? 0)) continue
    if (character === position) return at
    character += 1
  }
  return text.length
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}
