/**
 * MD4 (RFC 1320), which OpenSSL 3 no longer has. Nothing is safe that relies on it; NTLM keeps passwords as it, and so has to have it.
 *
 * @returns 16 bytes
 */
export function md4(message: Uint8Array): Buffer {
  const padded = Buffer.alloc((((message.length + 8) >>> 6) + 1) * 64)
  padded.set(message)
  padded[message.length] = 0x80
  padded.writeBigUInt64LE(BigInt(message.length) * 8n, padded.length - 8)
  let a = 0x67452301
  let b = 0xefcdab89
  let c = 0x98badcfe
  let d = 0x10325476
  for (let at = 0; at < padded.length; at += 64) {
    const before = [a, b, c, d] as const
    for (const { order, shifts, constant, mix } of rounds) {
      for (const [step, word] of order.entries()) {
        const sum = (a + mix(b, c, d) + padded.readUInt32LE(at + word * 4) + constant) >>> 0
        const shift = shifts[step % 4] ?? 0
        const turned = ((sum << shift) | (sum >>> (32 - shift))) >>> 0
        a = d
        d = c
        c = b
        b = turned
      }
    }
    a = (a + before[0]) >>> 0
    b = (b + before[1]) >>> 0
    c = (c + before[2]) >>> 0
    d = (d + before[3]) >>> 0
  }
  const digest = Buffer.alloc(16)
  for (const [at, word] of [a, b, c, d].entries()) digest.writeUInt32LE(word, at * 4)
  return digest
}

interface Round {
  readonly order: readonly number[]
  readonly shifts: readonly number[]
  readonly constant: number
  readonly mix: (x: number, y: number, z: number) => number
}

/** RFC 1320 section 3.4. */
const rounds: readonly Round[] = [
  {
    order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    shifts: [3, 7, 11, 19],
    constant: 0,
    mix: (x, y, z) => (x & y) | (~x & z),
  },
  {
    order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
    shifts: [3, 5, 9, 13],
    constant: 0x5a827999,
    mix: (x, y, z) => (x & y) | (x & z) | (y & z),
  },
  {
    order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
    shifts: [3, 9, 11, 15],
    constant: 0x6ed9eba1,
    mix: (x, y, z) => x ^ y ^ z,
  },
]
