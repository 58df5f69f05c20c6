import { isIP } from 'node:net'

const loopbackNames = ['localhost', '127.0.0.1', '::1']

/** The host of a Host header, without port and brackets, in lower case; `undefined` when it is not one. RFC 9112 section 3.2 */
export function parseHostHeader(text: string): string | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?$/.exec(text)
  const [, v6, name] = match ?? []
  if (v6 !== undefined) return isIP(v6) === 6 ? v6.toLowerCase() : undefined
  return name?.toLowerCase()
}

/**
 * Makes the test against DNS rebinding: a web page whose name is made to resolve to this machine sends that name in Host. Where we
 * listen on this machine only, no other name than this machine's is believed.
 *
 * @param boundHost the address that the door listens on
 */
export function createHostCheck(boundHost: string): (header: string | undefined) => boolean {
  const bound = boundHost.toLowerCase()
  const isLocal = loopbackNames.includes(bound) || (isIP(bound) === 4 && bound.startsWith('127.'))
  return header => {
    const host = header === undefined ? undefined : parseHostHeader(header)
    if (host === undefined) return false
    return !isLocal || host === bound || loopbackNames.includes(host)
  }
}
