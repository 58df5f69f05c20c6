import type { Outcome } from '../identity.ts'
import type { CookieSeal } from './cookie-seal.ts'
import { createFlows, type Flow } from './flow.ts'
import { judgeIdToken, judgeLogoutToken, type LogoutReading, type TokenParties } from './id-token.ts'
import type { OpenIdProvider, Redeemed } from './provider.ts'
import type { ReturnTo } from './return-to.ts'

/** A cookie that the browser is to keep. */
export interface KeptCookie {
  readonly name: string
  readonly value: string
}

/** How a login ended. */
export type LoginEnd =
  | Extract<Outcome, { readonly kind: 'identified' }>
  | Exclude<Redeemed, { readonly kind: 'redeemed' }>
  /** The ID token is not accepted. */
  | Extract<Outcome, { readonly kind: 'rejected' }>

/** People with a browser, sent to an OpenID provider and coming back: authorization code with PKCE (RFC 6749, 7636, 9207, 9700). */
export interface BrowserLogin {
  /** The issuer's name in the configuration. */
  readonly issuer: string
  /** What browsers call this gateway. */
  readonly base: URL
  /** Of the cookies of logins under way. */
  readonly flowPrefix: string
  /** Of the cookie with the sealed ID token. */
  readonly hintCookie: string
  /** @throws {AuthnError} (rejects with) `authn.issuer_unreachable` */
  begin(returnTo: ReturnTo): Promise<{ readonly location: string; readonly cookie: KeptCookie }>
  /**
   * The login that a callback belongs to. Costs a look at one cookie.
   *
   * @param parameters of the callback
   * @param cookie the one value of a cookie of this name
   * @returns `undefined` when this browser has no such login under way
   */
  resume(
    parameters: URLSearchParams,
    cookie: (name: string) => string | undefined,
  ): { readonly state: string; readonly flow: Flow; readonly cookieName: string } | undefined
  /** Asks the provider. @throws {AuthnError} (rejects with) `authn.issuer_unreachable` */
  finish(
    parameters: URLSearchParams,
    state: string,
    flow: Flow,
  ): Promise<{ readonly end: LoginEnd; readonly hint: string | undefined }>
  /** Where a browser goes to end its session at the provider too; `undefined` where there is no such place. @param hint as `finish` gave it */
  logoutUrl(hint: string | undefined): Promise<string | undefined>
  /** Judges a logout token. @throws {AuthnError} (rejects with) `authn.issuer_unreachable` */
  judgeLogout(token: string): Promise<LogoutReading>
  /** Fetches what the first login would wait for. Does not reject. */
  prime(): Promise<void>
  status(): { readonly usable: boolean; readonly failure: string | undefined }
  close(): void
}

export interface BrowserLoginOptions {
  readonly base: URL
  readonly redirectUri: string
  readonly loggedOutUri: string
  readonly flowPrefix: string
  readonly hintCookie: string
}

const hintContext = 'id token hint'
/** What browsers keep; an ID token that makes more is not kept, and the provider asks the person whether to log out. */
const maxHintLength = 3_800

export function createBrowserLogin(
  provider: OpenIdProvider,
  parties: TokenParties,
  seal: CookieSeal,
  options: BrowserLoginOptions,
): BrowserLogin {
  const { base, redirectUri, flowPrefix: prefix } = options
  const { clock, issuer, clientId } = parties
  const client = [issuer.issuer, clientId, redirectUri]
  const flows = createFlows(seal, { prefix, client, base }, clock)
  return {
    issuer: parties.name,
    base,
    flowPrefix: prefix,
    hintCookie: options.hintCookie,
    async begin(returnTo) {
      const flow = flows.begin(returnTo)
      return { location: await provider.authorizationUrl(flow), cookie: flow.cookie }
    },
    resume(parameters, cookie) {
      const [state = '', second] = parameters.getAll('state')
      const cookieName = second === undefined ? flows.cookieName(state) : undefined
      const value = cookieName === undefined ? undefined : cookie(cookieName)
      const flow = value === undefined ? undefined : flows.resume(state, value)
      return flow === undefined || cookieName === undefined ? undefined : { state, flow, cookieName }
    },
    async finish(parameters, state, { nonce, verifier }) {
      const redeemed = await provider.redeem(parameters, { state, nonce, verifier })
      if (redeemed.kind !== 'redeemed') return { end: redeemed, hint: undefined }
      const { idToken, userinfo } = redeemed
      const end = await judgeIdToken(idToken, nonce, userinfo, parties)
      const sealed = seal.seal(idToken, hintContext)
      return { end, hint: end.kind === 'identified' && sealed.length <= maxHintLength ? sealed : undefined }
    },
    logoutUrl: hint =>
      provider.endSessionUrl(hint === undefined ? undefined : seal.open(hint, hintContext), options.loggedOutUri),
    judgeLogout: token => judgeLogoutToken(token, parties),
    prime: async () => {
      await provider.metadata.load().catch(() => undefined)
    },
    status: () => provider.metadata.status(),
    close: () => provider.close(),
  }
}
