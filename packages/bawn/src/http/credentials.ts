import type { X509Certificate } from 'node:crypto'
import type { HttpCredentials, HttpMechanism } from '../authn/http-mechanism.ts'
import type { FrontRequest } from './engine.ts'
import { everyParameter } from './query.ts'
import type { RequestHead } from './request-head.ts'

/** What of a request mechanisms may look at. Nothing is parsed before somebody asks for it. */
export class RequestCredentials implements HttpCredentials {
  readonly now: number
  readonly #request: FrontRequest
  readonly #head: RequestHead
  /** With its `?`, or empty. */
  readonly #query: string

  constructor(request: FrontRequest, head: RequestHead, query: string, now: number) {
    this.#request = request
    this.#head = head
    this.#query = query
    this.now = now
  }

  get method(): string {
    return this.#request.method
  }

  get target(): string {
    return this.#request.target
  }

  get authorization(): readonly string[] {
    return this.#head.authorization
  }

  get address(): string {
    return this.#request.remoteAddress
  }

  get tls(): boolean {
    return this.#request.secure
  }

  get certificate(): X509Certificate | undefined {
    return this.#request.clientCertificate?.()
  }

  header(name: string): readonly string[] {
    const { classes, rawHeaders } = this.#head
    const values: string[] = []
    for (let at = 0; at < classes.length; at++) {
      if (classes[at]?.name === name) values.push(rawHeaders[2 * at + 1] ?? '')
    }
    return values
  }

  query(name: string): string | undefined {
    const values = this.queryAll(name)
    return values.length === 1 ? values[0] : undefined
  }

  queryAll(name: string): readonly string[] {
    if (this.#query === '') return []
    return everyParameter(this.#query).flatMap(parameter => (parameter.name === name ? [parameter.value] : []))
  }

  cookie(name: string): string | undefined {
    const values = this.#cookies().flatMap(pair => (pair.name === name ? [pair.value] : []))
    // Two of one name: a neighbouring host may have set the second (RFC 6265 section 8.6), and which is ours nobody can tell.
    return values.length === 1 ? values[0] : undefined
  }

  /** Names of all cookies, as they came. */
  cookieNames(): readonly string[] {
    return this.#cookies().map(({ name }) => name)
  }

  #cookies(): readonly { readonly name: string; readonly value: string }[] {
    return this.header('cookie').flatMap(line =>
      line.split(';').flatMap(pair => {
        const equals = pair.indexOf('=')
        return equals > 0 ? [{ name: pair.slice(0, equals).trim(), value: pair.slice(equals + 1).trim() }] : []
      }),
    )
  }
}

/** Everything that any mechanism of the configuration takes its credential from. Names of headers are in lower case. */
export interface Carriers {
  readonly headers: ReadonlySet<string>
  readonly query: ReadonlySet<string>
  readonly cookies: ReadonlySet<string>
  /** What names of further cookies begin with. */
  readonly cookiePrefixes: readonly string[]
}

/** Asks for no challenge, by a header or a parameter, whatever their value: so a browser shows no popup. */
export const noChallengeHeader = 'no-auth-challenge'
export const noChallengeParameter = 'noauthchallenge'

export function carriersOf(mechanisms: Iterable<Pick<HttpMechanism, 'carries'>>): Carriers {
  const headers = new Set<string>(['authorization', noChallengeHeader])
  const query = new Set<string>([noChallengeParameter])
  const cookies = new Set<string>()
  const cookiePrefixes = new Set<string>()
  for (const { carries } of mechanisms) {
    for (const name of carries.headers) headers.add(name)
    for (const name of carries.query) query.add(name)
    for (const name of carries.cookies ?? []) cookies.add(name)
    for (const prefix of carries.cookiePrefixes ?? []) cookiePrefixes.add(prefix)
  }
  return { headers, query, cookies, cookiePrefixes: [...cookiePrefixes] }
}

/** Does the request bring a credential in one of these places? Cookies do not count: a browser sends them unasked. */
export function bringsCredential(credentials: RequestCredentials, carriers: Carriers): boolean {
  if (credentials.authorization.length > 0) return true
  for (const name of carriers.headers) {
    if (name !== noChallengeHeader && credentials.header(name).length > 0) return true
  }
  for (const name of carriers.query) {
    if (name !== noChallengeParameter && credentials.queryAll(name).length > 0) return true
  }
  return false
}

export function wantsNoChallenge(credentials: RequestCredentials): boolean {
  return credentials.header(noChallengeHeader).length > 0 || credentials.queryAll(noChallengeParameter).length > 0
}
