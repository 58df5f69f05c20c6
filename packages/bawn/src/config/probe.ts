import { X509Certificate } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type DatabaseCredential, type DatabaseTls, type RevocationOptions, secretReference } from '../option.ts'
import { missingLibrary, secretsOf } from '../outbound/option.ts'
import { isNameOf } from '../server-names.ts'
import { isPluginEntry, pluggedMechanisms } from './kinds.ts'
import type { Config } from './load.ts'
import type { ConfigPath, Problem } from './problem.ts'
import { sortProblems } from './problem.ts'
import { absoluteReference, resolveSecret, SecretError } from './secret.ts'
import type { Source } from './yaml.ts'

/**
 * Looks at everything outside the file that it names: certificates, key sets, secrets. `bawn check` and a start do this, so that a
 * misspelt path has a line too. Nothing is kept; of contents, only the names in certificates are looked at.
 *
 * @param environment where `env:` references are looked up: `process.env`
 * @returns errors (missing, unreadable) and warnings (a secret that others may read), in order of the file
 */
export function probeFiles(config: Config, source: Source, environment: NodeJS.ProcessEnv): readonly Problem[] {
  const found: Problem[] = []
  const add = (level: Problem['level'], path: ConfigPath, message: string, suggestion?: string): void => {
    found.push(source.problem(level, source.locate(path, 'value'), path, message, suggestion))
  }
  const file = (path: ConfigPath, name: string | undefined): void => {
    if (name === undefined) return
    try {
      accessSync(name, constants.R_OK)
    } catch {
      add('error', path, existsSync(name) ? `${name} cannot be read by this user` : `there is no file ${name}`)
    }
  }
  const executable = (path: ConfigPath, name: string): void => {
    try {
      accessSync(name, constants.X_OK)
    } catch {
      add('error', path, existsSync(name) ? `${name} cannot be run by this user` : `there is no program ${name}`)
    }
  }
  const lists = (path: ConfigPath, revocation: RevocationOptions | undefined): void => {
    for (const [place, name] of (revocation?.crl?.file ?? []).entries())
      file([...path, 'revocation', 'crl', 'file', place], name)
  }
  const secret = (path: ConfigPath, reference: string): void => {
    try {
      const { warning } = resolveSecret(reference, environment)
      if (warning !== undefined) add('warning', path, warning)
    } catch (error) {
      if (!(error instanceof SecretError)) throw error
      add('error', path, error.message, error.spec.hint)
    }
  }
  const server = (
    path: ConfigPath,
    { tls, login }: { readonly tls: DatabaseTls; readonly login: DatabaseCredential },
  ): void => {
    for (const key of ['ca', 'certificate', 'key'] as const) {
      if (tls !== 'off') file([...path, 'tls', key], tls[key])
    }
    if (login.password !== undefined) secret([...path, 'login', 'password'], login.password)
    const program = login.password_command?.run[0]
    if (program?.includes('/') === true) executable([...path, 'login', 'password_command', 'run', 0], program)
  }
  for (const [name, listener] of Object.entries(config.listeners)) {
    if (listener.door === 'admin' || !listener.tls) continue
    for (const key of ['certificate', 'key', 'client_ca'] as const)
      file(['listeners', name, 'tls', key], listener.tls[key])
    lists(['listeners', name, 'tls'], listener.tls.revocation)
    for (const [place, one] of listener.tls.certificates.entries()) {
      const path = ['listeners', name, 'tls', 'certificates', place]
      for (const key of ['certificate', 'key'] as const) file([...path, key], one[key])
      for (const [position, message] of uncoveredNames(one)) add('error', [...path, 'names', position], message)
    }
  }
  for (const [name, database] of Object.entries(config.databases)) {
    server(['databases', name], database)
    if (database.tls !== 'off') lists(['databases', name, 'tls'], database.tls.revocation)
  }
  for (const [name, upstream] of Object.entries(config.upstreams)) {
    const path = ['upstreams', name]
    file([...path, 'ca'], upstream.ca)
    for (const key of ['certificate', 'key'] as const) {
      file([...path, 'client_certificate', key], upstream.client_certificate?.[key])
    }
    for (const { key, reference } of secretsOf(upstream.credentials)) secret([...path, 'credentials', key], reference)
    const { credentials } = upstream
    if (credentials?.kind === 'client-credentials' || credentials?.kind === 'google')
      file([...path, 'credentials', 'ca'], credentials.ca)
    const missing = missingLibrary(credentials)
    if (missing !== undefined) add('error', [...path, 'credentials'], missing)
  }
  for (const [place, { errors }] of config.routes.entries()) {
    for (const [status, page] of Object.entries(errors)) file(['routes', place, 'errors', status, 'file'], page.file)
  }
  for (const [name, store] of Object.entries(config.accounts)) {
    const path = ['accounts', name]
    switch (store.kind) {
      // Made when it is not there.
      case 'sqlite':
        break
      case 'file':
        file([...path, 'path'], store.path)
        break
      case 'postgres':
      case 'postgres-roles':
        server(path, store)
        break
      case 'mongo':
        if (!store.url.startsWith('mongodb')) secret([...path, 'url'], store.url)
        if (store.password !== undefined) secret([...path, 'password'], store.password)
        if (store.first_user !== undefined) secret([...path, 'first_user', 'password'], store.first_user.password)
        if (store.tls === 'off') break
        for (const key of ['ca', 'certificate', 'key'] as const) file([...path, 'tls', key], store.tls[key])
        break
    }
  }
  for (const [name, issuer] of Object.entries(config.issuers)) {
    const { jwks, ca, secret: shared, former_secrets: former, decryption } = issuer
    const path = ['issuers', name]
    if (typeof jwks === 'string' && !/^https?:/i.test(jwks)) file([...path, 'jwks'], jwks)
    file([...path, 'ca'], ca)
    if (shared !== undefined) secret([...path, 'secret'], shared)
    for (const [place, reference] of former.entries()) secret([...path, 'former_secrets', place], reference)
    for (const [place, reference] of (decryption?.keys ?? []).entries())
      secret([...path, 'decryption', 'keys', place], reference)
  }
  const { digest, introspection, oidc } = config.mechanisms
  if (introspection) secret(['mechanisms', 'introspection', 'client_secret'], introspection.client_secret)
  for (const key of ['client_secret', 'client_key', 'key'] as const) {
    const reference = oidc?.[key]
    if (reference !== undefined) secret(['mechanisms', 'oidc', key], reference)
  }
  if (digest?.nonce_key !== undefined) secret(['mechanisms', 'digest', 'nonce_key'], digest.nonce_key)
  for (const [name, user] of Object.entries(digest?.users ?? {})) {
    for (const key of ['ha1_sha256', 'ha1_sha512_256', 'ha1_md5'] as const) {
      if (user[key] !== undefined) secret(['mechanisms', 'digest', 'users', name, key], user[key])
    }
  }
  for (const [name, { key, other_keys: others }] of Object.entries(config.signing)) {
    secret(['signing', name, 'key'], key)
    for (const [place, reference] of others.entries()) secret(['signing', name, 'other_keys', place], reference)
  }
  const { tokens } = config
  if (tokens?.kind === 'signed') {
    secret(['tokens', 'key'], tokens.key)
    for (const [place, reference] of tokens.former_keys.entries()) secret(['tokens', 'former_keys', place], reference)
  }
  const stores = [
    [
      tokens?.kind === 'signed' ? ['tokens', 'revocations'] : ['tokens'],
      tokens?.kind === 'signed' ? tokens.revocations : tokens,
    ],
    [['revocations'], config.revocations],
    [['rate_limits'], config.rate_limits],
  ] as const
  for (const [path, redis] of stores) {
    if (redis?.kind !== 'redis') continue
    if (redis.password !== undefined) secret([...path, 'password'], redis.password)
    file([...path, 'ca'], redis.ca)
  }
  const { guess_key: guessKey } = config.rate_limits ?? {}
  if (guessKey !== undefined) secret(['rate_limits', 'guess_key'], guessKey)
  for (const { path, reference } of writtenReferences(config, dirname(resolve(source.file)))) secret(path, reference)
  secret(['keys', 'master'], config.keys.master)
  return sortProblems(found)
}

