import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

// Between a client and the gateway: it changes nothing, gives the client an address of its own on the way, and looks at how it begins.

/** What a connection to a PostgreSQL port begins with. */
export interface Opening {
  readonly kind: 'direct TLS' | 'SSLRequest' | 'no TLS'
  /** Whether `postgresql` is among its protocols (ALPN). */
  readonly alpn: boolean
}

/**
 * Lets a client in by a port of its own while it is at work.
 *
 * @param source the address that the gateway sees
 * @returns what came of the work, and how each connection began
 */
export async function relayed<Result>(
  port: number,
  source: string,
  work: (port: number) => Promise<Result>,
): Promise<{ readonly result: Result; readonly openings: readonly Opening[] }> {
  const begun: { bytes: Buffer }[] = []
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const opening = { bytes: Buffer.alloc(0) }
    begun.push(opening)
    const gateway = connect({ port, host: '127.0.0.1', localAddress: source })
    client.on('data', chunk => {
      if (opening.bytes.length < 4_096) opening.bytes = Buffer.concat([opening.bytes, chunk])
    })
    client.pipe(gateway).pipe(client)
    for (const [socket, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('it listens on no port')
  try {
    const result = await work(address.port)
    return { result, openings: begun.map(({ bytes }) => openingOf(bytes)) }
  } finally {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
}

const sslRequest = 80_877_103

function openingOf(bytes: Buffer): Opening {
  const alpn = bytes.includes('\x0apostgresql', 0, 'latin1')
  if (bytes[0] === 0x16) return { kind: 'direct TLS', alpn }
  return { kind: bytes.length >= 8 && bytes.readInt32BE(4) === sslRequest ? 'SSLRequest' : 'no TLS', alpn }
}
