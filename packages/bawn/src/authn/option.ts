import { z } from 'zod'
import { digestAlgorithms } from '../accounts/digest-verifier.ts'
import { duration, type Frozen, name, oneOrMany, secretReference, timeLimit } from '../option.ts'
import { parseAddressCondition, parseAddressRange } from './address.ts'

// Of issuers there is enough for a file of its own.
export { type IssuerOptions, issuerOptions } from './issuer-option.ts'

/** Addresses or CIDR, without names. */
export const addressRanges = z
  .array(
    z.string().superRefine((text, context) => {
      const reading = parseAddressRange(text)
      if (reading.kind === 'problem') context.addIssue({ code: 'custom', message: reading.message })
    }),
  )
  .min(1)

export const proxyProtocolOptions = z.strictObject({
  from: addressRanges.describe(
    'addresses or CIDR, IPv4 or IPv6, or "local": peers whose connections begin with a PROXY header (version 1 or 2), and have to; from nobody else it is taken',
  ),
})
export type ProxyProtocolOptions = Frozen<z.output<typeof proxyProtocolOptions>>

/** A service that logs in with a certificate: the CN (or client id) that it must have, and its roles. */
export const serviceOptions = z
  .strictObject({
    common_name: z.string().min(1).optional().describe('CN that its certificate has'),
    client_id: z
      .string()
      .regex(/^[0-9a-f]{128}$/, 'must be 128 hexadecimal digits: bawn keys client-id prints them')
      .optional()
      .describe('client id of its certificate: bawn keys client-id'),
    roles: z.array(name).default([]).describe('what it has once it is identified'),
  })
  .refine(
    service => service.common_name !== undefined || service.client_id !== undefined,
    'needs common_name or client_id',
  )
export type ServiceOptions = Frozen<z.output<typeof serviceOptions>>

/** Mechanisms that exist today. */
export const usableMechanisms = [
  'certificate',
  'scram',
  'jwt',
  'password',
  'oauthbearer',
  'basic',
  'digest',
  'api-key',
  'introspection',
  'trust',
  'identity',
  'token',
  'oidc',
  'pass-through',
] as const
export type UsableMechanism = (typeof usableMechanisms)[number]

/** The name of a plug-in's mechanism: never one of ours. Only `pluggedMechanism` makes one; the member exists in types alone. */
export type PluggedMechanism = string & { readonly ofPlugin: true }

/** @returns `undefined` for what cannot be the name of a plug-in's mechanism */
export function pluggedMechanism(text: string): PluggedMechanism | undefined {
  return isMechanism(text) || !name.safeParse(text).success ? undefined : (text as PluggedMechanism)
}

/** Is it one of ours? */
export function isMechanism(text: string): text is UsableMechanism {
  return usableMechanisms.some(mechanism => mechanism === text)
}

const realm = z
  .string()
  .regex(/^[ -~]{1,128}$/, 'must be 1 to 128 visible ASCII characters')
  .default('bawn')
  .describe('what a client shows beside its question')
const headerName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'must be the name of a header')
const insecureHttp = z.boolean().default(false)

export const basicOptions = z.strictObject({
  realm,
  insecure_http: insecureHttp.describe('INSECURE: take passwords without TLS from other machines too'),
})
export type BasicOptions = Frozen<z.output<typeof basicOptions>>

export const jwtHttpOptions = z.strictObject({
  realm,
  header: headerName.optional().describe('a header that may carry the token besides Authorization: Bearer'),
  cookie: z
    .string()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, 'must be the name of a cookie')
    .optional()
    .describe('a cookie that may carry the token'),
  base64: z.boolean().default(false).describe('tokens come with base64 once more around them, as some of RESTHeart do'),
})
export type JwtHttpOptions = Frozen<z.output<typeof jwtHttpOptions>>

const ha1 = (digest: string) => secretReference.optional().describe(`hex of ${digest}(name:realm:password)`)
const digestUserOptions = z
  .strictObject({
    ha1_sha256: ha1('SHA-256'),
    ha1_sha512_256: ha1('SHA-512/256'),
    ha1_md5: ha1('MD5'),
    roles: z.array(name).default([]).describe('what it has once it is identified'),
  })
  .refine(user => user.ha1_sha256 ?? user.ha1_sha512_256 ?? user.ha1_md5, 'needs ha1_sha256, ha1_sha512_256 or ha1_md5')
