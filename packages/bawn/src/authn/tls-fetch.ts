import { hash, timingSafeEqual, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { checkServerIdentity, type DetailedPeerCertificate, type PeerCertificate } from 'node:tls'
import { readBounded } from '../answer-body.ts'

/** Who may answer at a URL of an issuer, where not every public authority is to be believed. */
export interface TlsTrust {
  /** PEM file of the only authorities; `undefined`: the public ones. Read anew each time. */
  readonly ca: string | undefined
  /** base64url of SHA-256 of a SubjectPublicKeyInfo (as in RFC 7469 section 2.4): one of them must be in the chain. */
  readonly pins: readonly string[] | undefined
}

/**
 * Gets a document over TLS under narrower trust than `fetch` knows. Follows no redirect. Chain, name and pins are checked before a byte
 * of the request is sent.
 *
 * @param maxBytes of the body
 * @throws {Error} whatever is wrong: the connection, a certificate, the status, the length
 */
export async function fetchTrusted(
  url: URL,
  trust: TlsTrust,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  maxBytes: number,
): Promise<Uint8Array> {
  const response = await requestTrusted(url, trust, { method: 'GET', headers, body: undefined }, signal)
  if (response.statusCode !== 200) {
    response.destroy()
    throw new Error(`status ${response.statusCode}`)
  }
  return readBounded(response, maxBytes)
}

/** As `fetchTrusted`, of any method; status and length are the caller's to check. @returns its body is not read yet */
export async function requestTrusted(
  url: URL,
  trust: TlsTrust,
  message: {
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string | undefined
  },
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const ca = trust.ca === undefined ? undefined : await readFile(trust.ca)
  return new Promise((resolve, reject) => {
    request(url, {
      method: message.method,
      // A connection of its own: none is taken from a pool that trusts otherwise.
      agent: false,
      headers: message.headers,
      signal,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(ca === undefined ? {} : { ca }),
      checkServerIdentity: (host, certificate) =>
        checkServerIdentity(host, certificate) ?? checkPins(certificate, trust.pins),
    })
      .on('response', resolve)
      .on('error', reject)
      .end(message.body)
  })
}

/** TLS calls it with the whole chain, each certificate with the one that signed it; the last one with itself. */
function checkPins(leaf: PeerCertificate, pins: readonly string[] | undefined): Error | undefined {
  if (pins === undefined) return undefined
  const wanted = pins.map(pin => Buffer.from(pin, 'base64url'))
  let certificate: PeerCertificate | DetailedPeerCertificate | undefined = leaf
  for (let depth = 0; certificate?.raw !== undefined && depth < 10; depth++) {
    const key = new X509Certificate(certificate.raw).publicKey.export({ type: 'spki', format: 'der' })
    const found = hash('sha256', key, 'buffer')
    if (wanted.some(pin => pin.length === found.length && timingSafeEqual(pin, found))) return undefined
    certificate = 'issuerCertificate' in certificate ? certificate.issuerCertificate : undefined
  }
  return new Error('no pinned key is in the chain of certificates')
}
