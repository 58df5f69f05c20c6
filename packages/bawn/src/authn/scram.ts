import { createHmac, createSecretKey, hash, timingSafeEqual } from 'node:crypto'
import { decodeBase64 } from '../accounts/scram-verifier.ts'
import type { ScramVerifier } from '../accounts/store.ts'
import type { RejectionReason } from './identity.ts'

/**
 * The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677; channel binding tls-server-end-point, RFC 5929
 * section 4), as PostgreSQL speaks it: the user is the one of the startup message, `n=` is not looked at.
 *
 * Messages are read as Latin-1, one character a byte: the proof is over bytes, and only ASCII has a meaning here.
 */

/** A longer message is not read. Real ones have 32 to 250 bytes. */
const maxMessageBytes = 2_048
const maxNonceLength = 256

const nonceText = '[\\x21-\\x2b\\x2d-\\x7e]+'
const clientFirst = new RegExp(
  `^(?<gs2>(?<flag>n|y|p=(?<binding>[A-Za-z0-9.-]+)),(?<authzid>[^,]*),)(?<bare>(?<reserved>m=[^,]*,)?n=[^,]*,r=(?<nonce>${nonceText})(?:,[A-Za-z]=[^,]+)*)$`,
)
const clientFinal = new RegExp(
  `^(?<unproven>c=(?<binding>[A-Za-z0-9+/=]+),r=(?<nonce>${nonceText})(?:,[A-Za-oq-z]=[^,]+)*),p=(?<proof>[A-Za-z0-9+/=]+)$`,
)

export type ScramFirst =
  | { readonly kind: 'continue'; readonly message: Uint8Array }
  /** Breaks the protocol. `detail` says how, without a byte of the message. */
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason; readonly detail: string }

export type ScramFinal =
  /**
   * `serverFinal` proves to the client that we know the verifier: send it before anything else. `clientKey` is there where it was asked for:
   * whoever has it can log in as this user, so its owner fills it with zeros after the one use it has.
   */
  | { readonly kind: 'identified'; readonly serverFinal: Uint8Array; readonly clientKey: Buffer | undefined }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason; readonly detail: string }

/** One login. Each method may be called once, `first` before `final`; another order is `malformed`. */
export interface ScramExchange {
  /** What to offer, best first. */
  readonly mechanisms: readonly ScramMechanismName[]
  /** @param mechanism the name that the client chose @param message its initial response */
  first(mechanism: string, message: Uint8Array): ScramFirst
  final(message: Uint8Array): ScramFinal
}

export type ScramMechanismName = 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS'

/**
 * @param options.decoy the verifier belongs to nobody: everything is computed as for others and nobody gets in
 * @param options.channelBinding hash of our certificate (`serverEndPointHash`); `undefined` without TLS or where there is none: then
 *   PLUS is not offered
 * @param options.keepClientKey hand out the ClientKey that a right proof reveals (RFC 5802 section 3), to log in elsewhere by the same verifier
 * @param options.nonce at least 18 random bytes as base64, or other printable ASCII without a comma; used once
 */
