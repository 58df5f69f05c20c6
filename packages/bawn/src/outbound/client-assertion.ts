import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto'
import { OutboundError } from './error.ts'

/** Signs who the gateway is (private_key_jwt: RFC 7523 section 2.2, OpenID Connect Core section 9). */
export interface ClientAssertion {
  /** A new one: authorization servers take each only once. @param now ms since 1970 */
  make(now: number): string
}

const lifetimeSeconds = 60

type Signer = { readonly alg: string; readonly sign: (data: Buffer) => Buffer }

/** @throws {OutboundError} `outbound.bad_credentials` */
export function createClientAssertion(options: {
  readonly clientId: string
  readonly audience: string
  readonly privateKey: string
  readonly keyId: string | undefined
}): ClientAssertion {
  const { clientId, audience, keyId } = options
  const { alg, sign: signed } = signerOf(parseKey(options.privateKey))
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const header = part({ alg, typ: 'JWT', kid: keyId })
  return {
    make(now) {
      const iat = Math.floor(now / 1000)
      const claims = { iss: clientId, sub: clientId, aud: audience, jti: randomUUID(), iat, exp: iat + lifetimeSeconds }
      const text = `${header}.${part(claims)}`
      return `${text}.${signed(Buffer.from(text)).toString('base64url')}`
    },
  }
}

function parseKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new OutboundError('outbound.bad_credentials', 'private_key is no private key in PEM', { cause })
  }
}

/** One algorithm for each kind of key (RFC 7518 section 3.1, RFC 8037). */
function signerOf(key: KeyObject): Signer {
  const curve = key.asymmetricKeyDetails?.namedCurve
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (key.asymmetricKeyType === 'rsa' && bits >= 2048) return { alg: 'RS256', sign: data => sign('sha256', data, key) }
  if (key.asymmetricKeyType === 'ed25519') return { alg: 'EdDSA', sign: data => sign(null, data, key) }
  if (key.asymmetricKeyType === 'ec' && curve === 'prime256v1') {
    return { alg: 'ES256', sign: data => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }) }
  }
  if (key.asymmetricKeyType === 'ec' && curve === 'secp384r1') {
    return { alg: 'ES384', sign: data => sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' }) }
  }
  throw new OutboundError(
    'outbound.bad_credentials',
    'private_key has to be RSA of 2048 bits or more, EC on P-256 or P-384, or Ed25519',
  )
}
