/** Base64url without padding, spaces or stray bits (RFC 7515 section 2, RFC 4648 section 3.5); else `undefined`. */
export function decodeBase64Url(text: string): Buffer | undefined {
  return isBase64Url(text) ? Buffer.from(text, 'base64url') : undefined
}

// Buffer.from skips what it does not know; of the last character, all bits that are no part of a whole byte must be zero.
const alphabet = /^[A-Za-z0-9_-]*$/
const lastOfTwo = 'AQgw'
const lastOfThree = 'AEIMQUYcgkosw048'

function isBase64Url(text: string): boolean {
  if (!alphabet.test(text)) return false
  switch (text.length % 4) {
    case 0:
      return true
    case 2:
      return lastOfTwo.includes(text.charAt(text.length - 1))
    case 3:
      return lastOfThree.includes(text.charAt(text.length - 1))
    default:
      return false
  }
}
