import type { RequestFacts, ResponseFacts } from '../policy/facts.ts'
import type { FrontRequest } from './engine.ts'
import { type HeaderKind, headerClass } from './header-class.ts'
import type { RequestPath } from './path.ts'
import { everyParameter, type Parameter } from './query.ts'
import { parseRequestHead, type RequestHead } from './request-head.ts'

/** Headers that an upstream would not be shown, or that say who somebody is: policies do not believe them either. */
const hidden: ReadonlySet<HeaderKind> = new Set<HeaderKind>([
  ...(['hop', 'framing', 'forwarding', 'identity', 'override', 'credential', 'odd'] as const),
])

type Asked = Pick<FrontRequest, 'method' | 'remoteAddress' | 'secure'>

/** Reads what policies ask about, when they do. */
class HttpRequestFacts implements RequestFacts {
  readonly #request: Asked
  readonly #head: RequestHead
  readonly #path: RequestPath
  #headers: Readonly<Record<string, string>> | undefined
  #query: Readonly<Record<string, readonly string[]>> | undefined
  #parameters: readonly Parameter[] | undefined

  constructor(request: Asked, head: RequestHead, path: RequestPath) {
    this.#request = request
    this.#head = head
    this.#path = path
  }

  get method(): string {
    return this.#request.method
  }

  get path(): string {
    return `/${this.#path.segments.join('/')}`
  }

  get segments(): readonly string[] {
    return this.#path.segments
  }

  get address(): string {
    return this.#request.remoteAddress
  }

  get secure(): boolean {
    return this.#request.secure
  }

  get host(): string {
    return this.#head.host.toLowerCase()
  }

  get headers(): Readonly<Record<string, string>> {
    this.#headers ??= shownHeaders(this.#head.rawHeaders, this.#head.connectionNames)
    return this.#headers
  }

  header(name: string): string | undefined {
    const { classes, rawHeaders, connectionNames } = this.#head
    // It goes no further than here: the upstream would act as if it had not been said.
    if (connectionNames.includes(name)) return undefined
    let found: string | undefined
    for (let at = 0; at < classes.length; at++) {
      const header = classes[at]
      if (header?.name !== name || hidden.has(header.kind)) continue
      const value = rawHeaders[2 * at + 1] ?? ''
      found = found === undefined ? value : `${found}, ${value}`
    }
    return found
  }

  get query(): Readonly<Record<string, readonly string[]>> {
    if (this.#query === undefined) {
      const found: Record<string, string[]> = Object.create(null)
      for (const { name, value } of this.#everyParameter()) {
        const values = found[name]
        if (values === undefined) found[name] = [value]
        else values.push(value)
      }
      this.#query = found
    }
    return this.#query
  }

  parameter(name: string): readonly string[] {
    const values: string[] = []
    for (const parameter of this.#everyParameter()) if (parameter.name === name) values.push(parameter.value)
    return values
  }

  #everyParameter(): readonly Parameter[] {
    const { query } = this.#path
    this.#parameters ??= query === '' || query === '?' ? [] : everyParameter(query)
    return this.#parameters
  }
}

/** @param dropped names of headers that are for this connection only */
function shownHeaders(
  rawHeaders: readonly string[],
  dropped: readonly string[] = [],
): Readonly<Record<string, string>> {
  const shown: Record<string, string> = Object.create(null)
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const { name, kind } = headerClass(rawHeaders[at] ?? '')
    if (hidden.has(kind) || dropped.includes(name)) continue
    const value = rawHeaders[at + 1] ?? ''
    shown[name] = shown[name] === undefined ? value : `${shown[name]}, ${value}`
  }
  return shown
}

export function createRequestFacts(request: Asked, head: RequestHead, path: RequestPath): RequestFacts {
  return new HttpRequestFacts(request, head, path)
}

/** @param body the document, parsed; `undefined` for what is none */
export function createResponseFacts(status: number, headers: readonly string[], body: unknown): ResponseFacts {
  return {
    status,
    get headers() {
      return shownHeaders(headers)
    },
    body,
  }
}

/** A request that nobody has sent, for `bawn explain` and `bawn policy test`. */
export interface Supposed {
  readonly method: string
  /** Path, perhaps with a query. */
  readonly path: string
  readonly host: string
  readonly address: string
  readonly tls: boolean
  /** Flat: name, value. */
  readonly headers?: readonly string[]
}

/** @returns undefined for what the door would refuse before it asks a policy */
export function supposedRequest(
  { method, path: target, host, address, tls, headers = [] }: Supposed,
  path: RequestPath,
): RequestFacts | undefined {
  const outcome = parseRequestHead(method, target, '1.1', ['Host', host, ...headers])
  if (outcome.kind === 'refused') return undefined
  return createRequestFacts({ method, remoteAddress: address, secure: tls }, outcome.head, path)
}
