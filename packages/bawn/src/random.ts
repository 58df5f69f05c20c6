import { randomBytes, randomFillSync } from 'node:crypto'

/** A call for a few bytes costs what one for these costs, and a login makes four. */
const drawn = Buffer.allocUnsafeSlow(4_096)
let used = drawn.length

/** Random bytes of OpenSSL, for ids, nonces and keys of a session. @returns memory of its own; nobody else gets these bytes */
export function takeRandom(count: number): Buffer {
  if (count > drawn.length / 16) return randomBytes(count)
  if (used + count > drawn.length) {
    randomFillSync(drawn)
    used = 0
  }
  const taken = Buffer.from(drawn.subarray(used, used + count))
  // What was given away is not kept.
  drawn.fill(0, used, used + count)
  used += count
  return taken
}
