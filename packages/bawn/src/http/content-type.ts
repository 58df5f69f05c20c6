import { headerClass } from './header-class.ts'

/** What a Content-Type says about opening a body. */
export type BodyKind = 'json' | 'other' | 'unreadable'

/**
 * `json` for application/json and `application/…+json` in UTF-8 (RFC 8259 section 8.1). `unreadable` for JSON in another charset.
 * A JSON Patch (RFC 6902) carries values away from where they belong, so it is `other`: its fields cannot be found.
 */
export function bodyKind(contentType: string | undefined): BodyKind {
  const [essence = '', ...parameters] = (contentType ?? '').split(';')
  const type = essence.trim().toLowerCase()
  if (!/^application\/(?:[a-z0-9.!#$&^_-]+\+)?json$/.test(type) || type === 'application/json-patch+json')
    return 'other'
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=')
    if (name.trim().toLowerCase() !== 'charset') continue
    if (!/^"?utf-?8"?$/i.test(value.trim())) return 'unreadable'
  }
  return 'json'
}

/** How the body of an answer can be read: of several types, or none, nobody knows which. @param headers flat: name, value */
export function answerKind(headers: readonly string[]): BodyKind | 'compressed' {
  const types: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const { name } = headerClass(headers[at] ?? '')
    const value = headers[at + 1] ?? ''
    if (name === 'content-type') types.push(value)
    if (name === 'content-encoding' && value.toLowerCase() !== 'identity') return 'compressed'
  }
  return types.length === 1 ? bodyKind(types[0]) : 'other'
}
