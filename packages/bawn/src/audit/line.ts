import { createHmac, hash, type KeyObject } from 'node:crypto'
import type { Identity } from '../authn/identity.ts'
import type { AuditEvent, FieldUse, HintUse } from './event.ts'

// docs/format/audit.md describes these bytes for whoever verifies a trail with other means: change both or neither.

/** Bytes of `,"mac":"` + 64 hex digits + `"}`: the end of every line, and the only part of it that its mac does not cover. */
export const macMemberBytes = 8 + 64 + 2
/** No line is longer, its newline included: what `formatBody` cuts to, with room for every character being escaped. */
export const maxLineBytes = 262_144
/** What stands for the mac before the first line. */
export const genesisMac = Buffer.alloc(32)

const limits = { name: 256, role: 128, roles: 64, resource: 1024, text: 512, fields: 128, hints: 32_768 } as const

/**
 * A line without its mac member and newline: `{"n":1,"at":"…",…`, without a closing brace. Put together by hand: the members and their
 * order are fixed, and this runs for every request.
 */
export function formatBody(n: number, atMs: number, event: AuditEvent): string {
  return numbered(n, formatUnnumbered(atMs, event))
}

/** A body of what `formatUnnumbered` made. */
export function numbered(n: number, unnumbered: string): string {
  return `{"n":${n}${unnumbered}`
}

/** A body but for its number, which is known only when it is written where several threads write one chain. */
export function formatUnnumbered(atMs: number, event: AuditEvent): string {
  let body = `,"at":"${isoTime(atMs)}","kind":"${event.kind}","request":${quote(event.requestId, limits.name)}`
  body += `,"door":"${event.door}"`
  if (event.identity !== undefined) body += `,"identity":${identityText(event.identity)}`
  if (event.claimedName !== undefined) body += `,"claimedName":${quote(event.claimedName, 128)}`
  if (event.address !== undefined) body += `,"address":${quote(event.address, limits.name)}`
  body += `,"action":${quote(event.action, limits.name)},"resource":${quote(event.resource, limits.resource)}`
  if (event.fields !== undefined) body += fieldsText(event.fields)
  if (event.hints !== undefined) body += `,"hints":${hintsText(event.hints)}`
  body += `,"decision":"${event.decision}","rule":${quote(event.rule, limits.text)}`
  return event.code === undefined ? body : `${body},"code":${quote(event.code, limits.name)}`
}

let lastSecond = Number.NaN
let secondText = ''

/** Many lines are of the same second. */
function isoTime(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond) {
    secondText = new Date(second * 1000).toISOString().slice(0, -4)
    lastSecond = second
  }
  return `${secondText}${String(Math.floor(ms) - second * 1000).padStart(3, '0')}Z`
}

/** Of identities that can no longer change. */
const identityTexts = new WeakMap<Identity, string>()

function identityText(identity: Identity): string {
  const known = identityTexts.get(identity)
  if (known !== undefined) return known
  const { id, roles, mechanism, source, clientId } = identity
  const more = beyond(roles, limits.roles)
  let text = `{"id":${quote(id, limits.name)},"roles":[`
  text += cutList(roles, limits.roles)
    .map(role => quote(role, limits.role))
    .join(',')
  text += `]${more === undefined ? '' : `,"moreRoles":${more}`},"mechanism":${quote(mechanism, limits.name)}`
  if (source !== undefined) text += `,"source":${quote(source, limits.name)}`
  if (clientId !== undefined) text += `,"clientId":${quote(clientId, limits.name)}`
  text += '}'
  if (Object.isFrozen(identity) && Object.isFrozen(identity.roles)) identityTexts.set(identity, text)
  return text
}

function fieldsText(fields: readonly FieldUse[]): string {
  const shown = cutList(fields, limits.fields).map(use => ({
    field: cut(use.field, limits.role),
    as: use.as,
    count: use.count,
  }))
  const more = beyond(fields, limits.fields)
  const text = escapeUnprintable(JSON.stringify(shown))
  return `,"fields":${text}${more === undefined ? '' : `,"moreFields":${more}`}`
}

/** Whole, or not but for who decided: cut, a condition could say something else. */
function hintsText(hints: HintUse): string {
  const text = escapeUnprintable(JSON.stringify(hints))
  if (text.length <= limits.hints) return text
  return `{"by":${quote(hints.by ?? 'hints.fields', limits.name)},"characters":${text.length}}`
}

/** Needs no escape in JSON, nor for a terminal. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** As a JSON string, cut. */
function quote(text: string, characters: number): string {
  if (text.length <= characters && plain.test(text)) return `"${text}"`
  return escapeUnprintable(JSON.stringify(cut(text, characters)))
}

