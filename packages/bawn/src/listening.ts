import type { Server } from 'node:net'
import type { HostPort } from './option.ts'

/**
 * Listens.
 *
 * @param reusePort other threads listen there too, and the system shares the connections out (SO_REUSEPORT)
 * @returns where, with the port that the system chose for 0. Rejects when the address cannot be had
 */
export function listening(server: Server, { host, port }: HostPort, reusePort = false): Promise<HostPort> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, reusePort }, () => {
      server.off('error', reject)
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('no address'))
      else resolve({ host: address.address, port: address.port })
    })
  })
}