/** Names that clients would refuse the certificate for. What cannot be read as one is told by the start, in OpenSSL's words. */
function uncoveredNames({
  names,
  certificate: file,
}: {
  readonly names: readonly string[]
  readonly certificate: string
}) {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(readFileSync(file))
  } catch {
    return []
  }
  return [...names.entries()]
    .filter(([, name]) => !isNameOf(certificate, name))
    .map(([position, name]) => [position, `${file} is no certificate for ${name}`] as const)
}

/** Secret references in what plug-ins read: there too, a text that begins so is one. */
function writtenReferences(config: Config, folder: string) {
  const found: { readonly path: ConfigPath; readonly reference: string }[] = []
  const visit = (value: unknown, path: ConfigPath): void => {
    if (typeof value === 'string' && secretReference.safeParse(value).success) {
      found.push({ path, reference: absoluteReference(value, folder) })
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value))
        visit(inner, [...path, Array.isArray(value) ? Number(key) : key])
    }
  }
  for (const [name, entry] of Object.entries(config.accounts)) {
    if (isPluginEntry(entry)) visit(entry.written, ['accounts', name])
  }
  for (const { name, written } of pluggedMechanisms(config.mechanisms)) visit(written, ['mechanisms', name])
  if (isPluginEntry(config.tokens)) visit(config.tokens.written, ['tokens'])
  for (const [name, { checks }] of Object.entries(config.issuers)) visit(checks, ['issuers', name, 'checks'])
  return found
}
