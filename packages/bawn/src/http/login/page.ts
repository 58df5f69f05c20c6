import { type ErrorCode, errors } from '../../error.ts'
import type { Problem } from '../problem.ts'

// Pages of the gateway itself: a heading, a paragraph, perhaps a link or a button. No script, no style, nothing of the request in them.

interface Page {
  readonly title: string
  readonly text: string
  readonly link?: { readonly to: string; readonly text: string }
  /** Sends an empty form. */
  readonly button?: { readonly to: string; readonly text: string }
  /** In small print. */
  readonly note?: string
}

// No form-action: browsers hold it against where the answer to a form leads, and logging out leads to the provider.
const policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"

/** @param extra more headers, flat */
export function page(
  status: number,
  { title, text, link, button, note }: Page,
  requestId: string,
  extra: readonly string[] = [],
): Problem {
  const lines = [
    '<!doctype html>',
    '<html lang="en">',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width">',
    '<meta name="color-scheme" content="light dark">',
    `<title>${escapeHtml(title)}</title>`,
    `<h1>${escapeHtml(title)}</h1>`,
    `<p>${escapeHtml(text)}</p>`,
    ...(link === undefined ? [] : [`<p><a href="${escapeHtml(link.to)}">${escapeHtml(link.text)}</a></p>`]),
    ...(button === undefined
      ? []
      : [`<form method="post" action="${escapeHtml(button.to)}"><button>${escapeHtml(button.text)}</button></form>`]),
    ...(note === undefined ? [] : [`<p><small>${escapeHtml(note)}</small></p>`]),
  ]
  const body = Buffer.from(`${lines.join('\n')}\n`)
  const headers = [
    ...['Content-Type', 'text/html; charset=utf-8', 'Content-Length', String(body.length)],
    ...['Content-Security-Policy', policy, 'X-Content-Type-Options', 'nosniff', 'Referrer-Policy', 'same-origin'],
    ...['Cache-Control', 'no-store', 'X-Request-Id', requestId],
    ...extra,
  ]
  return { status, headers, body }
}

const titles: Readonly<Partial<Record<ErrorCode, string>>> = {
  'authn.login_expired': 'This login is over',
  'authn.login_refused': 'Not logged in',
  'authn.login_failed': 'Not logged in',
  'authn.bad_return_to': 'This link leads nowhere',
  'authn.foreign_page': 'Not from here',
  'authn.throttled': 'Too many logins',
  'http.refused_here': 'Not from here',
}

/**
 * An error as a person reads it: its hint, its code and our id of the request.
 *
 * @param login where to log in again
 */
export function errorPage(code: ErrorCode, requestId: string, login: string, extra: readonly string[] = []): Problem {
  const { status, hint, blame } = errors[code]
  const later = 'This cannot be done at the moment. Try again; the operator finds the reason by the request id.'
  const content: Page = {
    title: titles[code] ?? 'Not possible at the moment',
    text: blame === 'caller' ? `${hint}.` : later,
    link: { to: login, text: 'Log in' },
    note: `${code}, request ${requestId}`,
  }
  return page(status, content, requestId, status === 503 ? ['Retry-After', '5', ...extra] : extra)
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => entities[character] ?? '')
}
