import type { AuthorizationServer } from 'oauth4webapi'
import { AuthnError } from '../error.ts'

/** What a provider says of itself (OpenID Connect Discovery section 3): kept a while, refreshed in the background, never fetched twice at a time. */
export interface ProviderMetadata {
  /** What may be used now; `undefined`: `load` it first. */
  current(): AuthorizationServer | undefined
  /** @throws {AuthnError} (rejects with) `authn.issuer_unreachable` */
  load(): Promise<AuthorizationServer>
  status(): { readonly usable: boolean; readonly failure: string | undefined }
}

/** After an attempt that failed, before the next. */
const retryMs = 2_000

/**
 * @param options.name of the issuer, for messages
 * @param options.refresh ms that it is fresh
 * @param options.stale ms after that in which it is still used while the provider cannot be reached
 * @param read fetches and checks it
 * @param clock ms since 1970
 */
export function createProviderMetadata(
  options: { readonly name: string; readonly refresh: number; readonly stale: number },
  read: () => Promise<AuthorizationServer>,
  clock: () => number,
): ProviderMetadata {
  let known: { readonly metadata: AuthorizationServer; readonly at: number } | undefined
  let failed: { readonly error: AuthnError; readonly at: number } | undefined
  let inFlight: Promise<AuthorizationServer> | undefined

  // A clock that was set back must not keep it alive.
  const isWithin = (since: number, ms: number): boolean => clock() >= since && clock() - since <= ms
  const hasJustFailed = () => failed !== undefined && isWithin(failed.at, retryMs)

  const attempt = (): Promise<AuthorizationServer> => {
    const at = clock()
    inFlight ??= read()
      .then(
        metadata => {
          known = { metadata, at }
          failed = undefined
          return metadata
        },
        (cause: unknown) => {
          const detail = cause instanceof Error ? cause.message : 'unknown'
          const message = `nothing is known of the provider ${options.name}: ${detail}`
          failed = { error: new AuthnError('authn.issuer_unreachable', message), at }
          throw failed.error
        },
      )
      .finally(() => {
        inFlight = undefined
      })
    return inFlight
  }

  const isUsable = () => known !== undefined && isWithin(known.at, options.refresh + options.stale)
  const current = (): AuthorizationServer | undefined => {
    if (known !== undefined && !isWithin(known.at, options.refresh) && !hasJustFailed()) attempt().catch(() => {})
    return isUsable() ? known?.metadata : undefined
  }
  return {
    current,
    async load() {
      const usable = current()
      if (usable !== undefined) return usable
      if (inFlight === undefined && failed !== undefined && hasJustFailed()) throw failed.error
      return attempt()
    },
    status: () => ({ usable: isUsable(), failure: failed?.error.message }),
  }
}
