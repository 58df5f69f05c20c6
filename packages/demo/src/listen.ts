import { createServer, type Server } from 'node:net'

/** Listens on 127.0.0.1; port 0 asks for a free one. Resolves to the port. */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}

/** A port that was free a moment ago. Somebody else may take it before the caller does. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server, 0)
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Whether nobody listens on this port of 127.0.0.1 now. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await listen(server, port)
    await new Promise(resolve => server.close(resolve))
    return true
  } catch {
    return false
  }
}
