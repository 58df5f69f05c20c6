const table = new Int32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f63b78 : 0)
  table[byte] = remainder
}

function step(state: number, byte: number): number {
  return (state >>> 8) ^ (table[(state ^ byte) & 0xff] ?? 0)
}

/**
 * CRC-32C (Castagnoli, reflected): `123456789` gives 0xe3069283. It finds accidents only.
 *
 * @param zeroFrom the four bytes from here count as zero, because a key container carries its own checksum
 * @see RFC 3720 section 12.1
 */
export function crc32c(bytes: Uint8Array, zeroFrom = bytes.length): number {
  let state = -1
  for (let at = 0; at < bytes.length; at++) {
    const zeroed = at >= zeroFrom && at < zeroFrom + 4
    state = step(state, zeroed ? 0 : (bytes[at] ?? 0))
  }
  return ~state >>> 0
}
