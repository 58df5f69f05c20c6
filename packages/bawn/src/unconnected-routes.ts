import { configuredCarriers } from './compose-mechanisms.ts'
import type { Config } from './config/load.ts'
import type { Catalogue } from './fields/field.ts'
import { createAcl } from './http/acl.ts'
import { compileRoutes } from './http/routes.ts'
import type { Upstream } from './http/upstream/upstream.ts'
import type { Kinds } from './kinds.ts'
import type { KnownField } from './known-fields.ts'
import { createRateLimiter } from './limits/rate-limit.ts'
import { headersOf } from './outbound/open.ts'
import type { PolicyUse } from './policy/facts.ts'
import { createGate, nothingGranted } from './policy/gate.ts'
import type { GrantGate } from './policy/grants.ts'
import type { JwtSigner } from './tokens/jwt-signer.ts'

const signsNothing: JwtSigner = {
  algorithm: 'ES256',
  issuer: undefined,
  jwksPath: undefined,
  jwks: { keys: [] },
  sign: () => {
    throw new TypeError('explaining signs nothing')
  },
  signJson: () => {
    throw new TypeError('explaining signs nothing')
  },
}

/** The door's own table of routes, with upstreams that lead nowhere. @throws {GatewayError} whatever is wrong with a route */
export function routesOf(
  config: Config,
  known: readonly KnownField[],
  kinds: Kinds,
  grants: Pick<GrantGate, 'decide'> = nothingGranted,
  now: () => number = Date.now,
) {
  const upstreams = new Map<string, Upstream>(
    Object.entries(config.upstreams).map(([name, { credentials }]) => [
      name,
      {
        name,
        ownHeaders: headersOf(credentials),
        send: () => () => undefined,
        retire: () => undefined,
      },
    ]),
  )
  const catalogue: Catalogue = {
    fields: known.map(({ field }) => field),
    find: name => known.find(({ field }) => field.name === name)?.field,
    view: (field, { roles }) => {
      const disclosure = known.find(one => one.field === field)?.disclosure(roles)
      if (disclosure === undefined) throw new TypeError(`no field ${field.name}`)
      const none = (): never => {
        throw new TypeError(`no value of ${field.name}: explaining opens no keys`)
      }
      return { field, disclosure, reveal: none, protect: none, searchHash: none }
    },
  }
  const gate = (allow: readonly string[], use: PolicyUse) => createGate(allow, config.policies, grants, { use, now })
  return compileRoutes(config.routes, {
    upstreams,
    gate,
    catalogue,
    limiter: createRateLimiter({ now: () => 0 }),
    acl: config.acl.length === 0 ? undefined : createAcl(config.acl, now),
    carriers: configuredCarriers(config, kinds),
    issuers: new Set(Object.keys(config.issuers)),
    signers: new Map(Object.keys(config.signing).map(name => [name, signsNothing])),
    clock: now,
  })
}
