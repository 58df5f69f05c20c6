import { type ByteInput, ConnectionLost } from './byte-input.ts'
import type { UpstreamTarget } from './state.ts'
import { maxLoginMessageBytes } from './upstream-login.ts'
import { BodyReader } from './wire/body-reader.ts'
import { parseErrorResponse } from './wire/error-response.ts'
import { back } from './wire/message.ts'
import { WireError } from './wire/wire-error.ts'

// Which minor version of protocol 3 a server is asked for. Since 3.2 (PostgreSQL 18) the key of a cancel request is as long as the server
// makes it. Servers since PostgreSQL 9.3.21 name an older version where they have no newer; poolers may close, or refuse, instead.

/** Asked for first; 0 is asked for where that is not understood. */
export type UpstreamMinor = 0 | 2

/** How long a host that did not understand 3.2 is asked for 3.0 at once: it may have been replaced since. */
const believedMs = 600_000

const olderUntil = new WeakMap<UpstreamTarget, number>()

/** Which version to ask this host for. @param now in ms, never going back */
export function minorFor(target: UpstreamTarget, now: number): UpstreamMinor {
  return now < (olderUntil.get(target) ?? 0) ? 0 : 2
}

/** It has answered to 3.0, after it did not to 3.2. @param now in ms, never going back */
export function rememberOlder(target: UpstreamTarget, now: number): void {
  olderUntil.set(target, now + believedMs)
}

/**
 * Waits for the first words of a server, which stay unread, but for NegotiateProtocolVersion: whatever version that names will do.
 *
 * @returns whether it has understood the version that it was asked for
 * @throws {WireError} where it names a version that nobody asked for
 */
export async function isVersionUnderstood(input: ByteInput, asked: UpstreamMinor): Promise<boolean> {
  try {
    while (true) {
      const head = await input.peek(5)
      const [type, length] = [head.readUInt8(0), head.readInt32BE(1)]
      // Whoever reads it finds out what is wrong with it.
      if (length < 4 || length > maxLoginMessageBytes) return true
      if (type === back.error) return !(await isAboutTheProtocol(input, length))
      if (type !== back.negotiateVersion) return true
      // PgBouncer sends it twice.
      const { body } = await input.readMessage(maxLoginMessageBytes)
      const newest = new BodyReader(body, 0, body.length).int32()
      if (newest < 0x0003_0000 || newest > 0x0003_0000 + asked) {
        throw new WireError('PostgreSQL names a protocol version that it was not asked for')
      }
    }
  } catch (error) {
    if (error instanceof ConnectionLost) return false
    throw error
  }
}

/** Class 08 is of the connection (PgBouncer before 1.23: "bad packet header"), 0A of what is not supported. */
async function isAboutTheProtocol(input: ByteInput, length: number): Promise<boolean> {
  const message = await input.peek(length + 1)
  const state = parseErrorResponse(message, 5, length + 1).get('C')
  return state === undefined || /^(?:08|0A)/.test(state)
}
