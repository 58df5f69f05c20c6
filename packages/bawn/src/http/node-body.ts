import type { IncomingMessage } from 'node:http'
import type { BodySource } from './engine.ts'
import { HttpError } from './problem.ts'

/**
 * The body of a request on node's IncomingMessage; see `BodySource`.
 *
 * @param invite tells a client that waits for it (`Expect: 100-continue`) to send the body
 */
export function nodeBody(request: IncomingMessage, invite: (() => void) | undefined): BodySource {
  let stop: (() => void) | undefined
  return {
    start: sink => {
      invite?.()
      let over = false
      const finish = (): void => {
        over = true
        request.off('data', data)
        request.off('end', end)
        request.off('close', close)
      }
      const data = (bytes: Buffer): void => {
        if (!sink.chunk(bytes) && !over) request.pause()
      }
      const end = (): void => {
        finish()
        sink.end()
      }
      const close = (): void => {
        finish()
        sink.fail(new HttpError('http.client_left', 'the client closed the connection in the middle of its request'))
      }
      stop = finish
      request.on('data', data)
      request.once('end', end)
      request.once('close', close)
    },
    resume: () => {
      request.resume()
    },
    cancel: () => {
      stop?.()
    },
  }
}
