import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { ByteInput, ConnectionLost, endSocket } from './byte-input.ts'
import { fatalResponse, PostgresError } from './failure.ts'
import { type CancelRequest, parseStartupPacket, type StartupMessage, startupPacketBytes } from './wire/startup.ts'
import { WireError } from './wire/wire-error.ts'

/** How the first bytes of a connection end. */
export type Admission =
  | {
      readonly kind: 'startup'
      readonly message: StartupMessage
      readonly input: ByteInput
      readonly tls: TLSSocket | undefined
    }
  | { readonly kind: 'cancel'; readonly request: CancelRequest; readonly input: ByteInput }
  /** Nothing that the protocol knows, or the client went away: close without a word. */
  | { readonly kind: 'closed'; readonly reason: string }

/** Shakes hands on an accepted connection. Resolves with `undefined` when the handshake failed. */
export type StartTls = (socket: Socket) => Promise<TLSSocket | undefined>

const tlsHandshakeRecord = 0x16

/**
 * Answers SSLRequest and GSSENCRequest, takes direct TLS, and reads the first real packet.
 *
 * @param startTls `undefined` where the listener has no certificate
 */
export async function admit(socket: Socket, startTls: StartTls | undefined): Promise<Admission> {
  try {
    return await negotiate(socket, startTls)
  } catch (error) {
    if (error instanceof ConnectionLost) return { kind: 'closed', reason: 'the client closed' }
    if (error instanceof WireError) return { kind: 'closed', reason: error.message }
    throw error
  }
}

async function negotiate(raw: Socket, startTls: StartTls | undefined): Promise<Admission> {
  let input = new ByteInput(raw)
  let tls: TLSSocket | undefined
  let sslAsked = false
  let gssAsked = false
  while (true) {
    const first = (await input.peek(1)).readUInt8(0)
    if (first === tlsHandshakeRecord) {
      if (startTls === undefined || tls !== undefined || sslAsked) return closed('an unexpected TLS handshake')
      raw.unshift(input.release())
      tls = await startTls(raw)
      if (tls === undefined) return closed('the TLS handshake failed')
      // Without ALPN another protocol's client could be led to us (ALPACA): direct TLS must name ours.
      if (tls.alpnProtocol !== 'postgresql') return closed('direct TLS without ALPN "postgresql"')
      input = new ByteInput(tls)
      continue
    }
    const packet = parseStartupPacket(await input.readPacket(startupPacketBytes))
    switch (packet.kind) {
      case 'ssl': {
        if (sslAsked || tls !== undefined) return closed('a second SSLRequest')
        sslAsked = true
        // What came along in clear would be taken for the client's first words inside TLS (CVE-2021-23214).
        if (input.held > 0) return closed('bytes behind SSLRequest before the handshake')
        if (startTls === undefined) {
          input.socket.write('N')
          break
        }
        input.release()
        raw.write('S')
        tls = await startTls(raw)
        if (tls === undefined) return closed('the TLS handshake failed')
        input = new ByteInput(tls)
        break
      }
      case 'gssenc':
        if (gssAsked || input.held > 0) return closed('a second GSSENCRequest or bytes behind it')
        gssAsked = true
        input.socket.write('N')
        break
      case 'cancel':
        return { kind: 'cancel', request: packet, input }
      case 'unsupported':
        input.release()
        endSocket(
          input.socket,
          fatalResponse(
            new PostgresError(
              'postgres.unsupported_version',
              `unsupported frontend protocol ${packet.major}.${packet.minor}: server supports 3.0 to 3.2`,
            ),
          ),
        )
        return closed(`protocol ${packet.major}.${packet.minor}`)
      case 'startup':
        return { kind: 'startup', message: packet, input, tls }
    }
  }
}

function closed(reason: string): Admission {
  return { kind: 'closed', reason }
}
