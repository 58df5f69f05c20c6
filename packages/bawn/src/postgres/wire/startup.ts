import { BodyReader } from './body-reader.ts'
import { MessageBuilder } from './builder.ts'
import { back, startupCode } from './message.ts'
import { WireError } from './wire-error.ts'

/** Bounds of a start-up packet, checked before the rest of it is kept (the server's own MAX_STARTUP_PACKET_LENGTH is 10000). */
export const startupPacketBytes = { min: 8, max: 10_000 } as const

/** Since protocol 3.2; the key of 3.0 has 4. */
export const maxCancelKeyBytes = 256

export interface StartupMessage {
  readonly kind: 'startup'
  readonly major: number
  readonly minor: number
  /** In order, names as sent; without `_pq_.` options. Made without a prototype. */
  readonly parameters: Readonly<Record<string, string>>
  /** Names of protocol options (`_pq_.*`), none of which we know. */
  readonly protocolOptions: readonly string[]
}

export interface CancelRequest {
  readonly kind: 'cancel'
  readonly processId: number
  /** 4 bytes in 3.0, up to 256 in 3.2. Shares memory with the packet. */
  readonly key: Buffer
}

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | CancelRequest
  | StartupMessage
  /** Another major version; the body was not looked at. */
  | { readonly kind: 'unsupported'; readonly major: number; readonly minor: number }

/**
 * @param packet one whole packet, its length included
 * @throws {WireError} when it is malformed
 */
export function parseStartupPacket(packet: Buffer): StartupPacket {
  const body = new BodyReader(packet, 4, packet.length)
  const code = body.uint32()
  if (code === startupCode.ssl || code === startupCode.gssenc) {
    body.finish()
    return { kind: code === startupCode.ssl ? 'ssl' : 'gssenc' }
  }
  if (code === startupCode.cancel) {
    if (body.left < 8 || body.left > 4 + maxCancelKeyBytes)
      throw new WireError('invalid length of cancel request packet')
    return { kind: 'cancel', processId: body.int32(), key: body.bytes(body.left) }
  }
  const major = code >>> 16
  const minor = code & 0xffff
  if (major !== 3) return { kind: 'unsupported', major, minor }
  const parameters: Record<string, string> = Object.create(null)
  const protocolOptions: string[] = []
  while (true) {
    const name = body.cstring()
    if (name === '') break
    const value = body.cstring()
    if (name.startsWith('_pq_.')) protocolOptions.push(name)
    else parameters[name] = value
  }
  // PostgreSQL accepts nothing behind the terminator either.
  if (body.left !== 0) throw new WireError('invalid startup packet layout: expected terminator as last byte')
  return { kind: 'startup', major, minor, parameters, protocolOptions }
}

/** @returns a StartupMessage of protocol 3, of this minor version */
export function buildStartupMessage(
  parameters: readonly (readonly [name: string, value: string])[],
  minor: 0 | 2 = 0,
): Buffer {
  const message = new MessageBuilder().beginPacket().int32(0x0003_0000 + minor)
  for (const [name, value] of parameters) message.cstring(name).cstring(value)
  return message.uint8(0).end().take()
}

/** @returns a CancelRequest */
export function buildCancelRequest(processId: number, key: Uint8Array): Buffer {
  return new MessageBuilder().beginPacket().int32(startupCode.cancel).int32(processId).bytes(key).end().take()
}

/** @returns an SSLRequest */
export function buildSslRequest(): Buffer {
  return new MessageBuilder().beginPacket().int32(startupCode.ssl).end().take()
}

/** @returns NegotiateProtocolVersion: the newest version we speak (the full number) and the protocol options we do not know */
export function buildNegotiateVersion(newest: number, unknownOptions: readonly string[]): Buffer {
  const message = new MessageBuilder().begin(back.negotiateVersion).int32(newest).int32(unknownOptions.length)
  for (const name of unknownOptions) message.cstring(name)
  return message.end().take()
}
