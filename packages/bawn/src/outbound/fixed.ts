import type { OutboundCredentials, ProofHeader } from './credentials.ts'
import { OutboundError } from './error.ts'

/**
 * A credential that does not change: a password, a key, a token.
 *
 * @throws {OutboundError} `outbound.bad_credentials` when it cannot stand in a header
 */
export function createFixedCredentials(name: string, value: string): OutboundCredentials {
  if (!/^[\x20-\x7e]+$/.test(value)) {
    throw new OutboundError(
      'outbound.bad_credentials',
      `the credential for ${name} has characters that no header may have`,
    )
  }
  const proof: ProofHeader = Object.freeze({ name, value })
  return { headers: [name.toLowerCase()], proof: () => proof, refused: () => false, close: () => {} }
}