export const digestOptions = z.strictObject({
  realm: realm.describe('what a client shows beside its question; a part of what ha1 values are made of'),
  algorithms: z
    .array(z.enum(digestAlgorithms))
    .min(1)
    .default(['SHA-256'])
    .describe('one challenge each, in this order; MD5 is weak and for clients that know nothing else'),
  userhash: z.boolean().default(false).describe('offer clients to hide the name'),
  nonce_lifetime: duration.default(300_000).describe('until a client is asked to use a new nonce'),
  nonce_key: secretReference
    .optional()
    .describe(
      'base64 of 32 bytes and more that nodes share, to believe each other’s nonces; default: the process’s own',
    ),
  users: z
    .record(z.string().min(1).max(128), digestUserOptions)
    .default({})
    .describe('by name, besides those of accounts'),
  accounts: z
    .boolean()
    .optional()
    .describe(
      'ask the account stores, and have them keep what digest needs of each new password; default: where no users stand here',
    ),
})
export type DigestOptions = Frozen<z.output<typeof digestOptions>>

/** Whether the account stores are asked for users of digest, and keep what it needs. */
export function asksAccounts({ users, accounts }: DigestOptions): boolean {
  return accounts ?? Object.keys(users).length === 0
}

export const apiKeyOptions = z.strictObject({
  header: z
    .union([
      z.literal('off'),
      headerName.refine(text => text.toLowerCase() !== 'authorization', 'is not for Authorization: say bearer: true'),
    ])
    .default('X-Api-Key')
    .describe('header that carries the key'),
  query: z
    .string()
    .regex(/^[A-Za-z0-9._~-]{1,64}$/, 'must be the name of a query parameter')
    .optional()
    .describe('query parameter that carries the key: logs of others keep URLs'),
  basic: z.boolean().default(false).describe('the key as the user of Basic, with an empty password'),
  bearer: z.boolean().default(false).describe('the key as Authorization: Bearer'),
  keys: z
    .array(
      z.strictObject({
        name: z
          .string()
          .min(1)
          .max(128)
          .describe('who it is; several keys of one name overlap while they are exchanged'),
        hash: z
          .string()
          .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits: bawn api-keys generate prints it')
          .describe('of the key; the key itself is nowhere'),
        roles: z.array(name).default([]).describe('what it has once it is identified'),
        expires: z.iso
          .datetime({ offset: true })
          .optional()
          .describe('instant after which it is refused: 2027-01-31T00:00:00Z'),
        unguessable: z
          .boolean()
          .default(false)
          .describe(
            'made elsewhere, of at least 128 random bits: believed however often others guess from the same address, as bawn’s own are',
          ),
      }),
    )
    .min(1)
    .describe('keys that are believed'),
})
export type ApiKeyOptions = Frozen<z.output<typeof apiKeyOptions>>

const fixedIdentity = {
  user: z.string().min(1).max(128).describe('id of the identity'),
  roles: z.array(name).default([]).describe('what it has'),
} as const
export const trustOptions = z.strictObject(fixedIdentity)
export type TrustOptions = Frozen<z.output<typeof trustOptions>>
export const fixedIdentityOptions = z.strictObject(fixedIdentity)
export type FixedIdentityOptions = Frozen<z.output<typeof fixedIdentityOptions>>

export const introspectionOptions = z.strictObject({
  realm,
  url: z.url({ protocol: /^https?$/ }).describe('introspection endpoint (RFC 7662)'),
  insecure_http: insecureHttp.describe('INSECURE: ask over plain HTTP'),
  client_id: z.string().min(1).describe('who we are to the endpoint'),
  client_secret: secretReference.describe('sent as Basic'),
  issuer: z.string().min(1).optional().describe('exact value of iss in the answer; default: not looked at'),
  audience: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('the answer must name at least one of these in aud; default: not looked at'),
  id_claim: z.string().min(1).default('sub').describe('member with the id of who is asking'),
  roles_claim: z.string().min(1).default('scope').describe('member with the roles: a list, or a string with spaces'),
  cache: duration.default(60_000).describe('how long an answer is believed: so long a revoked token may live on'),
  timeout: duration.default(3_000).describe('for the endpoint to answer'),
})
export type IntrospectionOptions = Frozen<z.output<typeof introspectionOptions>>

const ownPath = z.string().regex(/^(\/[A-Za-z0-9._~-]+)+$/, 'must be a path of plain segments, for example /login')

