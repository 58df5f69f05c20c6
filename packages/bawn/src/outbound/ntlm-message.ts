import { createHmac } from 'node:crypto'
import { md4 } from './md4.ts'

// The three messages of NTLM (MS-NLMP section 2.2.1), NTLMv2 and Unicode only, without signing, sealing or exchange of keys.

export interface NtlmChallenge {
  readonly flags: number
  /** 8 bytes */
  readonly serverChallenge: Buffer
  /** AV pairs as they came, the one that ends them included; empty where there are none. */
  readonly targetInfo: Buffer
  /** FILETIME of the server, 8 bytes, where it says so. */
  readonly timestamp: Buffer | undefined
}

export interface NtlmAccount {
  readonly user: string
  /** Empty: the server's own. */
  readonly domain: string
  readonly password: string
}

const signature = Buffer.from('NTLMSSP\0', 'latin1')
const unicode = 0x1
const targetInfoFlag = 0x00800000
/** Unicode, REQUEST_TARGET, NTLM, ALWAYS_SIGN, EXTENDED_SESSIONSECURITY. */
const asked = 0x00088205
const maxChallengeBytes = 16_384
const headerBytes = 64

/** NEGOTIATE_MESSAGE (2.2.1.1): says nothing of who is asking. */
export function ntlmNegotiate(): Buffer {
  const message = Buffer.alloc(32)
  signature.copy(message)
  message.writeUInt32LE(1, 8)
  message.writeUInt32LE(asked, 12)
  return message
}

/** CHALLENGE_MESSAGE (2.2.1.2). @returns undefined when it is none, or wants what is not spoken here */
export function parseNtlmChallenge(message: Buffer): NtlmChallenge | undefined {
  if (message.length < 32 || message.length > maxChallengeBytes) return undefined
  if (!message.subarray(0, 8).equals(signature) || message.readUInt32LE(8) !== 2) return undefined
  const flags = message.readUInt32LE(20)
  if ((flags & unicode) === 0) return undefined
  const targetInfo = fieldAt(message, 40)
  if (targetInfo === undefined) return undefined
  const timestamp = timestampIn(targetInfo)
  if (timestamp === 'malformed') return undefined
  return { flags, serverChallenge: Buffer.from(message.subarray(24, 32)), targetInfo, timestamp }
}

function fieldAt(message: Buffer, at: number): Buffer | undefined {
  if (message.length < at + 8) return Buffer.alloc(0)
  const length = message.readUInt16LE(at)
  const offset = message.readUInt32LE(at + 4)
  if (length > 0 && offset + length > message.length) return undefined
  return length === 0 ? Buffer.alloc(0) : Buffer.from(message.subarray(offset, offset + length))
}

/** MsvAvTimestamp among AV pairs (2.2.2.1). */
function timestampIn(pairs: Buffer): Buffer | undefined | 'malformed' {
  if (pairs.length === 0) return undefined
  let found: Buffer | undefined
  for (let at = 0; at + 4 <= pairs.length; ) {
    const id = pairs.readUInt16LE(at)
    const length = pairs.readUInt16LE(at + 2)
    if (id === 0) return found
    const value = pairs.subarray(at + 4, at + 4 + length)
    if (value.length !== length || (id === 7 && length !== 8)) return 'malformed'
    if (id === 7) found = Buffer.from(value)
    at += 4 + length
  }
  return 'malformed'
}

/** NTOWFv2 (3.3.2): what password, user and domain make together. */
export function ntlmKey({ user, domain, password }: NtlmAccount): Buffer {
  return hmacMd5(md4(utf16(password)), utf16(`${user.toUpperCase()}${domain}`))
}

/**
 * The responses to a challenge (3.3.2).
 *
 * @param clientChallenge 8 random bytes
 * @param now ms since 1970, where the server does not say what it takes the time for
 */
export function ntlmResponses(
  key: Buffer,
  { serverChallenge, targetInfo, timestamp }: NtlmChallenge,
  clientChallenge: Buffer,
  now: number,
): { readonly lm: Buffer; readonly nt: Buffer } {
  const end = Buffer.alloc(4)
  const time = timestamp ?? fileTime(now)
  const temp = Buffer.concat([Buffer.from('0101000000000000', 'hex'), time, clientChallenge, end, targetInfo, end])
  const proof = hmacMd5(key, serverChallenge, temp)
  // 3.1.5.1.2: to whom tells the time no LM response is sent.
  const lm =
    timestamp === undefined
      ? Buffer.concat([hmacMd5(key, serverChallenge, clientChallenge), clientChallenge])
      : Buffer.alloc(24)
  return { lm, nt: Buffer.concat([proof, temp]) }
}

/** AUTHENTICATE_MESSAGE (2.2.1.3), without version and MIC. */
export function ntlmAuthenticate(
  { user, domain }: NtlmAccount,
  { flags }: NtlmChallenge,
  { lm, nt }: { readonly lm: Buffer; readonly nt: Buffer },
): Buffer {
  const header = Buffer.alloc(headerBytes)
  signature.copy(header)
  header.writeUInt32LE(3, 8)
  const payload: Buffer[] = []
  let offset = headerBytes
  const field = (at: number, value: Buffer): void => {
    header.writeUInt16LE(value.length, at)
    header.writeUInt16LE(value.length, at + 2)
    header.writeUInt32LE(offset, at + 4)
    payload.push(value)
    offset += value.length
  }
  field(28, utf16(domain))
  field(36, utf16(user))
  field(44, Buffer.alloc(0))
  field(12, lm)
  field(20, nt)
  field(52, Buffer.alloc(0))
  header.writeUInt32LE((flags & (asked | targetInfoFlag)) >>> 0, 60)
  return Buffer.concat([header, ...payload])
}

function hmacMd5(key: Buffer, ...data: readonly Buffer[]): Buffer {
  const hmac = createHmac('md5', key)
  for (const piece of data) hmac.update(piece)
  return hmac.digest()
}

function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le')
}

/** 100 ns since 1601 (MS-DTYP section 2.3.3). */
function fileTime(now: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE((BigInt(Math.trunc(now)) + 11_644_473_600_000n) * 10_000n)
  return bytes
}
