/** A header by which the gateway proves who it is. */
export interface ProofHeader {
  readonly name: string
  /** Visible ASCII. */
  readonly value: string
}

/** The gateway's credential towards one upstream. One file per kind implements it. */
export interface OutboundCredentials {
  /** Names of headers that are ours, in lower case: a caller's own never go there. */
  readonly headers: readonly string[]
  /**
   * What goes with a request; at once where it is there.
   *
   * @throws {OutboundError} (rejects with) `outbound.token_unavailable`
   */
  proof(): ProofHeader | Promise<ProofHeader>
  /**
   * The upstream answered 401 to `proof`: it is not used again.
   *
   * @returns whether another one can be had, so that the request may be sent once more
   */
  refused(proof: ProofHeader): boolean
  close(): void
}
