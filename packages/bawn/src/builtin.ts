import { openFileAccounts } from './accounts/file.ts'
import { openMongoStore, openPostgresStore } from './accounts/open.ts'
import {
  fileStoreOptions,
  mongoStoreOptions,
  postgresRolesOptions,
  postgresStoreOptions,
  type StoreOptionsOf,
  sqliteStoreOptions,
} from './accounts/option.ts'
import { openServerRoles } from './accounts/server-roles.ts'
import { openSqliteAccounts } from './accounts/sqlite.ts'
import { createApiKeyMechanism } from './authn/api-key.ts'
import { createBasicMechanism } from './authn/basic.ts'
import { createBearerMechanism } from './authn/bearer.ts'
import { createDigestMechanism } from './authn/digest.ts'
import { parseNonceKey } from './authn/digest-nonce.ts'
import { digestUsers } from './authn/digest-users.ts'
import { createIdentityMechanism } from './authn/fixed-identity.ts'
import { createHttpTrustMechanism } from './authn/http-trust.ts'
import { createIntrospectionMechanism } from './authn/introspection.ts'
import {
  type ApiKeyOptions,
  apiKeyOptions,
  asksAccounts,
  type BasicOptions,
  basicOptions,
  type DigestOptions,
  digestOptions,
  type FixedIdentityOptions,
  fixedIdentityOptions,
  type IntrospectionOptions,
  introspectionOptions,
  type JwtHttpOptions,
  jwtHttpOptions,
  type TrustOptions,
  trustOptions,
} from './authn/option.ts'
import { createDatabaseQuery } from './database-query.ts'
import { databaseTargets } from './database-target.ts'
import type { Plugin } from './plugin.ts'
import type {
  TrustedAccountStoreKind,
  TrustedMechanismKind,
  TrustedTokenCheckKind,
  TrustedTokenManagerKind,
} from './plugins/trusted.ts'
import { DatabaseHosts } from './postgres/hosts.ts'
import { processSecret } from './process-secret.ts'
import { openKeptTokens, openRedisManager, openSignedManager, openSqliteManager } from './tokens/open.ts'
import {
  commonTokenKeys,
  memoryTokensOptions,
  redisTokensOptions,
  signedTokensOptions,
  sqliteTokensOptions,
  type TokensOptionsOf,
} from './tokens/option.ts'

// What is in the box, as a plug-in like any other. Not in here: mechanisms that have no options of their own and are made of other
// sections (certificate, token: compose-mechanisms.ts), oidc, which comes with pages of its own (compose-login.ts), and those that speak with a PostgreSQL client (compose.ts).

const sqliteStore: TrustedAccountStoreKind<StoreOptionsOf<'sqlite'>> = {
  kind: 'sqlite',
  options: sqliteStoreOptions.omit({ kind: true }),
  open: ({ path }, { name, clock }) => openSqliteAccounts({ name, path, clock }),
}

const fileStore: TrustedAccountStoreKind<StoreOptionsOf<'file'>> = {
  kind: 'file',
  options: fileStoreOptions.omit({ kind: true }),
  open: ({ path, format, roles }, { name }) =>
    openFileAccounts({ name, path, format, roles, now: () => performance.now() }),
}

const postgresStore: TrustedAccountStoreKind<StoreOptionsOf<'postgres'>> = {
  kind: 'postgres',
  options: postgresStoreOptions.omit({ kind: true }),
  open: openPostgresStore,
}

const mongoStore: TrustedAccountStoreKind<StoreOptionsOf<'mongo'>> = {
  kind: 'mongo',
  options: mongoStoreOptions.omit({ kind: true }),
  open: openMongoStore,
}

const postgresRoles: TrustedAccountStoreKind<StoreOptionsOf<'postgres-roles'>> = {
  kind: 'postgres-roles',
  options: postgresRolesOptions.omit({ kind: true }),
  open: (options, { name, secret }) => {
    const [target, ...others] = databaseTargets(`account store ${name}`, options, secret)
    const hosts =
      others.length === 0
        ? undefined
        : new DatabaseHosts([target, ...others], { replicas: false, now: () => performance.now(), onEvent: () => {} })
    const asked = createDatabaseQuery(hosts ?? target, {
      applicationName: 'bawn: accounts',
      timeoutMs: options.query_timeout,
      searchPath: 'pg_catalog',
    })
    const { function: verifierOf, memberships, roles, login } = options
    return openServerRoles({
      name,
      query: asked.query,
      function: verifierOf,
      memberships,
      roles,
      // With a certificate alone there is nothing that only the gateway knows: then decoys change with the process.
      secret:
        login.password === undefined ? processSecret('decoys of server roles').toString('hex') : secret(login.password),
      close: asked.close,
    })
  },
}

