/** Base64url without padding, spaces or stray bits (RFC 7515 section 2, RFC 4648 section 3.5); else `undefined`. */
export function decodeBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  // Buffer.from skips what it does not know: only the text that these bytes encode to is theirs.
  return bytes.toString('base64url') === text ? bytes : undefined
}
