import { AuthnError } from './error.ts'

/**
 * A strict reader for the part of DER (ITU-T X.690) that certificates use: definite lengths in their shortest form, tag numbers below
 * 31. What is not DER is refused with `authn.bad_certificate`: two readers that understand the same bytes differently are two
 * identities.
 */
export interface DerElement {
  /** The identifier octet: class, constructed bit and number. */
  readonly tag: number
  readonly content: Uint8Array
  /** The whole element, header and all: what is signed, hashed or compared. */
  readonly raw: Uint8Array
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  t61String: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** All elements that stand one after the other in `bytes`; the last one ends where `bytes` end. */
export function readDerElements(bytes: Uint8Array): readonly DerElement[] {
  const elements: DerElement[] = []
  for (let at = 0; at < bytes.length; ) {
    const element = readDerElementAt(bytes, at)
    elements.push(element)
    at += element.raw.length
  }
  return elements
}

/** The element that begins at `start`; the next one begins `raw.length` behind it. */
export function readDerElementAt(bytes: Uint8Array, start: number): DerElement {
  let at = start
  const tag = byteAt(bytes, at++)
  if ((tag & 0x1f) === 0x1f) throw malformed('a tag number above 30')
  let length = byteAt(bytes, at++)
  if (length === 0x80) throw malformed('an indefinite length')
  if (length > 0x80) {
    const octets = length & 0x7f
    if (octets > 3) throw malformed('a length above 16 MiB')
    length = 0
    for (let index = 0; index < octets; index++) length = length * 256 + byteAt(bytes, at++)
    // X.690 section 10.1: the fewest octets that hold it.
    if (length < 0x80 || length < 256 ** (octets - 1)) throw malformed('a length that is not the shortest')
  }
  if (length > bytes.length - at) throw malformed('it is cut off')
  return { tag, content: bytes.subarray(at, at + length), raw: bytes.subarray(start, at + length) }
}

/** The one element that `bytes` are, of the tag. */
export function readDerElement(bytes: Uint8Array, tag: number): DerElement {
  const [element, ...more] = readDerElements(bytes)
  if (more.length > 0) throw malformed('something follows it')
  return expectTag(element, tag)
}

export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag !== tag) throw malformed(`tag ${tag} was expected, found ${element?.tag ?? 'nothing'}`)
  return element
}

/** `2.5.4.3` */
export function readOid(element: DerElement | undefined): string {
  const { content } = expectTag(element, tags.oid)
  const arcs: number[] = []
  let arc = 0
  let fresh = true
  for (const octet of content) {
    if (fresh && octet === 0x80) throw malformed('an object identifier with a leading zero')
    arc = arc * 128 + (octet & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw malformed('an object identifier that is too large')
    fresh = octet < 0x80
    if (fresh) {
      arcs.push(arc)
      arc = 0
    }
  }
  const [first] = arcs
  if (!fresh || first === undefined) throw malformed('an object identifier that is cut off')
  // X.690 section 8.19.4: the first two arcs share a number; the first is 0, 1 or 2.
  const root = Math.min(Math.floor(first / 40), 2)
  return [root, first - 40 * root, ...arcs.slice(1)].join('.')
}

/** The magnitude of a positive INTEGER, big-endian, without leading zeros. */
export function readPositiveInteger(element: DerElement | undefined): Uint8Array {
  const { content } = expectTag(element, tags.integer)
  const [first, second] = content
  if (first === undefined) throw malformed('an integer without a byte')
  if (first >= 0x80) throw malformed('a negative integer')
  if (first > 0) return content
  if (second === undefined) throw malformed('the integer zero')
  if (second < 0x80) throw malformed('an integer with a leading zero')
  return content.subarray(1)
}

/** TRUE or FALSE (X.690 section 11.1). */
export function readBoolean(element: DerElement | undefined): boolean {
  return isTrue(expectTag(element, tags.boolean))
}

/** The same behind an implicit tag. */
export function isTrue({ content }: DerElement): boolean {
  const [octet, ...more] = content
  if (more.length > 0 || (octet !== 0 && octet !== 0xff)) throw malformed('a truth value that is neither')
  return octet === 0xff
}

/** The octets of a BIT STRING that has no unused bits: keys and signatures. */
export function readBits(element: DerElement | undefined): Uint8Array {
  const { content } = expectTag(element, tags.bitString)
  if (content[0] !== 0) throw malformed('a bit string of other than whole octets')
  return content.subarray(1)
}

/**
 * UTCTime or GeneralizedTime, as ms since 1970. Seconds are there and fractions are not, and the zone is Z (RFC 5280 section 4.1.2.5): other
 * forms are refused, as readers take them for different instants.
 */
export function readTime(element: DerElement | undefined): number {
  if (element?.tag !== tags.utcTime && element?.tag !== tags.generalizedTime) throw malformed('no time')
  const text = Buffer.from(element.content).toString('latin1')
  const isShort = element.tag === tags.utcTime
  if (!(isShort ? /^[0-9]{12}Z$/ : /^[0-9]{14}Z$/).test(text)) throw malformed('a time in another form')
  const digits = isShort ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const time = Date.parse(iso)
  // The 30th of February is the 2nd of March to some.
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw malformed('a time that does not exist')
  return time
}

/** One element: tag, length in its shortest form, content. At most 16 MiB. */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const header = [tag]
  if (length < 0x80) header.push(length)
  else {
    const octets: number[] = []
    for (let rest = length; rest > 0; rest >>>= 8) octets.unshift(rest & 0xff)
    header.push(0x80 | octets.length, ...octets)
  }
  return Buffer.concat([Buffer.from(header), content])
}

/** A character string. T61String only as far as it is ASCII: nobody agrees on the rest. */
export function readString(element: DerElement): string {
  const bytes = Buffer.from(element.content.buffer, element.content.byteOffset, element.content.length)
  switch (element.tag) {
    case tags.utf8String:
      return decode('utf-8', bytes)
    case tags.printableString:
      // "*" and "&" are not in X.680's set, and in many certificates.
      return matching(bytes, /^[A-Za-z0-9 '()+,\-./:=?*&]*$/)
    case tags.numericString:
      return matching(bytes, /^[0-9 ]*$/)
    case tags.ia5String:
    case tags.t61String:
      // biome-ignore lint/suspicious/noControlCharactersInRegex: IA5 is all of ASCII
      return matching(bytes, /^[\x00-\x7f]*$/)
    case tags.bmpString: {
      if (bytes.length % 2 !== 0) throw malformed('a BMPString of odd length')
      const text = decode('utf-16le', Buffer.from(bytes).swap16())
      return text.endsWith('\0') ? text.slice(0, -1) : text
    }
    default:
      throw malformed(`a string of type ${element.tag}`)
  }
}

function decode(encoding: 'utf-8' | 'utf-16le', bytes: Uint8Array): string {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new AuthnError('authn.bad_certificate', `a string is not ${encoding}`, { cause })
  }
}

function matching(bytes: Buffer, pattern: RegExp): string {
  const text = bytes.toString('latin1')
  if (!pattern.test(text)) throw malformed('a string with characters that its type does not have')
  return text
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at]
  if (byte === undefined) throw malformed('it is cut off')
  return byte
}

function malformed(detail: string): AuthnError {
  return new AuthnError('authn.bad_certificate', `not a certificate in DER: ${detail}`)
}
