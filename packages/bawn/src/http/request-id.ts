import { randomFillSync } from 'node:crypto'

const batch = 256
const idBytes = 16
const idLength = 36
const digits = Buffer.from('0123456789abcdef', 'latin1')

/**
 * Makes random UUIDs (RFC 9562 section 5.4), of which every request needs one: many at a time, as slices of one text. `randomUUID` puts each
 * together of twenty pieces.
 */
export function createRequestIds(): () => string {
  const random = Buffer.allocUnsafeSlow(batch * idBytes)
  const text = Buffer.allocUnsafeSlow(batch * idLength)
  let made = ''
  let next = 0
  return () => {
    if (next === made.length) {
      randomFillSync(random)
      made = formatUuids(random, text)
      next = 0
    }
    next += idLength
    return made.slice(next - idLength, next)
  }
}

function formatUuids(random: Buffer, text: Buffer): string {
  let to = 0
  for (let from = 0; from < random.length; from++) {
    const place = from % idBytes
    if (place === 4 || place === 6 || place === 8 || place === 10) text[to++] = 0x2d
    const byte = random[from] ?? 0
    const marked = place === 6 ? (byte & 0x0f) | 0x40 : place === 8 ? (byte & 0x3f) | 0x80 : byte
    text[to++] = digits[marked >> 4] ?? 0
    text[to++] = digits[marked & 0x0f] ?? 0
  }
  return text.toString('latin1')
}
