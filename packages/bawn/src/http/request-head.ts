import { type HeaderClass, headerClass } from './header-class.ts'
import type { HttpCode } from './problem.ts'

/** A request's head, checked for everything that two servers could read in two ways. */
export interface RequestHead {
  /** Origin form: begins with `/`. */
  readonly target: string
  /** The Host header as it came: a name, an IPv4 or `[IPv6]`, and perhaps a port. */
  readonly host: string
  readonly rawHeaders: readonly string[]
  /** One for each pair of `rawHeaders`. */
  readonly classes: readonly HeaderClass[]
  /** Lower-case names that Connection lists: as good as hop-by-hop (RFC 9110 section 7.6.1). */
  readonly connectionNames: readonly string[]
  /** The values of Authorization; more than one is for the authentication to refuse. */
  readonly authorization: readonly string[]
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  /** `undefined` with chunked coding, and when there is no body. */
  readonly contentLength: number | undefined
  readonly hasBody: boolean
}

export type HeadOutcome =
  | { readonly kind: 'head'; readonly head: RequestHead }
  | { readonly kind: 'refused'; readonly code: HttpCode }

const maxHeaders = 200
/** A name of DNS (RFC 1035 section 2.3.4) with a dot at its end, and a port: a longer one is nobody's, and costs more with each dot. */
const maxHostLength = 254 + ':65535'.length
const hostForm = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/
const refuse = (code: HttpCode): HeadOutcome => ({ kind: 'refused', code })

/**
 * Checks what a front's parser leaves to others. llhttp settles Content-Length against Transfer-Encoding, repeated lengths,
 * chunk sizes, line ends and folded lines (front.test.ts holds that); what it lets through and we do not: other versions
 * than 1.1 and 1.0 (`2` is what http2-head.ts has made of a request of HTTP/2), a second Host, an empty one, codings other than `chunked`, chunked in HTTP/1.0 (RFC 9112 section 6.1),
 * CONNECT, expectations other than 100-continue, and targets that are no path.
 */
export function parseRequestHead(
  method: string,
  target: string,
  httpVersion: string,
  rawHeaders: readonly string[],
): HeadOutcome {
  if (httpVersion !== '1.1' && httpVersion !== '1.0' && httpVersion !== '2') return refuse('http.bad_request')
  if (method === 'CONNECT') return refuse('http.bad_request')
  if (rawHeaders.length > 2 * maxHeaders) return refuse('http.header_too_large')

  let host: string | undefined
  let contentType: string | undefined
  let contentEncoding: string | undefined
  let length: string | undefined
  let coding: string | undefined
  const classes: HeaderClass[] = []
  const connectionNames: string[] = []
  const authorization: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const kind = headerClass(rawHeaders[at] ?? '')
    const value = rawHeaders[at + 1] ?? ''
    classes.push(kind)
    switch (kind.name) {
      case 'host':
        if (host !== undefined) return refuse('http.bad_request')
        host = value
        break
      case 'content-length':
        if (length !== undefined) return refuse('http.bad_request')
        length = value
        break
      case 'transfer-encoding':
        if (coding !== undefined) return refuse('http.bad_request')
        coding = value
        break
      case 'content-type':
        if (contentType !== undefined) return refuse('http.bad_request')
        contentType = value
        break
      case 'content-encoding':
        contentEncoding = contentEncoding === undefined ? value : `${contentEncoding}, ${value}`
        break
      case 'connection':
        for (const option of value.split(',')) connectionNames.push(option.trim().toLowerCase())
        break
      case 'authorization':
        authorization.push(value)
        break
      case 'expect':
        if (value.toLowerCase() !== '100-continue') return refuse('http.expectation_failed')
        break
    }
  }
  if (host === undefined || host.length > maxHostLength || !hostForm.test(host)) return refuse('http.bad_request')
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0' || length !== undefined)) {
    return refuse('http.bad_request')
  }
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) return refuse('http.bad_request')
  const contentLength = length === undefined ? undefined : Number(length)
  const origin = originForm(target, host)
  if (origin === undefined) return refuse('http.bad_request')
  return {
    kind: 'head',
    head: {
      target: origin,
      host,
      rawHeaders,
      classes,
      connectionNames,
      authorization,
      contentType,
      contentEncoding,
      contentLength: contentLength === 0 ? undefined : contentLength,
      hasBody: coding !== undefined || (contentLength !== undefined && contentLength > 0),
    },
  }
}

/** The header's value; `undefined` when there is none, or more than one. @param name in lower case */
export function headerOf({ classes, rawHeaders }: RequestHead, name: string): string | undefined {
  let value: string | undefined
  for (let at = 0; at < classes.length; at++) {
    if (classes[at]?.name !== name) continue
    if (value !== undefined) return undefined
    value = rawHeaders[2 * at + 1]
  }
  return value
}

/**
 * Absolute form must be understood (RFC 9112 section 3.2.2), and there the target's authority wins over Host. A server behind us
 * may see it the other way round, so it is only taken where the two say the same.
 */
function originForm(target: string, host: string): string | undefined {
  if (target.startsWith('/')) return target
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target)
  if (absolute === null || absolute[1]?.toLowerCase() !== host.toLowerCase()) return undefined
  const rest = absolute[2] ?? ''
  return rest.startsWith('/') ? rest : `/${rest}`
}
