import { dirname, resolve } from 'node:path'
import type { AccountStoreOptions } from '../accounts/option.ts'
import type { IssuerOptions, MechanismsOptions } from '../authn/option.ts'
import type { UpstreamOptions } from '../http/option.ts'
import type { DatabaseTls, PasswordCommandOptions, RedisOptions, RevocationOptions } from '../option.ts'
import type { ConfigOptions, ListenerOptions } from './schema.ts'
import { absoluteReference } from './secret.ts'

/** Every option that names a file, made absolute. Which options these are stands here and nowhere else. */
export function absolutePaths(config: ConfigOptions, file: string): ConfigOptions {
  const folder = dirname(file)
  const path = (text: string): string => resolve(folder, text)
  const optional = (text: string | undefined): string | undefined => (text === undefined ? undefined : path(text))
  const reference = (text: string): string => absoluteReference(text, folder)
  const each = <T>(record: Record<string, T>, change: (entry: T) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(record).map(([name, entry]) => [name, change(entry)]))

  const listener = (entry: ListenerOptions): ListenerOptions => {
    if (entry.door === 'admin') return { ...entry, token_file: path(entry.token_file) }
    if (!entry.tls) return entry
    const { certificate, key, client_ca } = entry.tls
    const tls = { ...entry.tls, certificate: path(certificate), key: path(key), client_ca: optional(client_ca) }
    const certificates = tls.certificates.map(one => ({
      ...one,
      certificate: path(one.certificate),
      key: path(one.key),
    }))
    return { ...entry, tls: { ...tls, certificates, revocation: revocationPaths(tls.revocation, path) } }
  }
  return {
    ...config,
    listeners: each(config.listeners, listener),
    databases: each(config.databases, entry => ({
      ...entry,
      tls:
        entry.tls === 'off'
          ? entry.tls
          : { ...databaseTlsPaths(entry.tls, path), revocation: revocationPaths(entry.tls.revocation, path) },
      login: {
        ...entry.login,
        password: entry.login.password && reference(entry.login.password),
        password_command: commandPath(entry.login.password_command, path),
      },
      firewall: entry.firewall && {
        ...entry.firewall,
        learn: entry.firewall.learn && { ...entry.firewall.learn, file: path(entry.firewall.learn.file) },
      },
    })),
    upstreams: each(config.upstreams, entry => upstreamPaths(entry, path, reference)),
    routes: config.routes.map(route => ({
      ...route,
      errors: each(route.errors, page => ({ ...page, file: optional(page.file) })),
    })),
    accounts: each(config.accounts, entry => (entry.kind === 'plugin' ? entry : accountPaths(entry, path, reference))),
    issuers: each(config.issuers, entry => issuerPaths(entry, path, reference)),
    mechanisms: mechanismPaths(config.mechanisms, reference),
    signing: each(config.signing, entry => ({
      ...entry,
      key: reference(entry.key),
      other_keys: entry.other_keys.map(reference),
    })),
    tokens: config.tokens && tokenPaths(config.tokens, path, reference),
    rate_limits: config.rate_limits && {
      ...storePaths(config.rate_limits, path, reference),
      guess_key: config.rate_limits.guess_key && reference(config.rate_limits.guess_key),
    },
    revocations: config.revocations && storePaths(config.revocations, path, reference),
    keys: {
      ...config.keys,
      store: { ...config.keys.store, path: path(config.keys.store.path) },
      master: reference(config.keys.master),
    },
    audit: { ...config.audit, file: path(config.audit.file) },
    access_log: config.access_log && { ...config.access_log, file: optional(config.access_log.file) },
  }
}

/** A bare name is looked up in PATH, as execvp does it. */
function commandPath(
  command: PasswordCommandOptions | undefined,
  path: (text: string) => string,
): PasswordCommandOptions | undefined {
  const [program = '', ...args] = command?.run ?? []
  return command && { ...command, run: [program.includes('/') ? path(program) : program, ...args] }
}

function databaseTlsPaths<Tls extends Exclude<DatabaseTls, 'off'>>(tls: Tls, path: (text: string) => string): Tls {
  const { ca, certificate, key } = tls
  return { ...tls, ca: ca && path(ca), certificate: certificate && path(certificate), key: key && path(key) }
}

function upstreamPaths(
  upstream: UpstreamOptions,
  path: (text: string) => string,
  reference: (text: string) => string,
): UpstreamOptions {
  const { ca, client_certificate: shown, credentials } = upstream
  const made = <Value>(value: Value | undefined, of: (value: Value) => Value): Value | undefined =>
    value === undefined ? undefined : of(value)
  return {
    ...upstream,
    ca: made(ca, path),
    client_certificate: shown && { certificate: path(shown.certificate), key: path(shown.key) },
    credentials: made(credentials, given => {
      switch (given.kind) {
        case 'basic':
        case 'ntlm':
          return { ...given, password: reference(given.password) }
        case 'api-key':
          return { ...given, key: reference(given.key) }
        case 'bearer':
          return { ...given, token: reference(given.token) }
        case 'google':
          return { ...given, ca: made(given.ca, path), credentials: made(given.credentials, reference) }
        case 'aws-sigv4':
          return {
            ...given,
            access_key_id: reference(given.access_key_id),
            secret_access_key: reference(given.secret_access_key),
            session_token: made(given.session_token, reference),
          }
        case 'client-credentials':
          return {
            ...given,
            ca: made(given.ca, path),
            client_secret: made(given.client_secret, reference),
            private_key: made(given.private_key, reference),
          }
      }
    }),
  }
}