const blockBytes = 64
const macBytes = 32
const bodyStart = blockBytes + macBytes
/** Both hashes of HMAC (RFC 2104 section 2) with room for what they are of: beginning with the key, padded. */
interface HmacInput {
  readonly inner: Buffer
  readonly outer: Buffer
  /** Beginnings of `inner`, by their length. */
  readonly views: (Buffer | undefined)[]
}

const hmacInputs = new WeakMap<KeyObject, HmacInput>()
/** A body of up to here is put behind its key; hardly any is longer. */
const maxJoined = 8_192

function hmacInputOf(key: KeyObject): HmacInput {
  const known = hmacInputs.get(key)
  if (known !== undefined) return known
  const secret = key.export()
  const short = secret.length > blockBytes ? Buffer.from(hash('sha256', secret, 'binary'), 'latin1') : secret
  const inner = Buffer.alloc(blockBytes + macBytes + maxJoined, 0x36)
  const outer = Buffer.alloc(blockBytes + macBytes, 0x5c)
  for (const [at, byte] of short.entries()) {
    inner[at] = byte ^ 0x36
    outer[at] = byte ^ 0x5c
  }
  const views = Array.from<Buffer | undefined>({ length: maxView + 1 })
  const made = { inner, outer, views }
  hmacInputs.set(key, made)
  return made
}

/**
 * HMAC-SHA256(key, mac of the line before ‖ body): 32 bytes. Of two hashes: `createHmac` looks its algorithm up anew each time, which
 * costs more than both.
 *
 * @param previous 32 bytes
 */
export function macOf(key: KeyObject, previous: Uint8Array, body: Uint8Array | string): Buffer {
  if (body.length * (typeof body === 'string' ? 3 : 1) > maxJoined || previous.length !== macBytes) {
    return createHmac('sha256', key).update(previous).update(body).digest()
  }
  const { inner, outer } = hmacInputOf(key)
  inner.set(previous, blockBytes)
  let length = body.length
  if (typeof body === 'string') length = inner.write(body, bodyStart)
  else inner.set(body, bodyStart)
  outer.write(hash('sha256', inner.subarray(0, bodyStart + length), 'binary'), blockBytes, 'latin1')
  return Buffer.from(hash('sha256', outer, 'binary'), 'latin1')
}

/** Beginnings of the input that are hashed: lines have a few hundred lengths, and a view costs as much as its hash. */
const maxView = 1_024

/**
 * The same, for whoever writes line after line: 64 hex digits of the mac before for those of the next. Each is needed as text anyway.
 *
 * @param previous 64 hex digits
 */
export function nextMac(key: KeyObject, previous: string, body: string): string {
  if (body.length * 3 > maxJoined) return macOf(key, Buffer.from(previous, 'hex'), body).toString('hex')
  const { inner, outer, views } = hmacInputOf(key)
  inner.write(previous, blockBytes, macBytes, 'hex')
  const end = bodyStart + inner.write(body, bodyStart)
  const view = views[end] ?? inner.subarray(0, end)
  if (end <= maxView) views[end] = view
  outer.write(hash('sha256', view, 'binary'), blockBytes, 'latin1')
  return hash('sha256', outer, 'hex')
}

/** The whole line, its newline included. @param mac 64 hex digits */
export function formatLine(body: string, mac: string): string {
  return `${body},"mac":"${mac}"}\n`
}

export interface ParsedLine {
  readonly n: number
  /** Shares memory with the line. */
  readonly body: Buffer
  /** 32 bytes. */
  readonly mac: Buffer
}

const macMember = /^,"mac":"([0-9a-f]{64})"\}$/
const firstMember = /^\{"n":([1-9][0-9]{0,15}),"/

/** Takes a line without its newline apart; `undefined` when it does not have the shape of one. The mac is not checked. */
export function parseLine(line: Buffer): ParsedLine | undefined {
  const bodyLength = line.length - macMemberBytes
  if (bodyLength < 1) return undefined
  const mac = macMember.exec(line.toString('latin1', bodyLength))?.[1]
  const n = firstMember.exec(line.toString('latin1', 0, Math.min(bodyLength, 32)))?.[1]
  if (mac === undefined || n === undefined) return undefined
  return { n: Number(n), body: line.subarray(0, bodyLength), mac: Buffer.from(mac, 'hex') }
}

function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters)}…`
}

function cutList<T>(list: readonly T[], length: number): readonly T[] {
  return list.length <= length ? list : list.slice(0, length)
}

/** How many were cut off; `undefined`, and so no member, when none. */
function beyond(list: readonly unknown[], length: number): number | undefined {
  return list.length > length ? list.length - length : undefined
}

// JSON escapes C0 controls and lone surrogates. DEL, C1 controls and what turns the direction of text would still reach the terminal of
// whoever reads the trail.
const unprintable = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

function escapeUnprintable(json: string): string {
  return json.replace(unprintable, unicodeEscape)
}

/** One UTF-16 code unit as JSON may write it (RFC 8259 section 7). */
export function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
