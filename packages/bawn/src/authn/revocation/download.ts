import { readAnswerBody } from '../../answer-body.ts'

/** What is asked for, and how much of it is taken. */
export interface DownloadRequest {
  readonly url: string
  /** POSTed when it is there, with its type; otherwise the request is a GET. */
  readonly body?: { readonly bytes: Uint8Array<ArrayBuffer>; readonly type: string }
  readonly accept: string
  readonly maxBytes: number
  readonly timeoutMs: number
  /** May be asked where a redirect leads to, besides the host that was asked first. */
  isPermitted(url: URL): boolean
}

const maxRedirects = 3

/**
 * Fetches over HTTP or HTTPS, within limits of bytes, time and redirects.
 *
 * @throws {Error} whatever keeps the answer from being there, in words for the log
 */
export async function download(
  request: DownloadRequest,
  fetchUrl: typeof fetch,
  closing: AbortSignal,
): Promise<Uint8Array> {
  // One limit for everything: each redirect would begin another.
  const signal = AbortSignal.any([closing, AbortSignal.timeout(request.timeoutMs)])
  const first = parseHttpUrl(request.url)
  if (first === undefined) throw new Error('its address is no http or https URL without credentials')
  let url = first
  for (let redirects = 0; ; redirects++) {
    const response = await fetchUrl(url, {
      method: request.body === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: {
        accept: request.accept,
        ...(request.body === undefined ? {} : { 'content-type': request.body.type }),
      },
      signal,
      ...(request.body === undefined ? {} : { body: request.body.bytes }),
    })
    const location = locationOf(response, request)
    if (location === undefined) return readAnswerBody(response, request.maxBytes)
    await response.body?.cancel()
    const next = parseHttpUrl(location, url)
    if (next === undefined) throw new Error('it redirects to what is no http or https URL')
    if (next.host !== first.host && !request.isPermitted(next)) throw new Error(`it redirects to ${next.host}`)
    if (redirects >= maxRedirects) throw new Error(`it redirects more than ${maxRedirects} times`)
    url = next
  }
}

/** A POST is repeated only where the answer says that it stays one (RFC 9110 section 15.4). */
function locationOf(response: Response, { body }: DownloadRequest): string | undefined {
  const followed = body === undefined ? [301, 302, 303, 307, 308] : [307, 308]
  return followed.includes(response.status) ? (response.headers.get('location') ?? undefined) : undefined
}

/** `undefined` for another scheme, and for a URL with a user or a password in it. */
export function parseHttpUrl(text: string, base?: URL): URL | undefined {
  const url = URL.parse(text, base?.href)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return undefined
  return url
}
