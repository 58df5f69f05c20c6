const CR = 0x0d
const LF = 0x0a
const tab = 0x09
const colonSign = 0x3a

/** What `scanHead` has found; each head is parsed before the next is scanned. */
export const scanned = {
  /** For each line: where its first colon is, -1 for none, and where its CR LF begins. From the beginning of the head. */
  marks: Array.from<number>({ length: 64 }).fill(0),
  count: 0,
  /** Control characters, or a CR or LF alone. */
  isBad: false,
}

/**
 * Goes through a head once, and keeps what its parsing needs in `scanned`.
 *
 * @returns where CR LF CR LF begins; `undefined`: not within the limit, or not here yet
 */
export function scanHead(bytes: Buffer, start: number, limit: number): number | undefined {
  const { marks } = scanned
  const stop = Math.min(bytes.length, start + limit)
  let count = 0
  let colon = -1
  let isBad = false
  for (let at = start; at < stop; at++) {
    const byte = bytes[at] ?? 0
    if (byte > colonSign ? byte !== 0x7f : byte >= 0x20 && byte !== colonSign) continue
    if (byte === colonSign) {
      if (colon === -1) colon = at - start
    } else if (byte === CR && bytes[at + 1] === LF) {
      marks[count] = colon
      marks[count + 1] = at - start
      count += 2
      colon = -1
      at++
      if (bytes[at + 1] !== CR || bytes[at + 2] !== LF) continue
      if (at + 2 >= stop) return undefined
      scanned.count = count
      scanned.isBad = isBad
      return at - 1
    } else if (byte !== tab) isBad = true
  }
  return undefined
}
