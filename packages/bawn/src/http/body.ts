import type { AnswerWatcher, BodySink, BodySource, FrontAnswer } from './engine.ts'
import { HttpError } from './problem.ts'

/**
 * Reads a whole body.
 *
 * @param max bytes; one more, and the rest is not read
 * @param tooLarge makes the error for that
 */
export function collectBody(source: BodySource, max: number, tooLarge: () => HttpError): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Copied together as they come: a body in chunks of one byte would otherwise hold an object of some hundred bytes for each.
    let kept: Buffer = Buffer.alloc(0)
    let size = 0
    source.start({
      chunk: bytes => {
        const end = size + bytes.length
        if (end > max) {
          kept = Buffer.alloc(0)
          source.cancel()
          reject(tooLarge())
          return true
        }
        if (size === 0) kept = bytes
        else {
          if (end > kept.length) kept = Buffer.concat([kept.subarray(0, size)], Math.min(max, Math.max(4096, 2 * end)))
          bytes.copy(kept, size)
        }
        size = end
        return true
      },
      end: () => resolve(kept.subarray(0, size)),
      fail: reject,
    })
  })
}

/** Passes a body on, and no more than `max` bytes of it. @param exceeded called once; nothing follows */
export function limitBody(source: BodySource, max: number, exceeded: () => void): BodySource {
  let size = 0
  return {
    start: sink =>
      source.start({
        chunk: bytes => {
          size += bytes.length
          if (size <= max) return sink.chunk(bytes)
          source.cancel()
          sink.fail(new HttpError('http.body_too_large', `a body of more than ${max} bytes`))
          exceeded()
          return true
        },
        end: () => sink.end(),
        fail: cause => sink.fail(cause),
      }),
    resume: () => source.resume(),
    cancel: () => source.cancel(),
  }
}

/**
 * Streams an upstream's body to the client, as fast as the slower of the two.
 *
 * @param done once, with the error when the upstream broke off; the client then sees a truncated answer
 * @param closed the client left
 */
export function pump(
  source: BodySource,
  answer: FrontAnswer,
  done: (cause: Error | undefined) => void,
  closed: () => void,
): void {
  const watcher: AnswerWatcher = {
    drained: () => source.resume(),
    closed: () => {
      source.cancel()
      closed()
    },
  }
  const sink: BodySink = {
    borrows: answer.borrows === true,
    chunk: bytes => answer.write(bytes),
    end: () => {
      answer.end()
      done(undefined)
    },
    fail: cause => {
      answer.abort()
      done(cause)
    },
  }
  answer.watch(watcher)
  source.start(sink)
}
