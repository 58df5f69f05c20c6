// Of OAuth what callers and the gateway itself say in the same words.

/** What a bearer token may look like (RFC 6750 section 2.1). */
export const bearerToken = /^[A-Za-z0-9._~+/-]+=*$/

/** `Authorization: Basic` of an OAuth client: both parts are form-encoded first (RFC 6749 section 2.3.1). */
export function clientBasic(clientId: string, clientSecret: string): string {
  return basicValue(formEncoded(clientId), formEncoded(clientSecret))
}

/** RFC 7617: name and password as UTF-8. */
export function basicValue(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}
