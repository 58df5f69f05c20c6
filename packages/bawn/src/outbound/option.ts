import { createRequire } from 'node:module'
import { z } from 'zod'
import { type Frozen, secretReference, timeLimit } from '../option.ts'

const headerName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'must be the name of a header')

const clientCredentialsOptions = z
  .strictObject({
    kind: z.literal('client-credentials'),
    token_url: z
      .string()
      .regex(/^https?:\/\/[^\s#]+$/, 'must be an https URL')
      .describe('token endpoint of the authorization server'),
    insecure_http: z.boolean().default(false).describe('INSECURE: ask a token endpoint over plain HTTP'),
    ca: z.string().optional().describe('PEM file of authorities of the token endpoint, instead of the system ones'),
    client_id: z.string().min(1).describe('who the gateway is there'),
    client_secret: secretReference.optional().describe('of the gateway there'),
    private_key: secretReference
      .optional()
      .describe('PEM: the gateway signs who it is (private_key_jwt, RFC 7523) in place of a client_secret'),
    key_id: z.string().min(1).optional().describe('kid of what private_key signs'),
    authentication: z
      .enum(['basic', 'post'])
      .default('basic')
      .describe('where client_secret goes: Authorization: Basic, or the form'),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope'))
      .default([])
      .describe('what the token is to permit'),
    audience: z.string().min(1).optional().describe('sent as audience, for servers that ask for one'),
    resource: z.string().min(1).optional().describe('sent as resource (RFC 8707)'),
    parameters: z.record(z.string().min(1), z.string()).default({}).describe('more of the form'),
    timeout: timeLimit.default(5_000).describe('for the token endpoint to answer'),
  })
  .refine(
    options => (options.client_secret === undefined) !== (options.private_key === undefined),
    'needs client_secret or private_key, and not both',
  )
  .refine(options => options.insecure_http || options.token_url.startsWith('https:'), {
    path: ['token_url'],
    message: 'is not https: tests may say insecure_http',
  })
export type ClientCredentialsOptions = Frozen<z.output<typeof clientCredentialsOptions>>

const scopePart = z.string().regex(/^[a-z0-9-]{1,64}$/, 'must be as AWS writes it, for example eu-central-1')

const awsSigv4Options = z.strictObject({
  kind: z.literal('aws-sigv4'),
  region: scopePart.describe('of the service, for example eu-central-1'),
  service: scopePart.describe('as its signatures name it: execute-api, s3, es, lambda, …'),
  access_key_id: secretReference.describe('who the gateway is there'),
  secret_access_key: secretReference.describe('of the gateway there'),
  session_token: secretReference.optional().describe('of temporary credentials'),
  max_body_bytes: z
    .int()
    .min(0)
    .max(268_435_456)
    .default(1_048_576)
    .describe('of a body, which is kept in memory to be signed; s3 over https takes any whose length is known'),
})
export type AwsSigv4Options = Frozen<z.output<typeof awsSigv4Options>>

const googleOptions = z
  .strictObject({
    kind: z.literal('google'),
    audience: z
      .string()
      .regex(/^[^\s&#\p{Cc}]+$/u, 'must be a URL or a client id')
      .optional()
      .describe('an ID token for it, as Cloud Run, IAP and Functions want; this or scopes'),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+$/, 'must be a scope'))
      .default([])
      .describe('an access token for them, as the APIs of Google want'),
    credentials: secretReference.optional().describe('the JSON key of a service account; this or ambient'),
    ambient: z.boolean().default(false).describe('ask the metadata server of the machine, which is one of Google'),
    header: z
      .enum(['Authorization', 'X-Serverless-Authorization'])
      .default('Authorization')
      .describe('with X-Serverless-Authorization, Authorization stays what it is without credentials'),
    insecure_http: z.boolean().default(false).describe('INSECURE: a token_uri may be plain HTTP'),
    ca: z.string().optional().describe('PEM file of authorities of the token_uri, instead of the system ones'),
    timeout: timeLimit.default(5_000).describe('for a token to come'),
  })
  .refine(
    options => (options.audience === undefined) !== (options.scopes.length === 0),
    'needs audience or scopes, and not both',
  )
  .refine(
    options => (options.credentials === undefined) === options.ambient,
    'needs credentials or ambient: true, and not both',
  )
export type GoogleOptions = Frozen<z.output<typeof googleOptions>>

const ntlmOptions = z.strictObject({
  kind: z.literal('ntlm'),
  user: z
    .string()
    .regex(/^(?:[^\\\p{Cc}]{0,255}\\)?[^\\\p{Cc}]{1,255}$/u, 'must be user or DOMAIN\\user')
    .describe('who the gateway is there: user, or DOMAIN\\user'),
  password: secretReference.describe('of the gateway there'),
})
export type NtlmOptions = Frozen<z.output<typeof ntlmOptions>>

/** How the gateway proves to an upstream who it is. It goes in place of whatever the caller sent. */
export const outboundCredentialsOptions = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('basic'),
    user: z
      .string()
      .regex(/^[^:\p{Cc}]+$/u, 'has no ":" and no control characters')
      .describe('who the gateway is there'),
    password: secretReference.describe('of the gateway there'),
  }),
  z.strictObject({
    kind: z.literal('api-key'),
    header: headerName.default('X-Api-Key').describe('header that carries the key'),
    prefix: z
      .string()
      .regex(/^[ -~]*$/, 'must be visible ASCII')
      .default('')
      .describe('what stands before the key, for example "Token "'),
    key: secretReference.describe('the key'),
  }),
  z.strictObject({ kind: z.literal('bearer'), token: secretReference.describe('a token that does not change') }),
  clientCredentialsOptions,
  awsSigv4Options,
  googleOptions,
  ntlmOptions,
])
export type OutboundCredentialsOptions = Frozen<z.output<typeof outboundCredentialsOptions>>

/** The secrets that a credential is made of, with the keys that name them. */
export function secretsOf(
  options: OutboundCredentialsOptions | undefined,
): readonly { readonly key: string; readonly reference: string }[] {
  switch (options?.kind) {
    case undefined:
      return []
    case 'basic':
    case 'ntlm':
      return [{ key: 'password', reference: options.password }]
    case 'api-key':
      return [{ key: 'key', reference: options.key }]
    case 'bearer':
      return [{ key: 'token', reference: options.token }]
    case 'google':
      return options.credentials === undefined ? [] : [{ key: 'credentials', reference: options.credentials }]
    case 'aws-sigv4':
      return (['access_key_id', 'secret_access_key', 'session_token'] as const).flatMap(key => {
        const reference = options[key]
        return reference === undefined ? [] : [{ key, reference }]
      })
    case 'client-credentials': {
      const { client_secret: secret, private_key: key } = options
      return [
        ...(secret === undefined ? [] : [{ key: 'client_secret', reference: secret }]),
        ...(key === undefined ? [] : [{ key: 'private_key', reference: key }]),
      ]
    }
  }
}

/** What an operator has to install before this kind can work, in words; loads nothing. */
export function missingLibrary(options: OutboundCredentialsOptions | undefined): string | undefined {
  if (options?.kind !== 'google') return undefined
  try {
    createRequire(import.meta.url).resolve('google-auth-library')
    return undefined
  } catch {
    return 'kind: google needs a library that does not come along: npm install google-auth-library@11'
  }
}