export const oidcOptions = z.strictObject({
  issuer: name.describe('whose people log in: a name of issuers'),
  client_id: z.string().min(1).max(256).describe('who we are to the issuer'),
  client_secret: secretReference.optional().describe('of the client; a public client has neither this nor client_key'),
  client_key: secretReference
    .optional()
    .describe('private key in PEM, instead of client_secret: the client signs who it is (private_key_jwt)'),
  client_key_id: z.string().min(1).max(256).optional().describe('kid of client_key at the issuer'),
  redirect: z
    .string()
    .regex(/^https?:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?$/, 'must be https://host or https://host:port, and no path')
    .describe('what browsers call this gateway; the issuer has to know this with /login/callback behind it'),
  insecure_http: insecureHttp.describe('INSECURE: let redirect be plain HTTP'),
  key: secretReference.describe('base64 of 32 bytes, the same at every node: seals what browsers keep of a login'),
  scopes: z
    .array(z.string().regex(/^[!#-[\]-~]{1,128}$/, 'must be a scope: visible ASCII without quotes'))
    .default([])
    .describe('what is asked for besides openid'),
  userinfo: z
    .boolean()
    .default(false)
    .describe('ask the userinfo endpoint too: its claims are taken before those of the ID token'),
  session: timeLimit
    .refine(milliseconds => milliseconds <= 604_800_000, 'must be at most 7d')
    .default(28_800_000)
    .describe('after this a person logs in again, whatever tokens.ttl and tokens.lifetime permit'),
  login: ownPath
    .default('/login')
    .describe('GET begins a login, with return_to as where to go then; the issuer answers at /callback below it'),
  logout: ownPath.default('/logout').describe('POST ends the session; GET shows a page with a button'),
  after_logout: ownPath
    .optional()
    .describe('where a browser ends up then; default: /done below logout, a page of the gateway'),
  backchannel_logout: z
    .boolean()
    .default(false)
    .describe('the issuer may end sessions: POST of /backchannel below logout (needs id_claim: sub)'),
})
export type OidcOptions = Frozen<z.output<typeof oidcOptions>>

/** Options of mechanisms that have any. Without defaults: what has none must be configured before a host rule may name it. */
export const mechanismsOptions = z.strictObject({
  basic: basicOptions.prefault({}).describe('name and password in each request (RFC 7617)'),
  jwt: jwtHttpOptions.prefault({}).describe('where a request carries a token of an issuer'),
  digest: digestOptions.optional().describe('name and proof of a password (RFC 7616)'),
  'api-key': apiKeyOptions.optional().describe('long random keys of programs'),
  introspection: introspectionOptions.optional().describe('tokens that their issuer is asked about (RFC 7662)'),
  oidc: oidcOptions.optional().describe('people with a browser: they log in at an OpenID provider'),
  trust: trustOptions.optional().describe('INSECURE: who a request without any credential is'),
  identity: fixedIdentityOptions.optional().describe('INSECURE: who every request is, whatever it brings; for tests'),
})
export type MechanismsOptions = Frozen<z.output<typeof mechanismsOptions>>

const addressCondition = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const reading = parseAddressCondition(text)
    if (reading.kind === 'problem') context.addIssue({ code: 'custom', message: reading.message })
  })

/** YAML before 1.2, and whoever comes from it, reads `on` and `off` as true and false: both mean the same here. */
const tlsCondition = z.union([z.enum(['required', 'on', 'off', 'optional']), z.boolean()]).transform(value => {
  switch (value) {
    case 'required':
    case 'on':
    case true:
      return 'required'
    case 'off':
    case false:
      return 'off'
    case 'optional':
      return undefined
  }
})

/** One row of the ordered list, where plug-ins have these mechanisms: the first row whose every condition holds decides; none: refused. */
export function hostRuleOptionsWith(plugged: readonly PluggedMechanism[]) {
  return z.strictObject({
    name: name.optional().describe('for the audit trail and bawn explain; default: its place in the list'),
    door: oneOrMany(z.enum(['http', 'postgres']))
      .optional()
      .describe('default: both'),
    user: oneOrMany(z.string().min(1)).optional().describe('exact user name as the client states it (PostgreSQL)'),
    address: oneOrMany(addressCondition)
      .optional()
      .describe(
        'address or CIDR, IPv4 or IPv6; "local"; a host name, for the addresses that DNS has for it; ".example", for addresses whose own name ends so',
      ),
    tls: tlsCondition
      .optional()
      .describe('required or on: only over TLS; off: only without; optional, the default: either'),
    database: oneOrMany(z.string().min(1)).optional().describe('a name of databases (PostgreSQL)'),
    route: oneOrMany(z.string().startsWith('/'))
      .optional()
      .describe('path of a route, as it stands in routes; /admin/* for every route below (HTTP)'),
    use: z
      .array(z.enum([...usableMechanisms, ...plugged]))
      .describe('mechanisms that may be used, in order; empty refuses'),
  })
}
export const hostRuleOptions = hostRuleOptionsWith([])
export type HostRuleOptions = Frozen<z.output<ReturnType<typeof hostRuleOptionsWith>>>
