import { createHash } from 'node:crypto'
import aws4 from 'aws4'
import { OutboundError } from './error.ts'
import type { AwsSigv4Options } from './option.ts'
import type { RequestSignature } from './signature.ts'

/** Headers of a request that only who signs it may write. */
export const awsHeaders: readonly string[] = [
  'authorization',
  'x-amz-date',
  'x-amz-content-sha256',
  'x-amz-security-token',
]
/** Services that want the hash of the body in a header too. */
const namesHash: ReadonlySet<string> = new Set(['s3', 'aoss', 'glacier'])
/** Of all headers; proxies on the way may change the others. */
const isSigned = (name: string): boolean => name === 'content-type' || name.startsWith('x-amz-')
/** aws4 reads no more of them, and what it does not read would not be signed. */
const maxParameters = 1_000

/**
 * AWS Signature Version 4, in the Authorization header.
 *
 * @param clock ms since 1970
 * @param secret what a reference stands for
 * @throws {OutboundError} `outbound.bad_credentials`
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export function createAwsSignature(
  options: AwsSigv4Options,
  clock: () => number,
  secret: (reference: string) => string,
): RequestSignature {
  const { service, region } = options
  const read = (key: string, reference: string): string => visible(key, secret(reference))
  const credentials = {
    accessKeyId: read('access_key_id', options.access_key_id),
    secretAccessKey: read('secret_access_key', options.secret_access_key),
  }
  const sessionToken = options.session_token && read('session_token', options.session_token)
  const isS3 = service === 's3'
  return {
    headers: awsHeaders,
    maxBodyBytes: options.max_body_bytes,
    // S3 takes no chunks: a body of unknown length is collected, to have one.
    streams: (secure, length) => isS3 && secure && length !== undefined,
    sign({ method, host, target: asked, head, body }) {
      const target = exactTarget(asked, isS3)
      const date = new Date(clock()).toISOString().replace(/[:-]|\.[0-9]{3}/g, '')
      const added: Record<string, string> = { 'X-Amz-Date': date }
      if (sessionToken !== undefined) added['X-Amz-Security-Token'] = sessionToken
      if (body === 'streams') added['X-Amz-Content-Sha256'] = 'UNSIGNED-PAYLOAD'
      else if (namesHash.has(service)) added['X-Amz-Content-Sha256'] = createHash('sha256').update(body).digest('hex')
      const headers = { ...signedHeaders(head), ...added, Host: host }
      const signer = new aws4.RequestSigner(
        {
          method,
          path: target,
          service,
          region,
          headers,
          ...(body === 'streams' ? {} : { body }),
          // It would add a Content-Type that is not sent.
          doNotModifyHeaders: true,
        },
        credentials,
      )
      signer.datetime = date
      added['Authorization'] = signer.authHeader()
      const lines = Object.entries(added).map(([name, value]) => `${name}: ${value}\r\n`)
      return { target, head: `${head}${lines.join('')}` }
    },
  }
}

function visible(key: string, value: string): string {
  if (/^[\x21-\x7e]+$/.test(value)) return value
  throw new OutboundError('outbound.bad_credentials', `${key} has characters that no credential of AWS has`)
}

/** Several of one name are one, with commas (RFC 9110 section 5.3), as the other side reads them. */
function signedHeaders(head: string): Record<string, string> {
  const found = new Map<string, string>()
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    if (colon <= 0 || !isSigned(name)) continue
    // The bytes that are sent are what is hashed, and aws4 hashes text as UTF-8.
    const value = Buffer.from(line.slice(colon + 1).trim(), 'latin1').toString('utf8')
    const before = found.get(name)
    found.set(name, before === undefined ? value : `${before},${value}`)
  }
  return Object.fromEntries(found)
}

/**
 * The target in the one spelling that everybody reads alike: each side signs what it decodes, and whether `+` is a space is not agreed on.
 * In queries it is one. The path is left as it is: services sign its bytes; S3, the name that it decodes to.
 *
 * @throws {OutboundError} `outbound.unsignable`
 */
function exactTarget(target: string, isS3: boolean): string {
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const exactPath = isS3 ? path.split('/').map(exact).join('/') : path
  if (isS3) checkUtf8(exactPath)
  if (mark === -1) return exactPath
  const pairs = target
    .slice(mark + 1)
    .split('&')
    .filter(pair => pair !== '' && !pair.startsWith('='))
    .map(pair => {
      const equals = pair.indexOf('=')
      const part = (text: string): string => exact(text.replaceAll('+', '%20'))
      return equals === -1 ? part(pair) : `${part(pair.slice(0, equals))}=${part(pair.slice(equals + 1))}`
    })
  if (pairs.length > maxParameters) {
    throw new OutboundError('outbound.unsignable', `a query of more than ${maxParameters} parameters`)
  }
  if (pairs.some(pair => pair.split('=', 1)[0] === '__proto__')) {
    throw new OutboundError('outbound.unsignable', 'a parameter whose name no object of JavaScript may have')
  }
  // S3 is said to sign the first of them alone, and AWS's libraries sign all: what one of the two does not cover is not sent.
  const names = pairs.map(pair => pair.split('=', 1)[0])
  if (isS3 && new Set(names).size < names.length) {
    throw new OutboundError(
      'outbound.unsignable',
      'a parameter that stands more than once, which S3 and its likes read in two ways',
    )
  }
  const query = pairs.join('&')
  checkUtf8(query)
  return query === '' ? exactPath : `${exactPath}?${query}`
}

/** Percent-encoded but for what is unreserved (RFC 3986 section 2.3), in capitals. */
function exact(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})|[^A-Za-z0-9._~-]/g, (found, hex: string | undefined) => {
    const code = hex === undefined ? found.charCodeAt(0) : Number.parseInt(hex, 16)
    const character = String.fromCharCode(code)
    if (/^[A-Za-z0-9._~-]$/.test(character)) return character
    return `%${code.toString(16).toUpperCase().padStart(2, '0')}`
  })
}

function checkUtf8(text: string): void {
  try {
    decodeURIComponent(text)
  } catch (cause) {
    throw new OutboundError('outbound.unsignable', 'percent-encoded bytes that are no UTF-8', { cause })
  }
}
