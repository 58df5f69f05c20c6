import type { Config } from './config/load.ts'
import { createJwtSigner, type JwtSigner } from './tokens/jwt-signer.ts'

/**
 * What signs by the keys of a configuration.
 *
 * @param secret resolves a reference
 * @throws {GatewayError} `tokens.bad_signing_key`, `config.secret`
 */
export function composeSigners(
  { signing }: Config,
  secret: (reference: string) => string,
): ReadonlyMap<string, JwtSigner> {
  return new Map(Object.entries(signing).map(([name, options]) => [name, createJwtSigner(name, options, secret)]))
}

/** What anybody gets at the HTTP doors, by path. */
export function publishedKeys(signers: ReadonlyMap<string, JwtSigner>): ReadonlyMap<string, Buffer> {
  const published = new Map<string, Buffer>()
  for (const { jwksPath, jwks } of signers.values()) {
    if (jwksPath !== undefined) published.set(jwksPath, Buffer.from(JSON.stringify(jwks)))
  }
  return published
}
