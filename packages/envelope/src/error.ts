export type EnvelopeErrorCode = 'envelope.malformed' | 'envelope.forged' | 'envelope.unsupported' | 'envelope.empty'

/**
 * The only error that bytes from outside can cause here. The message never holds a key, a plaintext or bytes of the input.
 *
 * - `envelope.malformed`: the bytes are not of this format. Decided from the bytes alone, whatever the key.
 * - `envelope.forged`: the bytes are of this format and do not authenticate. Wrong key, other context, altered bytes, failed data
 *   key or failed data: never told apart further, because which of them it was is what a forger wants to know.
 * - `envelope.unsupported`: a variant that Themis knows and this package refuses (RSA, another cipher, too many iterations).
 * - `envelope.empty`: an empty plaintext, key or passphrase was to be used; the formats have no form for it.
 */
export class EnvelopeError extends Error {
  readonly code: EnvelopeErrorCode

  constructor(code: EnvelopeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EnvelopeError'
    this.code = code
  }
}
