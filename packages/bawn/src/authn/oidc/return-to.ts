declare const brand: unique symbol
/** Where a browser goes after a login: path, query and fragment at this gateway. Only `parseReturnTo` makes one. */
export type ReturnTo = string & { readonly [brand]: 'ReturnTo' }

/** Characters; browsers keep it in a cookie meanwhile. */
export const maxReturnTo = 768

/** One slash and no second, of either kind: browsers read `//host` and `/\host` as another host. Visible ASCII: they drop tabs and line ends. */
const form = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/

/**
 * @param text as a link states it, decoded once
 * @param base what browsers call this gateway
 * @returns `undefined` for whatever could lead a browser to another origin
 */
export function parseReturnTo(text: string, base: URL): ReturnTo | undefined {
  if (text.length > maxReturnTo || !(text === '/' || form.test(text))) return undefined
  return URL.parse(text, base.href)?.origin === base.origin ? (text as ReturnTo) : undefined
}

/** The gateway's own first page. */
export const home = '/' as ReturnTo

/** Absolute: what a browser would make of the bare path is not left to it (`/.//host` becomes `//host`). */
export function locationOf(returnTo: ReturnTo, base: URL): string {
  return new URL(returnTo, base).href
}
