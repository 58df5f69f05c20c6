import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'
import type { ClientMetadata, Configuration } from 'oidc-provider'

// The provider's side of people with a browser: a form for name and secret, and a question before logging out. Consent is given for them.

/** Somebody who may log in, and what the provider asks of them. */
export interface LoginPerson {
  readonly id: string
  readonly roles: readonly string[]
  readonly secret: string
}

export interface BrowserClient {
  readonly id: string
  /** `undefined`: the client signs who it is with the key of `jwk`. */
  readonly secret: string | undefined
  /** Public key. */
  readonly jwk?: Readonly<Record<string, unknown>>
  readonly redirectUri: string
  readonly loggedOutUri: string
  readonly backchannelUri?: string
  /** Where name and roles are told; default: the ID token. */
  readonly claimsIn?: 'id_token' | 'userinfo'
}

export function browserClientMetadata(client: BrowserClient): ClientMetadata {
  return {
    client_id: client.id,
    ...(client.secret === undefined
      ? { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...client.jwk }] } }
      : { client_secret: client.secret }),
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [client.redirectUri],
    post_logout_redirect_uris: [client.loggedOutUri],
    ...(client.backchannelUri === undefined ? {} : { backchannel_logout_uri: client.backchannelUri }),
  }
}

/** What of the provider's configuration lets people log in. */
export function loginConfiguration(people: readonly LoginPerson[], claimsIn: 'id_token' | 'userinfo') {
  return {
    claims: { openid: ['sub'], profile: ['preferred_username', 'roles'] },
    conformIdTokenClaims: claimsIn === 'userinfo',
    findAccount: (_, id) => {
      const person = people.find(one => one.id === id)
      if (person === undefined) return undefined
      return {
        accountId: id,
        claims: () => ({ sub: id, preferred_username: id, roles: [...person.roles] }),
      }
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    async loadExistingGrant({ oidc }) {
      const { client, session, provider } = oidc
      if (client === undefined || session?.accountId === undefined) return undefined
      const known = session.grantIdFor(client.clientId)
      if (known !== undefined) return provider.Grant.find(known)
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
      grant.addOIDCScope('openid profile')
      await grant.save()
      return grant
    },
    cookies: { keys: ['only for tests and the demo'] },
    ttl: { AuthorizationCode: 60, IdToken: 3600, Interaction: 3600, Session: 86_400, Grant: 86_400, AccessToken: 3600 },
  } satisfies Configuration
}

export async function logoutQuestion(ctx: { body?: unknown }, form: string): Promise<void> {
  ctx.body = page(
    'Log out of the provider?',
    `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Yes, log me out</button>`,
  )
}

/** Answers `/interaction/<uid>`: the form, and what was typed into it. @returns false when the path is not one of these */
export async function answerInteraction(
  provider: Provider,
  people: readonly LoginPerson[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const path = request.url?.split('?', 1)[0] ?? ''
  if (!path.startsWith('/interaction/')) return false
  if (request.method === 'GET') {
    send(response, 200, form(path, ''))
    return true
  }
  const typed = new URLSearchParams(await bodyOf(request))
  const person = people.find(({ id }) => id === typed.get('user'))
  if (person === undefined || !isSame(person.secret, typed.get('secret') ?? '')) {
    send(response, 401, form(path, 'Name and secret do not fit.'))
    return true
  }
  const result =
    typed.get('answer') === 'no'
      ? { error: 'access_denied', error_description: 'the person did not want to' }
      : { login: { accountId: person.id } }
  await provider.interactionFinished(request, response, result)
  return true
}

function form(path: string, message: string): string {
  return page(
    'Log in at the provider',
    `<p>${message}</p><form method="post" action="${path}">
<input name="user" autofocus><input name="secret" type="password">
<button name="answer" value="yes">Log in</button><button name="answer" value="no">Never mind</button></form>`,
  )
}

function page(title: string, content: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${content}`
}

function send(response: ServerResponse, status: number, html: string): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(html)
}

function isSame(secret: string, typed: string): boolean {
  const [one, other] = [Buffer.from(secret), Buffer.from(typed)]
  return one.length === other.length && timingSafeEqual(one, other)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
