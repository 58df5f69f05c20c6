/**
 * The body of an answer of somebody whom the gateway asks, read up to a limit and no further.
 *
 * @param maxBytes checked piece by piece, whatever Content-Length says
 * @param status what it has to be
 * @throws {Error} another status, or more than `maxBytes`; the answer is given up then
 */
export async function readAnswerBody(
  response: Response,
  maxBytes: number,
  status: 200 | 'any' = 200,
): Promise<Uint8Array<ArrayBuffer>> {
  if (status !== 'any' && response.status !== status) {
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
export async function readBounded(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
