/** A credential that holds for a connection: messages go to and fro on it before it carries requests. */
export interface ConnectionHandshake {
  /** Names of headers that are ours, in lower case: a caller's own never go there. */
  readonly headers: readonly string[]
  /** For each connection anew. */
  begin(): HandshakeAttempt
}

export interface HandshakeAttempt {
  /** Authorization of the first message, which has no body. */
  readonly first: string
  /**
   * @param challenges each WWW-Authenticate of the 401 to the first
   * @returns Authorization of the request that comes next
   * @throws {OutboundError} `outbound.refused` when there is nothing in them to answer to
   */
  reply(challenges: readonly string[]): string
}