function issuerPaths(
  issuer: IssuerOptions,
  path: (text: string) => string,
  reference: (text: string) => string,
): IssuerOptions {
  const { jwks, ca, secret, former_secrets: former, decryption } = issuer
  return {
    ...issuer,
    ...(typeof jwks === 'string' && !/^https?:/i.test(jwks) ? { jwks: path(jwks) } : {}),
    ...(ca === undefined ? {} : { ca: path(ca) }),
    ...(secret === undefined ? {} : { secret: reference(secret) }),
    former_secrets: former.map(reference),
    ...(decryption === undefined ? {} : { decryption: { ...decryption, keys: decryption.keys.map(reference) } }),
  }
}

function accountPaths(
  store: AccountStoreOptions,
  path: (text: string) => string,
  reference: (text: string) => string,
): AccountStoreOptions {
  const optional = (text: string | undefined): string | undefined => (text === undefined ? undefined : path(text))
  switch (store.kind) {
    case 'sqlite':
    case 'file':
      return { ...store, path: path(store.path) }
    case 'postgres':
    case 'postgres-roles': {
      const password = store.login.password && reference(store.login.password)
      return {
        ...store,
        tls: store.tls === 'off' ? store.tls : databaseTlsPaths(store.tls, path),
        login: { ...store.login, password, password_command: commandPath(store.login.password_command, path) },
      }
    }
    case 'mongo': {
      const { tls, first_user: first } = store
      return {
        ...store,
        url: reference(store.url),
        password: store.password === undefined ? undefined : reference(store.password),
        tls:
          tls === 'off'
            ? tls
            : { ca: optional(tls.ca), certificate: optional(tls.certificate), key: optional(tls.key) },
        first_user: first && { ...first, password: reference(first.password) },
      }
    }
  }
}

function revocationPaths(
  options: RevocationOptions | undefined,
  path: (text: string) => string,
): RevocationOptions | undefined {
  if (options?.crl?.file === undefined) return options
  return { ...options, crl: { ...options.crl, file: options.crl.file.map(path) } }
}

function mechanismPaths(mechanisms: MechanismsOptions, reference: (text: string) => string): MechanismsOptions {
  const { digest, introspection, oidc } = mechanisms
  const optional = (text: string | undefined): string | undefined => (text === undefined ? undefined : reference(text))
  const users = Object.entries(digest?.users ?? {}).map(([name, user]) => [
    name,
    {
      ...user,
      ha1_sha256: optional(user.ha1_sha256),
      ha1_sha512_256: optional(user.ha1_sha512_256),
      ha1_md5: optional(user.ha1_md5),
    },
  ])
  return {
    ...mechanisms,
    digest: digest && { ...digest, nonce_key: optional(digest.nonce_key), users: Object.fromEntries(users) },
    introspection: introspection && { ...introspection, client_secret: reference(introspection.client_secret) },
    oidc: oidc && {
      ...oidc,
      client_secret: optional(oidc.client_secret),
      client_key: optional(oidc.client_key),
      key: reference(oidc.key),
    },
  }
}

type TokensEntry = NonNullable<ConfigOptions['tokens']>

function tokenPaths(
  tokens: TokensEntry,
  path: (text: string) => string,
  reference: (text: string) => string,
): TokensEntry {
  switch (tokens.kind) {
    case 'memory':
    // What a path is in the options of a plug-in, it knows alone.
    case 'plugin':
      return tokens
    case 'sqlite':
      return { ...tokens, path: path(tokens.path) }
    case 'redis':
      return storePaths(tokens, path, reference)
    case 'signed': {
      const { key, former_keys: former, revocations } = tokens
      return {
        ...tokens,
        key: reference(key),
        former_keys: former.map(reference),
        revocations: storePaths(revocations, path, reference),
      }
    }
  }
}

type FileOptions = { readonly kind: 'sqlite'; readonly path: string }

function storePaths<Options extends FileOptions | (RedisOptions & { readonly kind: 'redis' })>(
  options: Options,
  path: (text: string) => string,
  reference: (text: string) => string,
): Options {
  if (options.kind === 'sqlite') return { ...options, path: path(options.path) }
  return {
    ...options,
    password: options.password === undefined ? undefined : reference(options.password),
    ca: options.ca === undefined ? undefined : path(options.ca),
  }
}
