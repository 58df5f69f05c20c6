/** Bytes that one program may read in another way than the next. */
export interface Payload {
  readonly name: string
  /** Latin-1. */
  readonly text: string
  /** The code with which it is refused, or what the server behind sees: `METHOD target body`, in order. */
  readonly outcome: string | readonly string[]
  /** Codes of all answers, where they are not those of `outcome` and of the canary behind it. */
  readonly answers?: readonly string[]
  /** The same for node:http, where it differs: what is malformed behind a request may end that as well, seen by the server or not. */
  readonly nodeHttp?: { readonly answers: readonly string[]; readonly seen?: readonly string[] | 'perhaps' }
  /** There is more to come that never comes. */
  readonly open?: true
  /** The gateway answers, and closes: what stands behind is not looked at. */
  readonly closes?: true
  /** Why it may pass here although one of nginx, haproxy and node:http refuses it. */
  readonly because?: string
}

/** What a smuggler wants to be taken for a request: nobody may. */
export const hidden = 'GET /admin/hidden HTTP/1.1\r\nHost: a\r\n\r\n'

export const bad = 'http.bad_request'
/** Not a smuggler's: the connection stays, and what stands behind is a request like any other. */
export const badPath = 'http.bad_path'
export const denied = 'policy.denied'
export const notFound = 'http.not_found'
export const badMethod = 'http.method_not_allowed'
export const get = 'GET / HTTP/1.1\r\nHost: a\r\n'
export const post = 'POST / HTTP/1.1\r\nHost: a\r\n'
