/** A request as it is about to leave, but for what proves who sends it. */
export interface UnsignedRequest {
  readonly method: string
  /** The Host header of the server that is asked. */
  readonly host: string
  /** Path and query as the server gets them, its prefix included. Latin-1. */
  readonly target: string
  /** Headers, each ended by CRLF. Latin-1. */
  readonly head: string
  /** The whole of it; empty where there is none. */
  readonly body: Buffer | 'streams'
}

/** A credential that covers the request itself: made anew for each server and each attempt. */
export interface RequestSignature {
  /** Names of headers that are ours, in lower case: a caller's own never go there. */
  readonly headers: readonly string[]
  /** The longest body that is kept in memory to be signed. */
  readonly maxBodyBytes: number
  /**
   * Whether a body may go on as it comes: it is then not covered.
   *
   * @param secure all servers are asked over TLS
   * @param length in bytes, where it is known before
   */
  streams(secure: boolean, length: number | undefined): boolean
  /**
   * What is sent instead.
   *
   * @throws {OutboundError} `outbound.unsignable`
   */
  sign(request: UnsignedRequest): Pick<UnsignedRequest, 'target' | 'head'>
}
