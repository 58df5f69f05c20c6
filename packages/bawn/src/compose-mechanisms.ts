import type { PasswordCheck } from './accounts/password.ts'
import type { AccountStore } from './accounts/store.ts'
import type { LoginThrottle } from './accounts/throttle.ts'
import { createApiKeyMechanism } from './authn/api-key.ts'
import { createBasicMechanism } from './authn/basic.ts'
import { createBearerMechanism, type TokenJudge } from './authn/bearer.ts'
import type { CertificateMechanism } from './authn/certificate.ts'
import { createDigestMechanism, type DigestUser } from './authn/digest.ts'
import { AuthnError } from './authn/error.ts'
import { createIdentityMechanism } from './authn/fixed-identity.ts'
import { createHttpCertificateMechanism } from './authn/http-certificate.ts'
import type { HttpMechanism } from './authn/http-mechanism.ts'
import { createHttpTrustMechanism } from './authn/http-trust.ts'
import { createIntrospectionMechanism } from './authn/introspection.ts'
import type { DigestAlgorithm, DigestOptions } from './authn/option.ts'
import { createTokenMechanism } from './authn/token.ts'
import type { Config } from './config/load.ts'
import { resolveSecret } from './config/secret.ts'
import { type Carriers, carriersOf } from './http/credentials.ts'
import { tokenCookie } from './http/token-resource.ts'
import type { TokenManager, TokenSubject } from './tokens/token-manager.ts'

/** What mechanisms of the HTTP door are made of; what is `undefined` is not configured. */
export interface MechanismParts {
  readonly certificate: CertificateMechanism
  readonly jwt: TokenJudge | undefined
  /** `undefined`: no account store is there. */
  readonly password: PasswordCheck | undefined
  readonly throttle: LoginThrottle
  readonly tokens: TokenManager | undefined
  readonly stores: readonly AccountStore[]
  /** A use has moved the end of a token of ours. */
  readonly onRenewed: (subject: TokenSubject, address: string) => void
  /** ms since 1970 */
  readonly clock: () => number
  readonly environment: NodeJS.ProcessEnv
}

/**
 * Every mechanism of the HTTP door that the configuration gives what it needs. Which of them a request may use is for host rules.
 *
 * @throws {SecretError} `config.secret`
 * @throws {AuthnError} `authn.bad_digest_user`
 */
export function composeHttpMechanisms(config: Config, parts: MechanismParts): readonly HttpMechanism[] {
  const { basic, jwt, digest, trust, identity, introspection, 'api-key': apiKey } = config.mechanisms
  const secret = (reference: string): string => resolveSecret(reference, parts.environment).value
  const mechanisms: HttpMechanism[] = [createHttpCertificateMechanism(parts.certificate)]
  // A token that is no JWT may be somebody else's to judge.
  const leavesOpaque = introspection !== undefined || apiKey?.bearer === true
  if (parts.jwt !== undefined) mechanisms.push(createBearerMechanism(parts.jwt, jwt, leavesOpaque))
  if (parts.password !== undefined) mechanisms.push(createBasicMechanism(basic, parts.password))
  if (digest !== undefined) {
    const { realm, algorithms, userhash, nonce_lifetime: nonceLifetimeMs } = digest
    mechanisms.push(
      createDigestMechanism(digestUsers(digest, secret), {
        realm,
        algorithms,
        userhash,
        nonceLifetimeMs,
        throttle: parts.throttle,
      }),
    )
  }
  if (apiKey !== undefined) mechanisms.push(createApiKeyMechanism(apiKey, parts.throttle, introspection !== undefined))
  if (introspection !== undefined) {
    const clientSecret = secret(introspection.client_secret)
    mechanisms.push(createIntrospectionMechanism(introspection, { fetch, clock: parts.clock, clientSecret }))
  }
  if (trust !== undefined) mechanisms.push(createHttpTrustMechanism(trust))
  if (identity !== undefined) mechanisms.push(createIdentityMechanism(identity))
  if (parts.tokens !== undefined) {
    const cookie = config.tokens?.cookie && tokenCookie(config.tokens.cookie).name
    mechanisms.push(createTokenMechanism(parts.tokens, { ...parts, cookie, isConfigured: configuredSubjects(config) }))
  }
  return mechanisms
}

/** A key, a user or an issuer that a reload takes away takes its tokens along; so does a role. */
function configuredSubjects({ mechanisms, issuers, services }: Config): (subject: TokenSubject) => boolean {
  const { digest, 'api-key': apiKey, introspection } = mechanisms
  return ({ id, source, roles, clientId }) => {
    const gives = (of: { readonly roles: readonly string[] } | undefined): boolean =>
      of !== undefined && roles.every(role => of.roles.includes(role))
    switch (source) {
      // An operator's: bawn tokens issue.
      case undefined:
        return true
      case 'digest':
        return digest !== undefined && Object.hasOwn(digest.users, id) && gives(digest.users[id])
      case 'api-key':
        return apiKey?.keys.some(key => key.name === id && gives(key)) === true
      case 'certificate':
        return Object.entries(services).some(
          ([name, service]) =>
            [name, service.common_name].includes(id) &&
            (service.client_id === undefined || service.client_id === clientId) &&
            gives(service),
        )
      case 'introspection':
        return introspection !== undefined
      default:
        return Object.hasOwn(issuers, source)
    }
  }
}

/** Where the mechanisms of a configuration look for credentials, as far as `composeHttpMechanisms` makes them; reads no secret. */
export function configuredCarriers({ mechanisms, tokens }: Config): Carriers {
  const { jwt, 'api-key': apiKey } = mechanisms
  const carries = {
    headers: [jwt.header, apiKey?.header].flatMap(name => (name === 'off' ? [] : (name?.toLowerCase() ?? []))),
    query: [apiKey?.query].flatMap(name => name ?? []),
    cookies: [jwt.cookie, tokens?.cookie && tokenCookie(tokens.cookie).name].flatMap(name => name ?? []),
  }
  return carriersOf([{ carries }])
}

const digits: Readonly<Record<DigestAlgorithm, number>> = { 'SHA-256': 64, 'SHA-512-256': 64, MD5: 32 }

function digestUsers({ users, algorithms }: DigestOptions, secret: (reference: string) => string): DigestUser[] {
  return Object.entries(users).map(([name, user]) => {
    const references = { 'SHA-256': user.ha1_sha256, 'SHA-512-256': user.ha1_sha512_256, MD5: user.ha1_md5 }
    const ha1: Partial<Record<DigestAlgorithm, string>> = {}
    for (const algorithm of algorithms) {
      const reference = references[algorithm]
      if (reference === undefined) continue
      const value = secret(reference).trim().toLowerCase()
      if (!/^[0-9a-f]+$/.test(value) || value.length !== digits[algorithm]) {
        throw new AuthnError(
          'authn.bad_digest_user',
          `${reference}: ${algorithm} of ${name} is not ${digits[algorithm]} hexadecimal digits`,
        )
      }
      ha1[algorithm] = value
    }
    return { name, roles: user.roles, ha1 }
  })
}
