import type { Identity } from '../authn/identity.ts'

/** A request, as policies see it. Read as far as a policy asks for it. */
export interface RequestFacts {
  readonly method: string
  /** Decoded and normalised: `/orders/7`. */
  readonly path: string
  /** Decoded, without the slash in front. */
  readonly segments: readonly string[]
  /** Of the client, as trusted proxies tell it. */
  readonly address: string
  readonly secure: boolean
  readonly host: string
  /** Lower-case names and their values; of headers that say who somebody is, nothing. Repeated ones are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  header(name: string): string | undefined
  /** Decoded; every value of every name, in order. */
  readonly query: Readonly<Record<string, readonly string[]>>
  /** Of `query`: every value of one name, in order. */
  parameter(name: string): readonly string[]
}

/** An upstream's answer, as policies see it. */
export interface ResponseFacts {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The document; `undefined` for what is no JSON, or was not read. */
  readonly body: unknown
}

/** What a decision rests on. */
export interface Facts {
  readonly identity: Identity | undefined
  readonly request: RequestFacts | undefined
  readonly response: ResponseFacts | undefined
  /** The rule of the access control list that allows it. */
  readonly acl?: string | undefined
  /** ms since 1970 */
  readonly now: () => number
}

/** Where policies are asked, and so what they may ask about. */
export type PolicyUse =
  /** @property parameters names in the route's path, by the place of their segment */
  | {
      readonly kind: 'request' | 'response'
      readonly route: string
      readonly parameters: ReadonlyMap<string, number>
    }
  | { readonly kind: 'database'; readonly database: string }
  /** Of a policy that nothing names: everything that there is anywhere. */
  | { readonly kind: 'any' }
  /** Who somebody is, and what time it is. */
  | { readonly kind: 'identity' }

/** Parameters of a route's path, and the place of their segment. @param path `/orders/{customer}` */
export function parametersOf(path: string): ReadonlyMap<string, number> {
  const segments = path.slice(1).split('/')
  return new Map(
    segments.flatMap((segment, at) => {
      const name = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(segment)?.[1]
      return name === undefined ? [] : [[name, at] as const]
    }),
  )
}
