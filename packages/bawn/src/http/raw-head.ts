import { discardedBytes } from './front-answer.ts'
import { headerClass } from './header-class.ts'
import type { ParsedHead } from './llhttp.ts'

// What the head of a request says of its body.

function headerValue({ rawHeaders }: ParsedHead, name: string): string | undefined {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (headerClass(rawHeaders[at] ?? '').name === name) return rawHeaders[at + 1]
  }
  return undefined
}

/** RFC 9110 section 10.1.1. */
export function expectsContinue(head: ParsedHead): boolean {
  return headerValue(head, 'expect')?.toLowerCase() === '100-continue'
}

/** A body that nobody reads, small enough to be read and dropped in the ordinary way. */
export function mayDiscard(head: ParsedHead): boolean {
  const length = headerValue(head, 'content-length')
  if (headerValue(head, 'transfer-encoding') !== undefined || headerValue(head, 'expect') !== undefined) return false
  return length === undefined || Number(length) <= discardedBytes
}
