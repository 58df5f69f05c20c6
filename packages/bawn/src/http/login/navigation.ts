import type { HttpCredentials } from '../../authn/http-mechanism.ts'

/**
 * Whether a person in a browser waits for a page: then it may be sent elsewhere to log in. A script, a frame, an image or a program gets
 * an answer that it can read instead.
 *
 * Browsers of today say it by Fetch Metadata; all of them ask for text/html by that name, and programs hardly do.
 */
export function isNavigation(credentials: HttpCredentials): boolean {
  if (credentials.method !== 'GET' && credentials.method !== 'HEAD') return false
  if (!acceptsHtml(credentials)) return false
  if (!says(credentials, 'sec-fetch-mode', 'navigate') || !says(credentials, 'sec-fetch-dest', 'document')) return false
  // What nobody has asked for yet begins no login.
  if (credentials.header('sec-purpose').some(value => value.includes('prefetch'))) return false
  return credentials.header('x-requested-with').length === 0
}

/** Whether an error is told as a page. */
export function acceptsHtml(credentials: HttpCredentials): boolean {
  return credentials.header('accept').some(value =>
    value.split(',').some(range => {
      const [type = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
      return type === 'text/html' && !parameters.some(parameter => /^q=0(?:\.0{0,3})?$/.test(parameter))
    }),
  )
}

/** Not said is no contradiction. */
function says(credentials: HttpCredentials, name: string, value: string): boolean {
  const values = credentials.header(name)
  return values.length === 0 || (values.length === 1 && values[0] === value)
}
