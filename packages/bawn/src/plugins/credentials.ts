import type { HttpCredentials } from '../authn/http-mechanism.ts'
import { isFromOwnPage } from '../authn/own-page.ts'

/**
 * What a plug-in sees of a request. Browsers send cookies unasked, also when a page of another site makes them: for a request that changes
 * something and comes from such a page there are none, so that no plug-in has to know of that.
 */
export function credentialsForPlugin(credentials: HttpCredentials): HttpCredentials {
  return isFromOwnPage(credentials, ['same-origin', 'same-site']) ? credentials : withoutCookies(credentials)
}

function withoutCookies(credentials: HttpCredentials): HttpCredentials {
  const { method, target, authorization, address, tls, now } = credentials
  return {
    ...{ method, target, authorization, address, tls, now },
    header: name => (name === 'cookie' ? [] : credentials.header(name)),
    query: name => credentials.query(name),
    cookie: () => undefined,
    get certificate() {
      return credentials.certificate
    },
  }
}
