/** `shop.example`, or `*.example` for whatever is under it. */
const hostName = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/

/** @returns what is wrong with it in words; undefined when nothing is */
export function hostPatternProblem(text: string): string | undefined {
  return hostName.test(text)
    ? undefined
    : 'must be a host name in small letters without a port: shop.example, or *.example for every name under it'
}

/** What Host says (RFC 9110 section 7.2) as routes name it: small letters, no port, no dot at the end. */
export function routeHost(host: string): string {
  const port = /:[0-9]+$/.exec(host)
  const bare = (port === null ? host : host.slice(0, port.index)).toLowerCase()
  return bare.endsWith('.') ? bare.slice(0, -1) : bare
}

/** Of each host name its own; the longest name that fits comes first, and those of every host come last. */
export class ByHost<Value> {
  readonly #exact = new Map<string, Value>()
  /** By what stands behind the star, with its dot. */
  readonly #under = new Map<string, Value>()
  readonly #make: () => Value
  readonly #every: Value

  constructor(make: () => Value) {
    this.#make = make
    this.#every = make()
  }

  /** @param pattern undefined: every host */
  at(pattern: string | undefined): Value {
    if (pattern === undefined) return this.#every
    const table = pattern.startsWith('*') ? this.#under : this.#exact
    const key = pattern.startsWith('*') ? pattern.slice(1) : pattern
    const found = table.get(key) ?? this.#make()
    table.set(key, found)
    return found
  }

  /** Whether any is of one host, or of those under one: otherwise `find` does not look at it. */
  get areNamed(): boolean {
    return this.#exact.size > 0 || this.#under.size > 0
  }

  /** @param host as `routeHost` gives it. @returns what the first gives that gives anything */
  find<Found>(host: string, ask: (value: Value) => Found | undefined): Found | undefined {
    if (this.areNamed) {
      const exact = this.#exact.get(host)
      const found = exact === undefined ? undefined : ask(exact)
      if (found !== undefined) return found
      for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) {
        const under = this.#under.get(host.slice(dot))
        const deeper = under === undefined ? undefined : ask(under)
        if (deeper !== undefined) return deeper
      }
    }
    return ask(this.#every)
  }
}
