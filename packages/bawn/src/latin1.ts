import { Buffer } from 'node:buffer'

/** Node has it on every Buffer; its types do not. */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string
}

const hasSlice = typeof Reflect.get(Buffer.prototype, 'latin1Slice') === 'function'

function isLatin1Buffer(_bytes: object): _bytes is Latin1Buffer {
  return hasSlice
}

/** A character for each byte. Past what `toString` does to find out which encoding is meant: this is done several times for each request. */
export function latin1(bytes: Buffer, start = 0, end = bytes.length): string {
  return isLatin1Buffer(bytes) ? bytes.latin1Slice(start, end) : bytes.toString('latin1', start, end)
}
