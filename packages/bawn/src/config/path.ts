import { dirname, resolve } from 'node:path'
import type { ConfigOptions, ListenerOptions } from './schema.ts'

/** Every option that names a file, made absolute. Which options these are stands here and nowhere else. */
export function absolutePaths(config: ConfigOptions, file: string): ConfigOptions {
  const folder = dirname(file)
  const path = (text: string): string => resolve(folder, text)
  const optional = (text: string | undefined): string | undefined => (text === undefined ? undefined : path(text))
  const reference = (text: string): string => (text.startsWith('file:') ? `file:${path(text.slice(5))}` : text)
  const each = <T>(record: Record<string, T>, change: (entry: T) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(record).map(([name, entry]) => [name, change(entry)]))

  const listener = (entry: ListenerOptions): ListenerOptions => {
    if (entry.door === 'admin') return { ...entry, token_file: path(entry.token_file) }
    if (!entry.tls) return entry
    const { certificate, key, client_ca } = entry.tls
    return {
      ...entry,
      tls: { ...entry.tls, certificate: path(certificate), key: path(key), client_ca: optional(client_ca) },
    }
  }
  return {
    ...config,
    listeners: each(config.listeners, listener),
    databases: each(config.databases, entry => ({
      ...entry,
      tls: entry.tls === 'off' ? entry.tls : { ...entry.tls, ca: optional(entry.tls.ca) },
      login: { ...entry.login, password: reference(entry.login.password) },
    })),
    upstreams: each(config.upstreams, entry => ({ ...entry, ca: optional(entry.ca) })),
    accounts: each(config.accounts, entry => ({ ...entry, path: path(entry.path) })),
    issuers: each(config.issuers, entry => ({
      ...entry,
      jwks: /^https?:/i.test(entry.jwks) ? entry.jwks : path(entry.jwks),
    })),
    keys: {
      ...config.keys,
      store: { ...config.keys.store, path: path(config.keys.store.path) },
      master: reference(config.keys.master),
    },
    audit: { ...config.audit, file: path(config.audit.file) },
  }
}