const memoryTokens: TrustedTokenManagerKind<TokensOptionsOf<'memory'>> = {
  kind: 'memory',
  options: memoryTokensOptions.omit(commonTokenKeys),
  open: (options, surroundings) => openKeptTokens('memory', options, surroundings.memory, surroundings),
}

const sqliteTokens: TrustedTokenManagerKind<TokensOptionsOf<'sqlite'>> = {
  kind: 'sqlite',
  options: sqliteTokensOptions.omit(commonTokenKeys),
  open: openSqliteManager,
}

const redisTokens: TrustedTokenManagerKind<TokensOptionsOf<'redis'>> = {
  kind: 'redis',
  options: redisTokensOptions.omit(commonTokenKeys),
  open: openRedisManager,
}

const signedTokens: TrustedTokenManagerKind<TokensOptionsOf<'signed'>> = {
  kind: 'signed',
  options: signedTokensOptions.omit(commonTokenKeys),
  open: openSignedManager,
}

const jwt: TrustedMechanismKind<JwtHttpOptions> = {
  kind: 'jwt',
  doors: ['http'],
  options: jwtHttpOptions,
  carries: ({ header, cookie }) => ({ headers: listOf(header?.toLowerCase()), cookies: listOf(cookie) }),
  create: (options, { issuers, leavesOpaque }) => ({
    http: issuers && createBearerMechanism(issuers, options, leavesOpaque),
  }),
}

const basic: TrustedMechanismKind<BasicOptions> = {
  kind: 'basic',
  doors: ['http'],
  options: basicOptions,
  create: (options, { passwords }) => ({ http: passwords && createBasicMechanism(options, passwords) }),
}

const digest: TrustedMechanismKind<DigestOptions> = {
  kind: 'digest',
  doors: ['http'],
  options: digestOptions,
  create: (options, { throttle, secret, stores, nonces }) => {
    const { realm, algorithms, userhash, nonce_lifetime: nonceLifetimeMs, nonce_key: key } = options
    const nonceKey = key === undefined ? undefined : parseNonceKey(secret(key), realm)
    const settings = { realm, algorithms, userhash, nonceLifetimeMs, nonceKey, nonces, throttle }
    const asked = asksAccounts(options) ? stores : []
    return { http: createDigestMechanism(digestUsers(options, secret), { ...settings, stores: asked }) }
  },
}

const apiKey: TrustedMechanismKind<ApiKeyOptions> = {
  kind: 'api-key',
  doors: ['http'],
  options: apiKeyOptions,
  carries: ({ header, query }) => ({
    headers: listOf(header === 'off' ? undefined : header.toLowerCase()),
    query: listOf(query),
  }),
  judgesOpaque: ({ bearer }) => bearer,
  create: (options, { throttle, leavesOpaque }) => ({ http: createApiKeyMechanism(options, throttle, leavesOpaque) }),
}

const introspection: TrustedMechanismKind<IntrospectionOptions> = {
  kind: 'introspection',
  doors: ['http'],
  options: introspectionOptions,
  judgesOpaque: () => true,
  create: (options, { fetch, clock, secret, throttle }) => {
    const clientSecret = secret(options.client_secret)
    return { http: createIntrospectionMechanism(options, { fetch, clock, clientSecret, throttle }) }
  },
}

const trust: TrustedMechanismKind<TrustOptions> = {
  kind: 'trust',
  doors: ['http'],
  options: trustOptions,
  create: options => ({ http: createHttpTrustMechanism(options) }),
}

const identity: TrustedMechanismKind<FixedIdentityOptions> = {
  kind: 'identity',
  doors: ['http'],
  options: fixedIdentityOptions,
  create: options => ({ http: createIdentityMechanism(options) }),
}

function listOf(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text]
}

const lists = {
  accountStores: [sqliteStore, postgresStore, mongoStore, fileStore, postgresRoles],
  tokenManagers: [memoryTokens, sqliteTokens, redisTokens, signedTokens],
  mechanisms: [jwt, basic, digest, apiKey, introspection, trust, identity],
} as const satisfies Partial<Plugin>

export const builtin: Plugin = { name: 'builtin', api: 1, ...lists }

function byKind<Kind extends { readonly kind: string }>(kinds: readonly Kind[]): ReadonlyMap<string, Kind> {
  return new Map(kinds.map(kind => [kind.kind, kind]))
}

/** The same, by name. No check of tokens is in the box. */
export const builtinKinds = {
  accountStores: byKind<TrustedAccountStoreKind>(lists.accountStores),
  tokenManagers: byKind<TrustedTokenManagerKind>(lists.tokenManagers),
  mechanisms: byKind<TrustedMechanismKind>(lists.mechanisms),
  tokenChecks: byKind<TrustedTokenCheckKind>([]),
}
