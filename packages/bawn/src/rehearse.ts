import { createCertificateMechanism } from './authn/certificate.ts'
import { createHostRules } from './authn/host-rules.ts'
import { createJwtMechanism } from './authn/jwt.ts'
import { composeFirewall, composeRowFilters } from './compose-databases.ts'
import type { Config } from './config/load.ts'
import { SecretError } from './config/secret.ts'
import { GatewayError } from './error.ts'
import { refuseDuplicates } from './fields/parse.ts'
import type { Kinds } from './kinds.ts'
import { fieldsOf } from './known-fields.ts'
import { parseGuessKey } from './limits/guess-key.ts'
import { createGate } from './policy/gate.ts'
import { routesOf } from './unconnected-routes.ts'

/**
 * Builds what a start would build of a configuration, as far as that needs neither the keystore nor a network, and lets go of it again: what
 * only the builder finds (two routes for one path, a header that no upstream may be sent) shows in `bawn check` and not first at a start.
 *
 * @param secret finds what is behind a reference; without it, what needs one is left out. One that cannot be had is not reported here:
 *   `probeFiles` tells its line
 * @returns what would keep the gateway from starting, each with its code; a fault of ours is thrown
 */
export async function rehearse(
  config: Config,
  kinds: Kinds,
  secret?: (reference: string) => string,
): Promise<readonly GatewayError[]> {
  const found: GatewayError[] = []
  const build = (work: () => unknown): void => {
    try {
      work()
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      if (error instanceof SecretError) return
      // Several builders need the fields: what is wrong with them is one problem.
      if (!found.some(other => other.message === error.message)) found.push(error)
    }
  }
  build(() => refuseDuplicates(fieldsOf(config).map(({ field }) => field)))
  const { guess_key: guessKey } = config.rate_limits ?? {}
  build(() => guessKey !== undefined && secret !== undefined && parseGuessKey(secret(guessKey)))
  build(() => createHostRules(config.host_rules))
  build(() => createCertificateMechanism(config.services))
  const issuers = Object.entries(config.issuers).filter(
    ([, issuer]) => secret !== undefined || (issuer.secret === undefined && issuer.decryption === undefined),
  )
  const surroundings = { fetch, clock: Date.now, secret: secret ?? (reference => reference) }
  build(() => createJwtMechanism(Object.fromEntries(issuers), surroundings).close())
  for (const [database, { allow, replication = [] }] of Object.entries(config.databases)) {
    const around = { use: { kind: 'database', database } } as const
    build(() => createGate(allow, config.policies, undefined, around))
    if (replication.length > 0) build(() => createGate(replication, config.policies, undefined, around))
  }
  for (const database of Object.values(config.databases)) {
    const made = Promise.all([
      composeFirewall(database.firewall, config, undefined),
      composeRowFilters(database, config),
    ])
    const failed = await made.then(
      () => undefined,
      (error: unknown) => error,
    )
    build(() => {
      if (failed !== undefined) throw failed
    })
  }
  build(() => routesOf(config, fieldsOf(config), kinds))
  return found
}
