import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { AuditError } from './error.ts'
import { genesisMac, macMemberBytes, macOf, maxLineBytes, parseLine } from './line.ts'

export type BreakReason =
  /** It does not have the shape of a line. */
  | 'malformed'
  /** Its number is not the next one: lines were removed, repeated or put in another order. */
  | 'out-of-order'
  /** Its mac does not fit: it or the line before it was edited, or the key is another one. */
  | 'edited'
  /** The line that was the last when the head was noted is not there: the end was cut off, or the file is another one. */
  | 'head-missing'

export type Verification =
  | {
      readonly kind: 'intact'
      readonly lines: number
      /** Mac of the last line, hex; 64 zeros when there is none. */
      readonly head: string
      /** Bytes behind the last newline: a write that is going on, or one that a crash tore. No line, and no answer was given for it. */
      readonly tornBytes: number
    }
  | {
      readonly kind: 'broken'
      /** The first line, from 1, that is not as it was written; the number of lines when the head is missing. */
      readonly line: number
      readonly reason: BreakReason
    }

/**
 * Reads a trail from beginning to end and checks every line against the one before it. The file may be written meanwhile.
 *
 * @param key the key that it was written with
 * @param options.head a head noted earlier: only with it is it seen that lines were cut off at the end
 * @throws {AuditError} `audit.unwritable` when the file cannot be read
 */
export async function verifyAudit(
  path: string,
  key: KeyObject,
  options: { readonly head?: string | undefined } = {},
): Promise<Verification> {
  const head = options.head?.toLowerCase()
  let lines = 0
  let previous: Buffer = genesisMac
  let headSeen = head === undefined || head === genesisMac.toString('hex')
  let rest: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of chunksOf(path)) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let start = 0
      for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
        const line = parseLine(bytes.subarray(start, end))
        lines++
        if (line === undefined) return { kind: 'broken', line: lines, reason: 'malformed' }
        if (line.n !== lines) return { kind: 'broken', line: lines, reason: 'out-of-order' }
        if (!timingSafeEqual(macOf(key, previous, line.body), line.mac)) {
          return { kind: 'broken', line: lines, reason: 'edited' }
        }
        previous = line.mac
        headSeen ||= line.mac.toString('hex') === head
        start = end + 1
      }
      rest = bytes.subarray(start)
      if (rest.length >= maxLineBytes) return { kind: 'broken', line: lines + 1, reason: 'malformed' }
    }
  } catch (cause) {
    throw new AuditError('audit.unwritable', `cannot read ${path}`, { cause })
  }
  // A write that was torn is the beginning of a line. More than a line without a newline is something else.
  if (holdsMoreThanALine(rest)) return { kind: 'broken', line: lines + 1, reason: 'malformed' }
  if (!headSeen) return { kind: 'broken', line: lines, reason: 'head-missing' }
  return { kind: 'intact', lines, head: previous.toString('hex'), tornBytes: rest.length }
}

/** What a result means, in a sentence for the operator. */
export function describeVerification(result: Verification): string {
  if (result.kind === 'intact') {
    const torn = result.tornBytes === 0 ? '' : `; ${result.tornBytes} bytes behind the last line are not a whole line`
    return `intact: ${result.lines} lines, head ${result.head}${torn}`
  }
  switch (result.reason) {
    case 'malformed':
      return `broken at line ${result.line}: it is not a line of a trail`
    case 'out-of-order':
      return `broken at line ${result.line}: lines were removed, repeated or put in another order`
    case 'edited':
      return `broken at line ${result.line}: it was edited, or the key is not the one it was written with`
    case 'head-missing':
      return `broken after line ${result.line}: the line with the given head is not there; the end was cut off, or this is another file`
  }
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path, { highWaterMark: maxLineBytes })) {
    if (Buffer.isBuffer(chunk)) yield chunk
  }
}

function holdsMoreThanALine(rest: Buffer): boolean {
  const member = rest.indexOf(',"mac":"')
  return member >= 0 && rest.length > member + macMemberBytes
}
