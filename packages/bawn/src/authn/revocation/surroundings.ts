/** What finding out about revocation needs of the world outside. */
export interface RevocationSurroundings {
  readonly fetch: typeof fetch
  /** ms since 1970. */
  readonly clock: () => number
  readonly log: (level: 'info' | 'warn', message: string, cause?: unknown) => void
  /** Aborted when the gateway stops. */
  readonly closing: AbortSignal
  /** May an address that somebody else wrote (a certificate, a redirect) be asked? */
  readonly isPermitted: (url: URL) => boolean
}
