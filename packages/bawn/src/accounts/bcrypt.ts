/**
 * bcrypt (Provos and Mazières, "A Future-Adaptable Password Scheme", USENIX 1999), for hashes that were made elsewhere. Synchronous and
 * slow by design: only the hash thread calls it.
 */

/** `$2b$<cost>$<salt and tag>`; `2a` and `2y` are the same function under other names, `2x` (a known fault) is not read. */
export interface BcryptVerifier {
  readonly kind: 'bcrypt'
  readonly version: '2a' | '2b' | '2y'
  /** Logarithm of the rounds. */
  readonly cost: number
  /** 16 bytes. */
  readonly salt: Uint8Array
  /** 23 bytes: the last of 24 is not kept. */
  readonly tag: Uint8Array
}

/** Cost 15 takes about three seconds here; a file that asks for more wants to keep us busy. */
export const maxBcryptCost = 15
/** More of a password is not looked at; the NUL at its end counts. */
export const maxBcryptBytes = 72

const alphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const base64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

const translate = (text: string, from: string, to: string): string =>
  Array.from(text, character => to.charAt(from.indexOf(character))).join('')

function encode(bytes: Uint8Array): string {
  return translate(Buffer.from(bytes).toString('base64').replace(/=+$/, ''), base64, alphabet)
}

/** `undefined` where a bit that no byte has is set: two texts would be one verifier. */
function decode(text: string): Buffer | undefined {
  const bytes = Buffer.from(translate(text, alphabet, base64), 'base64')
  return encode(bytes) === text ? bytes : undefined
}

/** `undefined` for anything but a whole hash of cost 4 to `maxBcryptCost`. */
export function parseBcryptVerifier(text: string): BcryptVerifier | undefined {
  const parts = /^\$(2[aby])\$([0-9]{2})\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/.exec(text)
  const version = (['2a', '2b', '2y'] as const).find(known => known === parts?.[1])
  const cost = Number(parts?.[2])
  const salt = decode(parts?.[3] ?? '')
  const tag = decode(parts?.[4] ?? '')
  if (version === undefined || salt === undefined || tag === undefined || !(cost >= 4 && cost <= maxBcryptCost)) {
    return undefined
  }
  return { kind: 'bcrypt', version, cost, salt, tag }
}

export function formatBcryptVerifier({ version, cost, salt, tag }: BcryptVerifier): string {
  return `$${version}$${String(cost).padStart(2, '0')}$${encode(salt)}${encode(tag)}`
}

/**
 * @param password at most 72 bytes count, as everywhere
 * @param salt 16 bytes
 * @returns 23 bytes
 */
export function deriveBcryptTag(password: Uint8Array, salt: Uint8Array, cost: number): Buffer {
  const key = Buffer.alloc(Math.min(password.length + 1, maxBcryptBytes))
  key.set(password.subarray(0, key.length))
  const state = initialState().slice()
  const keyWords = cycledWords(key)
  const saltWords = cycledWords(salt)
  expandKey(state, keyWords, saltWords)
  for (let round = 2 ** cost; round > 0; round -= 1) {
    expandKey(state, keyWords, noSalt)
    expandKey(state, saltWords, noSalt)
  }
  const out = Buffer.alloc(24)
  const block = new Int32Array(2)
  for (let at = 0; at < 24; at += 8) {
    block[0] = magic.readInt32BE(at)
    block[1] = magic.readInt32BE(at + 4)
    for (let round = 0; round < 64; round += 1) encipher(state, block)
    out.writeInt32BE(block[0], at)
    out.writeInt32BE(block[1], at + 4)
  }
  key.fill(0)
  state.fill(0)
  return out.subarray(0, 23)
}

const magic = Buffer.from('OrpheanBeholderScryDoubt')
const boxWords = 18
const stateWords = boxWords + 4 * 256
const noSalt = new Int32Array(boxWords)

/** The bytes as 18 words, begun again at their end. */
function cycledWords(bytes: Uint8Array): Int32Array {
  return Int32Array.from({ length: boxWords }, (_, index) => {
    let word = 0
    for (let byte = 0; byte < 4; byte += 1) word = (word << 8) | (bytes[(4 * index + byte) % bytes.length] ?? 0)
    return word
  })
}

function expandKey(state: Int32Array, key: Int32Array, salt: Int32Array): void {
  for (let index = 0; index < boxWords; index += 1) state[index] = (state[index] ?? 0) ^ (key[index] ?? 0)
  const block = new Int32Array(2)
  // A salt has four words.
  for (let at = 0; at < stateWords; at += 2) {
    block[0] = (block[0] ?? 0) ^ (salt[at & 3] ?? 0)
    block[1] = (block[1] ?? 0) ^ (salt[(at & 3) + 1] ?? 0)
    encipher(state, block)
    state[at] = block[0]
    state[at + 1] = block[1]
  }
}

/** Blowfish, one block in place. The first 18 words of `state` are P, then come the four S boxes. */
function encipher(state: Int32Array, block: Int32Array): void {
  let left = (block[0] ?? 0) ^ (state[0] ?? 0)
  let right = block[1] ?? 0
  for (let round = 1; round <= 16; round += 2) {
    right ^= mix(state, left) ^ (state[round] ?? 0)
    left ^= mix(state, right) ^ (state[round + 1] ?? 0)
  }
  block[0] = right ^ (state[17] ?? 0)
  block[1] = left
}

function mix(state: Int32Array, word: number): number {
  const sum = ((state[18 + (word >>> 24)] ?? 0) + (state[274 + ((word >>> 16) & 0xff)] ?? 0)) | 0
  return ((sum ^ (state[530 + ((word >>> 8) & 0xff)] ?? 0)) + (state[786 + (word & 0xff)] ?? 0)) | 0
}

let initial: Int32Array | undefined

/** Blowfish begins with the fraction of pi. It is computed, by Machin's formula: 4 kB of digits could hide a wrong one. */
function initialState(): Int32Array {
  if (initial !== undefined) return initial
  const bits = BigInt(32 * stateWords)
  const guard = 64n
  const one = 1n << (bits + guard)
  const arcCotangent = (x: bigint): bigint => {
    let power = one / x
    let sum = power
    for (let n = 3n, sign = -1n; power > 0n; n += 2n, sign = -sign) {
      power /= x * x
      sum += (sign * power) / n
    }
    return sum
  }
  const pi = (4n * (4n * arcCotangent(5n) - arcCotangent(239n))) >> guard
  const digits = (pi & ((1n << bits) - 1n)).toString(16).padStart(8 * stateWords, '0')
  initial = Int32Array.from(
    { length: stateWords },
    (_, index) => Number.parseInt(digits.slice(8 * index, 8 * index + 8), 16) | 0,
  )
  return initial
}
