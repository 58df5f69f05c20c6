import type { BrowserLogin } from '../../authn/oidc/browser-login.ts'
import { flowMs } from '../../authn/oidc/flow.ts'
import type { RequestCredentials } from '../credentials.ts'

// Cookies of logins under way. They are for this host alone (`__Host-`), and Lax: the provider, another site, sends the browser back.

/** Logins under way in one browser; one more makes the first be forgotten. */
export const maxFlows = 5

export function flowCookie(name: string, value: string): string {
  return cookieLine(name, value, '/', flowMs / 1000, 'Lax')
}

/** Takes a cookie away. */
export function goneCookie(name: string, path = '/'): string {
  return cookieLine(name, '', path, 0, 'Lax')
}

/** It goes to the page that logs out and nowhere else. */
export function hintCookie(name: string, value: string, path: string, seconds: number): string {
  return cookieLine(name, value, path, seconds, 'Strict')
}

function cookieLine(name: string, value: string, path: string, seconds: number, site: 'Lax' | 'Strict'): string {
  return `${name}=${value}; Path=${path}; Max-Age=${seconds}; Secure; HttpOnly; SameSite=${site}`
}

/**
 * Those that have to go so that there is room for one more. Browsers send the oldest first (RFC 6265 section 5.4).
 *
 * @returns header lines, flat
 */
export function makeRoom(credentials: RequestCredentials, { flowPrefix }: BrowserLogin): string[] {
  const held = credentials.cookieNames().filter(name => name.startsWith(flowPrefix) && plainName.test(name))
  const names = new Set(held.slice(0, Math.max(0, held.length - maxFlows + 1)))
  return [...names].flatMap(name => ['Set-Cookie', goneCookie(name)])
}

/** A name that may stand in a header: what a request calls a cookie is not ours to repeat. */
const plainName = /^[A-Za-z0-9_-]{1,128}$/
