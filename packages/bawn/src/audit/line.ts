import { createHmac, type KeyObject } from 'node:crypto'
import type { AuditEvent } from './event.ts'

// docs/format/audit.md describes these bytes for whoever verifies a trail with other means: change both or neither.

/** Bytes of `,"mac":"` + 64 hex digits + `"}`: the end of every line, and the only part of it that its mac does not cover. */
export const macMemberBytes = 8 + 64 + 2
/** No line is longer, its newline included: what `formatBody` cuts to, with room for every character being escaped. */
export const maxLineBytes = 262_144
/** What stands for the mac before the first line. */
export const genesisMac = Buffer.alloc(32)

const limits = { name: 256, role: 128, roles: 64, resource: 1024, text: 512, fields: 128 } as const

/** A line without its mac member and newline: `{"n":1,"at":"…",…`, without a closing brace. */
export function formatBody(n: number, atMs: number, event: AuditEvent): string {
  const { identity } = event
  const members = {
    n,
    at: new Date(atMs).toISOString(),
    kind: event.kind,
    request: cut(event.requestId, limits.name),
    door: event.door,
    identity: identity && {
      id: cut(identity.id, limits.name),
      roles: cutList(identity.roles, limits.roles).map(role => cut(role, limits.role)),
      moreRoles: beyond(identity.roles, limits.roles),
      mechanism: identity.mechanism,
      source: identity.source && cut(identity.source, limits.name),
      clientId: identity.clientId && cut(identity.clientId, limits.name),
    },
    claimedName: event.claimedName && cut(event.claimedName, 128),
    address: event.address && cut(event.address, limits.name),
    action: cut(event.action, limits.name),
    resource: cut(event.resource, limits.resource),
    fields:
      event.fields &&
      cutList(event.fields, limits.fields).map(use => ({
        field: cut(use.field, limits.role),
        as: use.as,
        count: use.count,
      })),
    moreFields: event.fields && beyond(event.fields, limits.fields),
    decision: event.decision,
    rule: cut(event.rule, limits.text),
    code: event.code && cut(event.code, limits.name),
  }
  return escapeUnprintable(JSON.stringify(members)).slice(0, -1)
}

/** HMAC-SHA256(key, mac of the line before ‖ body): 32 bytes. */
export function macOf(key: KeyObject, previous: Uint8Array, body: Uint8Array | string): Buffer {
  return createHmac('sha256', key).update(previous).update(body).digest()
}

/** The whole line, its newline included. */
export function formatLine(body: string, mac: Buffer): string {
  return `${body},"mac":"${mac.toString('hex')}"}\n`
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
  return json.replace(unprintable, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
