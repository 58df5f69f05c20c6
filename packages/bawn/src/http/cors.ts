import type { CorsOptions } from './option.ts'

/** What a route tells browsers about pages of other origins (Fetch standard, section 3.2). */
export interface Cors {
  /** Headers of every answer, flat. @param origin what the request says; undefined where it says nothing */
  answer(origin: string | undefined): readonly string[]
  /**
   * Headers of the answer to a preflight, flat. Where the origin or a header may not, they permit nothing: that is all a browser asks.
   *
   * @param method that the page wants to use
   * @param names Access-Control-Request-Headers
   */
  preflight(origin: string, method: string, names: string | undefined): readonly string[]
}

/** @param methods of the route */
export function compileCors(options: CorsOptions, methods: readonly string[]): Cors {
  const { origins, headers, expose, credentials, max_age: maxAge } = options
  const every = origins.includes('*')
  const exact = new Set(origins.filter(origin => !origin.includes('*')))
  const under = origins.flatMap(origin => {
    const [, scheme, suffix] = /^(https?:\/\/)\*(\..+)$/.exec(origin) ?? []
    return scheme === undefined || suffix === undefined ? [] : [{ scheme, suffix }]
  })
  const isAllowed = (origin: string): boolean =>
    every ||
    exact.has(origin) ||
    under.some(
      ({ scheme, suffix }) =>
        origin.startsWith(scheme) && origin.endsWith(suffix) && origin.length > scheme.length + suffix.length,
    )
  const allowedHeaders = new Set(headers.map(name => name.toLowerCase()))
  const mayRead = credentials ? ['Access-Control-Allow-Credentials', 'true'] : []
  const exposed = expose.length === 0 ? [] : ['Access-Control-Expose-Headers', expose.join(', ')]
  // An answer that says another origin than the one that asks would be kept by a cache for both.
  const vary = every ? [] : ['Vary', 'Origin']
  const forOrigin = (origin: string): readonly string[] => [
    'Access-Control-Allow-Origin',
    every ? '*' : origin,
    ...mayRead,
  ]
  const permitted = [
    'Access-Control-Allow-Methods',
    methods.join(', '),
    ...(headers.length === 0 ? [] : ['Access-Control-Allow-Headers', headers.join(', ')]),
    'Access-Control-Max-Age',
    String(Math.floor(maxAge / 1000)),
  ]
  return Object.freeze({
    answer: origin => (origin !== undefined && isAllowed(origin) ? [...forOrigin(origin), ...exposed, ...vary] : vary),
    preflight: (origin, method, names) => {
      const varies = ['Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers']
      const asked = (names ?? '').split(',').flatMap(name => (name.trim() === '' ? [] : [name.trim().toLowerCase()]))
      const isPermitted = isAllowed(origin) && methods.includes(method) && asked.every(name => allowedHeaders.has(name))
      return isPermitted ? [...forOrigin(origin), ...permitted, ...varies] : varies
    },
  } satisfies Cors)
}
