import { isIP } from 'node:net'
import { asksAccounts } from '../authn/option.ts'
import { urlsOf } from '../http/option.ts'
import { type DatabaseTls, parseHostPort } from '../option.ts'
import { mongoHosts } from './check-accounts.ts'
import { doorsOf } from './check-host-rules.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

// Settings that are allowed and weaken security. `bawn check` and `bawn start` say each of them aloud.

/** Does the address stay on this machine? Names other than localhost are taken to leave it. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase()
  if (plain === 'localhost' || plain === '::1') return true
  return isIP(plain) === 4 && plain.startsWith('127.')
}

function unsafeListeners(draft: Draft, report: Report): void {
  for (const [name, listener] of draft.listeners) {
    const believed = listener?.door === 'http' ? (listener.trusted_proxies?.addresses ?? []) : []
    for (const [index, text] of believed.entries()) {
      if (!text.endsWith('/0')) continue
      const message = 'UNSAFE: whoever connects is believed about the address that it says it has'
      const path = ['listeners', name, 'trusted_proxies', 'addresses', index]
      report('warning', path, 'value', message, 'list the proxies, and nobody else')
    }
    const proxies = listener?.door === 'admin' ? [] : (listener?.proxy_protocol?.from ?? [])
    for (const [index, text] of proxies.entries()) {
      if (!text.endsWith('/0')) continue
      const message = 'UNSAFE: whoever connects is believed about the address that it says it has'
      report(
        'warning',
        ['listeners', name, 'proxy_protocol', 'from', index],
        'value',
        message,
        'list the proxies, and nobody else',
      )
    }
    if (!listener || isLoopback(parseHostPort(listener.address).host)) continue
    const path = ['listeners', name, 'address']
    if (listener.door === 'admin') {
      report(
        'warning',
        path,
        'value',
        'UNSAFE: the admin door has no TLS and is reachable from other machines',
        'listen on 127.0.0.1',
      )
      continue
    }
    if (listener.tls) continue
    if (listener.door === 'http') {
      report(
        'warning',
        path,
        'value',
        'UNSAFE: tokens and answers cross the network in clear',
        'add tls, or listen on 127.0.0.1',
      )
      continue
    }
    const clear = draft.host_rules.some(
      rule => rule && doorsOf(rule).includes('postgres') && rule.tls !== 'required' && rule.use.length > 0,
    )
    const what = clear ? 'logins and rows' : 'rows'
    report('warning', path, 'value', `UNSAFE: ${what} cross the network in clear`, 'add tls, or listen on 127.0.0.1')
    for (const mechanism of ['jwt', 'token', 'password'] as const) {
      const at = draft.host_rules.findIndex(
        rule => rule && doorsOf(rule).includes('postgres') && rule.tls !== 'required' && rule.use.includes(mechanism),
      )
      if (at < 0) continue
      const secret = mechanism === 'password' ? 'password' : 'token'
      const message = `over listener ${name}, which has no TLS, ${mechanism} works from this machine only: the ${secret} would cross in clear`
      const suggestion = 'add tls to the listener, or tls: required to this rule'
      report('warning', ['host_rules', at, 'use'], 'key', message, suggestion)
    }
  }
}

/** A server of PostgreSQL elsewhere, without TLS. */
function unencrypted(
  report: Report,
  path: ConfigPath,
  {
    tls,
    host,
    hosts = [],
  }: { readonly tls: DatabaseTls; readonly host?: string | undefined; readonly hosts?: readonly string[] | undefined },
): void {
  if (tls !== 'off') return
  const all = [...(host === undefined ? [] : [host]), ...hosts.map(one => parseHostPort(one).host)]
  const far = all.find(one => !isLoopback(one) && !one.startsWith('/'))
  if (far === undefined) return
  report('warning', [...path, 'tls'], 'key', `UNSAFE: the connection to ${far} is not encrypted`)
}

function unsafeConnections(draft: Draft, report: Report): void {
  for (const [name, database] of draft.databases) {
    if (database) unencrypted(report, ['databases', name], database)
  }
  for (const [name, upstream] of draft.upstreams) {
    if (!upstream) continue
    for (const [place, url] of urlsOf(upstream).entries()) {
      if (!URL.canParse(url)) continue
      const { protocol, hostname } = new URL(url)
      if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) continue
      const path = ['upstreams', name, ...(upstream.urls === undefined ? ['url'] : ['urls', place])]
      report('warning', path, 'value', `UNSAFE: requests to ${hostname} are not encrypted`, 'use https')
    }
  }
  for (const [name, issuer] of draft.issuers) {
    if (issuer?.insecure_http) {
      const message = `UNSAFE: whoever is on the way to ${name} can make tokens that we believe`
      report('warning', ['issuers', name, 'insecure_http'], 'key', message)
    }
    if (issuer?.insecure_without_exp) {
      const message = `UNSAFE: a token of ${name} that says no end is good for ever, for whoever finds it`
      report('warning', ['issuers', name, 'insecure_without_exp'], 'key', message)
    }
  }
}

