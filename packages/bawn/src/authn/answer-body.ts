/**
 * The body of a 200 answer of an issuer, read up to a limit and no further.
 *
 * @param maxBytes checked piece by piece, whatever Content-Length says
 * @throws {Error} another status, or more than `maxBytes`; the answer is given up then
 */
export async function readAnswerBody(response: Response, maxBytes: number): Promise<Uint8Array> {
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`status ${response.status}`)
  }
  return response.body === null ? new Uint8Array() : readBounded(response.body, maxBytes)
}

/**
 * What comes in pieces, as one.
 *
 * @throws {Error} more than `maxBytes`; the source is given up then
 */
export async function readBounded(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