export function createScramExchange(options: {
  readonly verifier: ScramVerifier
  readonly decoy: boolean
  readonly channelBinding: Uint8Array | undefined
  readonly nonce: string
  readonly keepClientKey?: boolean
}): ScramExchange {
  const { verifier, decoy, channelBinding } = options
  // KeyObjects: HMAC with raw key bytes is several times slower on Node 24.
  const storedKey = createSecretKey(verifier.storedKey)
  const serverKey = createSecretKey(verifier.serverKey)
  let opened:
    | { readonly bare: string; readonly serverFirst: string; readonly nonce: string; readonly binding: string }
    | undefined
  let step: 'first' | 'final' | 'done' = 'first'

  const mechanisms: readonly ScramMechanismName[] =
    channelBinding === undefined ? ['SCRAM-SHA-256'] : ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']

  return {
    mechanisms,

    first(mechanism, message) {
      if (step !== 'first') return malformed('a second client-first message')
      step = 'done'
      if (!mechanisms.some(offered => offered === mechanism)) return malformed('a mechanism that was not offered')
      const groups = read(clientFirst, message)
      if (groups === undefined) return malformed('client-first message')
      const { gs2 = '', flag = '', binding, authzid, bare = '', reserved, nonce: clientNonce = '' } = groups
      if (authzid !== '') return malformed('an authorization identity')
      // RFC 5802 section 5.1: m= means an extension that must be understood, and we know none.
      if (reserved !== undefined) return malformed('a mandatory extension')
      if (clientNonce.length > maxNonceLength) return malformed('a nonce that is too long')
      if ((mechanism === 'SCRAM-SHA-256-PLUS') !== (binding !== undefined)) {
        return malformed('channel binding does not fit the mechanism')
      }
      if (binding !== undefined && binding !== 'tls-server-end-point')
        return malformed('an unknown channel binding type')
      if (flag === 'y' && channelBinding !== undefined) {
        // RFC 5802 section 6: the client could bind and believes that we cannot. Somebody between us took PLUS from the list.
        return {
          kind: 'rejected',
          reason: 'untrusted',
          detail: 'the offer of channel binding did not reach the client',
        }
      }
      const bound = binding === undefined ? new Uint8Array() : (channelBinding ?? new Uint8Array())
      const nonce = clientNonce + options.nonce
      const serverFirst = `r=${nonce},s=${base64(verifier.salt)},i=${verifier.iterations}`
      opened = { bare, serverFirst, nonce, binding: base64(Buffer.concat([Buffer.from(gs2, 'latin1'), bound])) }
      step = 'final'
      return { kind: 'continue', message: Buffer.from(serverFirst, 'latin1') }
    },

    final(message) {
      if (step !== 'final' || opened === undefined) return malformed('a client-final message out of turn')
      step = 'done'
      const groups = read(clientFinal, message)
      if (groups === undefined) return malformed('client-final message')
      const { unproven = '', binding = '', nonce, proof: proofText = '' } = groups
      if (nonce !== opened.nonce) return malformed('another nonce')
      const proof = decodeBase64(proofText)
      if (proof?.length !== 32 || decodeBase64(binding) === undefined) return malformed('base64')
      if (binding !== opened.binding) {
        return { kind: 'rejected', reason: 'untrusted', detail: 'bound to another channel or another header' }
      }
      const authMessage = Buffer.from(`${opened.bare},${opened.serverFirst},${unproven}`, 'latin1')
      const clientKey = createHmac('sha256', storedKey).update(authMessage).digest()
      for (let index = 0; index < clientKey.length; index++)
        clientKey[index] = (clientKey[index] ?? 0) ^ (proof[index] ?? 0)
      // Made whether it is given or not: a right proof of somebody who is locked must cost what others cost.
      const signature = createHmac('sha256', serverKey).update(authMessage).digest()
      const serverFinal = Buffer.from(`v=${base64(signature)}`, 'latin1')
      const proven = timingSafeEqual(hash('sha256', clientKey, 'buffer'), verifier.storedKey)
      const kept = proven && !decoy && options.keepClientKey === true
      if (!kept) clientKey.fill(0)
      if (decoy) return { kind: 'rejected', reason: 'unknown-user', detail: 'no such account' }
      if (!proven) return { kind: 'rejected', reason: 'wrong-password', detail: 'the proof does not fit the verifier' }
      return { kind: 'identified', serverFinal, clientKey: kept ? clientKey : undefined }
    },
  }
}

/** The nonce that `createScramExchange` and the client side want. @param random 18 random bytes */
export function formatScramNonce(random: Uint8Array): string {
  return base64(random)
}

function malformed(detail: string): { readonly kind: 'malformed'; readonly detail: string } {
  return { kind: 'malformed', detail }
}

function read(pattern: RegExp, message: Uint8Array): Partial<Record<string, string>> | undefined {
  if (message.length > maxMessageBytes) return undefined
  const text = Buffer.from(message).toString('latin1')
  return text.includes('\0') ? undefined : pattern.exec(text)?.groups
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
