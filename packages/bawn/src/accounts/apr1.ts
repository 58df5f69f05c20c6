import { hash } from 'node:crypto'

/**
 * Apache's variant of MD5-crypt, for htpasswd files. Nobody should make new ones: a thousand rounds of MD5 keep nobody busy. Read only;
 * synchronous, for the hash thread.
 */
export interface Apr1Verifier {
  readonly kind: 'apr1'
  /** 1 to 8 characters. */
  readonly salt: string
  /** 16 bytes. */
  readonly tag: Uint8Array
}

const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** Which bytes of the digest stand in each group of the text, most significant first. */
const order: readonly (readonly number[])[] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5], [11]]

function encode(tag: Uint8Array): string {
  let text = ''
  for (const group of order) {
    let value = group.reduce((bits, index) => (bits << 8) | (tag[index] ?? 0), 0)
    for (let left = group.length + 1; left > 0; left -= 1) {
      text += alphabet.charAt(value & 0x3f)
      value >>>= 6
    }
  }
  return text
}

function decode(text: string): Buffer | undefined {
  const tag = Buffer.alloc(16)
  for (const [index, group] of order.entries()) {
    const letters = text.slice(4 * index, 4 * index + group.length + 1)
    let value = 0
    for (let at = letters.length - 1; at >= 0; at -= 1) value = (value << 6) | alphabet.indexOf(letters.charAt(at))
    for (const [place, byte] of group.entries()) tag[byte] = (value >>> (8 * (group.length - 1 - place))) & 0xff
  }
  return encode(tag) === text ? tag : undefined
}

export function parseApr1Verifier(text: string): Apr1Verifier | undefined {
  const parts = /^\$apr1\$([./A-Za-z0-9]{1,8})\$([./A-Za-z0-9]{22})$/.exec(text)
  const tag = decode(parts?.[2] ?? '')
  return tag === undefined ? undefined : { kind: 'apr1', salt: parts?.[1] ?? '', tag }
}

export function formatApr1Verifier({ salt, tag }: Apr1Verifier): string {
  return `$apr1$${salt}$${encode(tag)}`
}

const md5 = (...pieces: readonly Uint8Array[]): Buffer => hash('md5', Buffer.concat(pieces), 'buffer')

/** @returns 16 bytes @see the Apache Portable Runtime, apr_md5_encode */
export function deriveApr1Tag(password: Uint8Array, saltText: string): Buffer {
  const salt = Buffer.from(saltText)
  const inner = md5(password, salt, password)
  const first: Uint8Array[] = [password, Buffer.from('$apr1$'), salt]
  for (let left = password.length; left > 0; left -= 16) first.push(inner.subarray(0, Math.min(16, left)))
  for (let bits = password.length; bits > 0; bits >>= 1) {
    first.push(bits & 1 ? Buffer.alloc(1) : password.subarray(0, 1))
  }
  let tag = md5(...first)
  for (let round = 0; round < 1000; round += 1) {
    const pieces: Uint8Array[] = [round & 1 ? password : tag]
    if (round % 3 !== 0) pieces.push(salt)
    if (round % 7 !== 0) pieces.push(password)
    pieces.push(round & 1 ? tag : password)
    tag = md5(...pieces)
  }
  return tag
}
