import { readFileSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import { connect } from 'node:net'

// What bench/http.ts takes for the least that HTTP/2 by node:http2 can cost: each request is asked of the upstream over a kept connection,
// in one write, and its answer given in one piece. Nobody is identified, nothing is checked, written or counted.
// Called with the port to listen on, the upstream's, and the folder of the certificate.

const [port, upstreamPort, folder] = process.argv.slice(2)

interface Kept {
  answered: ((body: Buffer) => void) | undefined
  ask(text: string): void
}

const idle: Kept[] = []
const slab = Buffer.allocUnsafeSlow(65_536)

function open(): Kept {
  const kept: Kept = { answered: undefined, ask: text => socket.write(text, 'latin1') }
  // An answer of the bench's upstream comes in one piece.
  const callback = (count: number): boolean => {
    const { answered } = kept
    idle.push(kept)
    answered?.(Buffer.from(slab.subarray(slab.indexOf('\r\n\r\n') + 4, count)))
    return true
  }
  const socket = connect({
    port: Number(upstreamPort),
    host: '127.0.0.1',
    noDelay: true,
    onread: { buffer: slab, callback },
  })
  return kept
}

const server = createSecureServer({
  cert: readFileSync(`${folder}/server.crt`),
  key: readFileSync(`${folder}/server.key`),
})
server.on('session', session => session.on('error', () => {}))
server.on('stream', (stream, headers) => {
  stream.on('error', () => {})
  const kept = idle.pop() ?? open()
  kept.answered = body => {
    if (stream.destroyed) return
    stream.respond([':status', '200', 'content-type', 'application/json', 'content-length', `${body.length}`])
    stream.end(body)
  }
  kept.ask(`GET ${headers[':path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
})
server.listen(Number(port), '127.0.0.1')
