import type { IssuerOptions } from './authn/issuer-option.ts'
import { createJwtMechanism, type JwtMechanism } from './authn/jwt.ts'
import type { TokenCheck } from './authn/token-check.ts'
import { composeSigners } from './compose-signing.ts'
import type { Config } from './config/load.ts'
import type { Kinds } from './kinds.ts'
import type { KindSurroundings } from './plugin.ts'
import type { JwtSigner } from './tokens/jwt-signer.ts'

/**
 * What judges tokens of the issuers, with the checks of plug-ins; `undefined` when there are none.
 *
 * @throws {GatewayError} `authn.bad_issuer`, or what a check throws that cannot be made
 */
export async function composeIssuers(
  config: Config,
  kinds: Kinds,
  surroundings: KindSurroundings,
): Promise<JwtMechanism | undefined> {
  if (Object.keys(config.issuers).length === 0) return undefined
  const signers = composeSigners(config, surroundings.secret)
  const issuers = Object.fromEntries(
    Object.entries(config.issuers).map(([name, options]) => [name, withOwnKeys(options, signers)]),
  )
  const checks = new Map<string, readonly TokenCheck[]>()
  for (const [issuer, options] of Object.entries(issuers)) {
    const made: TokenCheck[] = []
    for (const { check: name, ...written } of options.checks) {
      const kind = kinds.tokenChecks.get(name)
      if (kind === undefined) throw new TypeError(`no check is called ${name}`)
      const { check } = await kind.create(written, { ...surroundings, issuer })
      made.push({ name, check })
    }
    checks.set(issuer, made)
  }
  const { fetch, clock, log, secret } = surroundings
  const onRefused = (issuer: string, check: string, reason: string): void =>
    log('info', `check ${check} refuses a token of issuer ${issuer}: ${reason}`)
  return createJwtMechanism(issuers, { fetch, clock, secret, checks, onRefused })
}

/** Whoever believes what the gateway signs has its keys without asking for them. */
function withOwnKeys(options: IssuerOptions, signers: ReadonlyMap<string, JwtSigner>): IssuerOptions {
  if (options.signing === undefined) return options
  const signer = signers.get(options.signing)
  if (signer === undefined) throw new TypeError(`no entry of signing is called ${options.signing}`)
  const { algorithms = [signer.algorithm] } = options
  return { ...options, signing: undefined, jwks: { keys: signer.jwks.keys.map(key => ({ ...key })) }, algorithms }
}