function unsafePolicies(draft: Draft, report: Report): void {
  for (const [index, route] of draft.routes.entries()) {
    const place = route?.allow.indexOf('anyone') ?? -1
    if (place < 0) continue
    const message = `PUBLIC: ${route?.path} is open to whoever reaches the listener, without any credential`
    report('warning', ['routes', index, 'allow', place], 'value', message)
  }
  for (const [name, database] of draft.databases) {
    if (database?.replication !== undefined) {
      const message = `UNSAFE: whoever may replicate database ${name} reads all of it as it is stored, past fields, grants and the trail`
      report('warning', ['databases', name, 'replication'], 'key', message, 'permit one role of its own, for a service')
    }
    const place = database?.allow.indexOf('anyone') ?? -1
    if (place < 0) continue
    const message = `anyone who can identify may connect to ${name}`
    report('warning', ['databases', name, 'allow', place], 'value', message, 'authenticated says the same more plainly')
  }
}

function unsafeMechanisms(draft: Draft, report: Report): void {
  const { basic, digest, introspection, oidc, 'api-key': apiKey } = draft.mechanisms ?? {}
  const at = (...path: readonly string[]) => ['mechanisms', ...path]
  if (basic?.insecure_http) {
    report('warning', at('basic', 'insecure_http'), 'key', 'UNSAFE: passwords cross the network in clear')
  }
  if (introspection?.insecure_http) {
    const message = 'UNSAFE: whoever is on the way to the endpoint can make tokens that we believe'
    report('warning', at('introspection', 'insecure_http'), 'key', message)
  }
  if (oidc?.insecure_http) {
    report('warning', at('oidc', 'insecure_http'), 'key', 'UNSAFE: whoever is on the way gets every session')
  }
  if (digest !== undefined && asksAccounts(digest)) {
    for (const [name, store] of draft.accounts) {
      if (store?.kind !== 'sqlite' && store?.kind !== 'postgres') continue
      const message = `UNSAFE: accounts.${name} keeps hashes that are as good as the passwords for realm "${digest.realm}", and quickly guessed from`
      report('warning', at('digest'), 'key', message, 'use basic or scram where clients can')
    }
  }
  if (digest?.algorithms.includes('MD5')) {
    report(
      'warning',
      at('digest', 'algorithms'),
      'key',
      'UNSAFE: MD5 values are guessed fast by whoever gets hold of one',
    )
  }
  if (apiKey?.query !== undefined) {
    report(
      'warning',
      at('api-key', 'query'),
      'key',
      'UNSAFE: keys in URLs stay in logs and histories',
      'use the header',
    )
  }
}

function unsafeAccounts(draft: Draft, report: Report): void {
  for (const [name, store] of draft.accounts) {
    const path = ['accounts', name]
    switch (store?.kind) {
      case 'file':
        if (store.format !== 'users_yml') break
        report(
          'warning',
          [...path, 'format'],
          'value',
          `UNSAFE: ${store.path} holds passwords in clear, for whoever can read it or a copy of it`,
          'bawn accounts import, into a store of kind sqlite',
        )
        break
      case 'postgres':
      case 'postgres-roles':
        unencrypted(report, path, store)
        break
      case 'mongo':
        if (store.insecure_clear_passwords) {
          const message = `UNSAFE: collection ${store.collection} may hold passwords in clear, for whoever can read it or a copy of it`
          report('warning', [...path, 'insecure_clear_passwords'], 'key', message)
        }
        // Where the URL is a secret, nobody knows before the start.
        if (store.tls === 'off' && !mongoHosts(store.url)?.every(isLoopback)) {
          report('warning', [...path, 'tls'], 'key', 'UNSAFE: the connection to MongoDB is not encrypted')
        }
        break
    }
  }
}

/** Reports what is permitted and unsafe. */
export function findUnsafe(draft: Draft, report: Report): void {
  unsafeListeners(draft, report)
  unsafeConnections(draft, report)
  unsafePolicies(draft, report)
  unsafeMechanisms(draft, report)
  unsafeAccounts(draft, report)
}
