import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { existsSync, fstatSync, fsyncSync, ftruncateSync, readSync } from 'node:fs'
import { replaceFile } from '../durable-file.ts'
import { AuditError } from './error.ts'
import { genesisMac, macOf, maxLineBytes, type ParsedLine, parseLine } from './line.ts'

/** Where a chain goes on. */
export interface ChainEnd {
  /** Number of the last whole line; 0 in an empty file. */
  readonly n: number
  /** 32 bytes. */
  readonly mac: Buffer
  /** Length of the file up to and with that line. */
  readonly size: number
  /** What stood behind it, and where it was put; `undefined` when nothing did. */
  readonly torn: { readonly bytes: number; readonly file: string } | undefined
}

/** Two lines are needed to check one; what a crash tears fits into a few. */
const windowBytes = 4 * maxLineBytes
const newline = 0x0a

/**
 * Finds the last line that is whole and follows from the one before it. What a crash left behind that is cut off and kept beside the file
 * as `<file>.torn-<time>`, never thrown away. Reads at most the last mebibyte; `verifyAudit` reads the whole.
 *
 * @param fd opened for reading and writing
 * @throws {AuditError} `audit.broken_chain` when no line there verifies: another key, or somebody changed the file
 */
export function recoverChain(fd: number, file: string, key: KeyObject, nowMs: number): ChainEnd {
  const size = fstatSync(fd).size
  const from = Math.max(0, size - windowBytes)
  const tail = readAll(fd, from, size - from)
  const end = findEnd(tail, from === 0, key)
  if (end === undefined) {
    throw new AuditError(
      'audit.broken_chain',
      `no line at the end of ${file} verifies with the audit key; nothing was written`,
    )
  }
  const whole = from + end.length
  if (whole === size) return { n: end.n, mac: end.mac, size, torn: undefined }
  const torn = freeName(`${file}.torn-${new Date(nowMs).toISOString().replaceAll(':', '')}`)
  // The original is cut only after this is on the disk.
  replaceFile(torn, tail.subarray(end.length), 0o600)
  ftruncateSync(fd, whole)
  fsyncSync(fd)
  return { n: end.n, mac: end.mac, size: whole, torn: { bytes: size - whole, file: torn } }
}

interface TailEnd {
  readonly n: number
  readonly mac: Buffer
  /** Of the tail, up to and with the line. */
  readonly length: number
}

/** @param startsFile whether the tail is the whole file: its first line then follows the genesis mac */
function findEnd(tail: Buffer, startsFile: boolean, key: KeyObject): TailEnd | undefined {
  let lineEnd = tail.lastIndexOf(newline)
  if (lineEnd < 0) return startsFile ? { n: 0, mac: genesisMac, length: 0 } : undefined
  let line: TailLine | undefined = lineAt(tail, lineEnd, startsFile)
  while (line !== undefined) {
    const before: TailLine | undefined = line.start === 0 ? undefined : lineAt(tail, line.start - 1, startsFile)
    const previous = line.start === 0 ? { n: 0, mac: genesisMac } : before?.parsed
    if (line.parsed !== undefined && previous !== undefined && follows(previous, line.parsed, key)) {
      return { n: line.parsed.n, mac: Buffer.from(line.parsed.mac), length: lineEnd + 1 }
    }
    lineEnd = line.start - 1
    line = before
  }
  return undefined
}

interface TailLine {
  readonly start: number
  readonly parsed: ParsedLine | undefined
}

/** The line that ends with the newline at `end`; `undefined` when its beginning is not in the tail. */
function lineAt(tail: Buffer, end: number, startsFile: boolean): TailLine | undefined {
  const start = end === 0 ? 0 : tail.lastIndexOf(newline, end - 1) + 1
  if (start === 0 && !startsFile) return undefined
  return { start, parsed: parseLine(tail.subarray(start, end)) }
}

function follows(previous: { readonly n: number; readonly mac: Buffer }, line: ParsedLine, key: KeyObject): boolean {
  return line.n === previous.n + 1 && timingSafeEqual(macOf(key, previous.mac, line.body), line.mac)
}

function readAll(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let read = 0
  while (read < length) {
    const n = readSync(fd, bytes, read, length - read, position + read)
    if (n === 0) break
    read += n
  }
  return bytes.subarray(0, read)
}

/** What was kept at an earlier start is not written over, whatever the clock says. */
function freeName(wanted: string): string {
  let name = wanted
  for (let i = 2; existsSync(name); i++) name = `${wanted}-${i}`
  return name
}
