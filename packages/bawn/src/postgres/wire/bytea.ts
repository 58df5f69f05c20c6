// The two text forms of bytea (PostgreSQL manual, section 8.4): `\x` with hex, and the older escape form.

const backslash = 0x5c

/** Its value; -1 for any other byte. */
export const hexDigit = (byte: number): number => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

/**
 * @param text a value of type bytea in text format, either form
 * @returns its bytes in memory of their own, or `undefined` when it is neither form
 */
export function parseByteaText(text: Uint8Array): Buffer | undefined {
  if (text[0] === backslash && text[1] === 0x78) return parseHex(text)
  return parseEscape(text)
}

/** As the server writes a value of type bytea: `\x` with hex. */
export function formatByteaText(value: Uint8Array): Buffer {
  return Buffer.from(`\\x${Buffer.from(value).toString('hex')}`)
}

function parseHex(text: Uint8Array): Buffer | undefined {
  const wanted = (text.length - 2) >> 1
  // Buffer's own decoder stops at the first bad digit; the server's input allows blanks between pairs, its output has none.
  if (text.length % 2 === 0) {
    const bytes = Buffer.from(Buffer.from(text.buffer, text.byteOffset + 2, text.length - 2).toString('latin1'), 'hex')
    if (bytes.length === wanted) return bytes
  }
  const out = Buffer.alloc(wanted)
  let size = 0
  for (let at = 2; at < text.length; ) {
    const first = text[at] ?? 0
    if (isSpace(first)) {
      at += 1
      continue
    }
    const high = hexDigit(first)
    const low = hexDigit(text[at + 1] ?? 0)
    if (high < 0 || low < 0) return undefined
    out[size] = high * 16 + low
    size += 1
    at += 2
  }
  return out.subarray(0, size)
}

function parseEscape(text: Uint8Array): Buffer | undefined {
  const out = Buffer.alloc(text.length)
  let size = 0
  for (let at = 0; at < text.length; ) {
    const byte = text[at] ?? 0
    if (byte !== backslash) {
      out[size] = byte
      at += 1
    } else if (text[at + 1] === backslash) {
      out[size] = backslash
      at += 2
    } else {
      const value = octal(text, at + 1)
      if (value === undefined) return undefined
      out[size] = value
      at += 4
    }
    size += 1
  }
  return out.subarray(0, size)
}

function octal(text: Uint8Array, at: number): number | undefined {
  let value = 0
  for (let place = 0; place < 3; place += 1) {
    const digit = (text[at + place] ?? 0) - 0x30
    if (digit < 0 || digit > (place === 0 ? 3 : 7)) return undefined
    value = value * 8 + digit
  }
  return value
}
