// Base64 as the PHC string format has it: the usual alphabet, no padding.

export function encodeUnpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}

/** `undefined` for any text but the one that its bytes encode to. */
export function decodeUnpadded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return encodeUnpadded(bytes) === text ? bytes : undefined
}
