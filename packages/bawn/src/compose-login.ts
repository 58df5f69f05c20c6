import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto'
import { createLoginThrottle, type LoginThrottle } from './accounts/throttle.ts'
import { AuthnError } from './authn/error.ts'
import type { JwtMechanism } from './authn/jwt.ts'
import { type BrowserLogin, createBrowserLogin } from './authn/oidc/browser-login.ts'
import { createCookieSeal, parseSealKey } from './authn/oidc/cookie-seal.ts'
import { type ClientProof, openProvider } from './authn/oidc/provider.ts'
import type { OidcOptions } from './authn/option.ts'
import type { Config } from './config/load.ts'
import type { LoginDoor, LoginPaths } from './http/login/login-door.ts'
import { createNumbers, type NumbersFor } from './limits/numbers.ts'
import { processNow } from './limits/shared-numbers.ts'
import type { KindSurroundings } from './plugin.ts'

// Logging in by a browser, of what the configuration says of it in three places: mechanisms.oidc, its issuer, and the cookie of tokens.

/** Logins that one network may begin: a whole office in the morning does not reach it. They cost no more than a random number each. */
const startLimit = { burst: 200, intervalMs: 50 }

/** Cookies besides the one with the token: of logins under way, and the hint for logging out. Beside the token's, so that names never meet. */
export function loginCookies({
  mechanisms,
  tokens,
}: Config): { readonly flowPrefix: string; readonly hintCookie: string } | undefined {
  if (mechanisms.oidc === undefined || tokens?.cookie === undefined) return undefined
  const { name } = tokens.cookie
  return { flowPrefix: `__Host-${name}-login-`, hintCookie: `__Secure-${name}-logout` }
}

function pathsOf({ login, logout, after_logout: after, backchannel_logout: hasBackchannel }: OidcOptions): LoginPaths {
  return {
    login,
    callback: `${login}/callback`,
    logout,
    loggedOut: after === undefined ? `${logout}/done` : undefined,
    backchannel: hasBackchannel ? `${logout}/backchannel` : undefined,
  }
}

/**
 * @param jwt verifies what the issuer signs
 * @returns `undefined` when nobody logs in by a browser
 * @throws {GatewayError} `config.secret`, `authn.bad_login_key`
 */
export async function composeLogin(
  config: Config,
  jwt: JwtMechanism | undefined,
  { clock, fetch: fetchUrl, secret }: KindSurroundings,
): Promise<BrowserLogin | undefined> {
  const { oidc } = config.mechanisms
  const cookies = loginCookies(config)
  const issuer = oidc === undefined ? undefined : config.issuers[oidc.issuer]
  if (oidc === undefined || issuer === undefined || jwt === undefined || cookies === undefined) return undefined
  const base = new URL(oidc.redirect)
  const paths = pathsOf(oidc)
  const redirectUri = `${base.origin}${paths.callback}`
  const provider = await openProvider(
    {
      name: oidc.issuer,
      issuer: issuer.issuer,
      insecureHttp: issuer.insecure_http,
      trust: { ca: issuer.ca, pins: issuer.pins },
      refresh: issuer.refresh,
      stale: issuer.stale,
      leeway: issuer.leeway,
      clientId: oidc.client_id,
      proof: await proofOf(oidc, secret),
      redirectUri,
      scopes: oidc.scopes,
      userinfo: oidc.userinfo,
    },
    { fetch: fetchUrl, clock },
  )
  const seal = createCookieSeal(parseSealKey(secret(oidc.key)))
  const parties = { jwt, name: oidc.issuer, issuer, clientId: oidc.client_id, clock }
  const loggedOutUri = loggedOutOf(oidc)
  return createBrowserLogin(provider, parties, seal, { base, redirectUri, loggedOutUri, ...cookies })
}

/**
 * @param failures logins that failed at any door
 * @param numbers what workers have together
 */
export function loginDoor(
  config: Config,
  login: BrowserLogin,
  failures: LoginThrottle,
  numbers?: NumbersFor,
): LoginDoor | undefined {
  const { oidc } = config.mechanisms
  if (oidc === undefined) return undefined
  return {
    login,
    paths: pathsOf(oidc),
    loggedOut: loggedOutOf(oidc),
    sessionMs: oidc.session,
    starts: createLoginThrottle({
      now: numbers === undefined ? () => performance.now() : processNow,
      nameless: startLimit,
      numbers: (purpose, max) =>
        purpose === 'login nameless' && numbers !== undefined ? numbers('browser logins', max) : createNumbers(max),
    }),
    failures,
  }
}

function loggedOutOf(oidc: OidcOptions): string {
  return `${new URL(oidc.redirect).origin}${oidc.after_logout ?? `${oidc.logout}/done`}`
}

async function proofOf(oidc: OidcOptions, secret: (reference: string) => string): Promise<ClientProof> {
  if (oidc.client_secret !== undefined) return { kind: 'secret', secret: secret(oidc.client_secret) }
  if (oidc.client_key === undefined) return { kind: 'none' }
  const key = await signingKey(secret(oidc.client_key))
  return { kind: 'key', key, keyId: oidc.client_key_id }
}

/** A private key as WebCrypto has it, for the one algorithm of its kind: RS256, ES256, ES384, ES512 or EdDSA. */
async function signingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const bad = (): AuthnError =>
    new AuthnError('authn.bad_login_key', 'client_key of mechanisms.oidc is no private key in PEM of a kind that signs')
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // Without its cause: what OpenSSL says of a key may quote it.
    throw bad()
  }
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return key.toCryptoKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, false, ['sign'])
    case 'ed25519':
      return key.toCryptoKey('Ed25519', false, ['sign'])
    case 'ec': {
      const curves: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }
      const namedCurve = curves[key.asymmetricKeyDetails?.namedCurve ?? '']
      if (namedCurve === undefined) throw bad()
      return key.toCryptoKey({ name: 'ECDSA', namedCurve }, false, ['sign'])
    }
    default:
      throw bad()
  }
}
