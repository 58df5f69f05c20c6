import { STATUS_CODES } from 'node:http'
import type { Problem } from './problem.ts'

// What the fronts share about the answers that they give.

/** What is written at once; a client that cannot take this much in the write time-out is dropped. */
export const sliceBytes = 65_536
/** A body that nobody wants is read and dropped up to here; a longer one costs the client its connection. */
export const discardedBytes = 65_536
/** After an answer that came before the end of the request: so much of the rest is read and dropped, so long. */
export const lingerBytes = 1_048_576
export const lingerMs = 1_000

/** The last answer of a connection, whole: what comes in behind it is nobody's. */
export function lastAnswer({ status, headers, body }: Problem): Buffer {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`
  return Buffer.concat([Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1'), body])
}
