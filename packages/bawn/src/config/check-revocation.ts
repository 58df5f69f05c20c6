import type { RevocationOptions } from '../option.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

/** Looking certificates up that can find nothing out, or that lets through what it should not. */
export function checkRevocation(draft: Draft, report: Report): void {
  for (const [name, listener] of draft.listeners) {
    if (listener === undefined || listener.door === 'admin' || listener.tls?.revocation === undefined) continue
    const path = ['listeners', name, 'tls', 'revocation']
    if (listener.tls.client_certificate === 'off') {
      const suggestion = 'say client_certificate: optional or required'
      report('error', path, 'key', 'revocation is about clients’ certificates, and none are asked for', suggestion)
    }
    check(listener.tls.revocation, path, report)
  }
  for (const [name, database] of draft.databases) {
    if (database === undefined || database.tls === 'off' || database.tls.revocation === undefined) continue
    check(database.tls.revocation, ['databases', name, 'tls', 'revocation'], report)
  }
}

function check({ ocsp, crl, hosts }: RevocationOptions, path: ConfigPath, report: Report): void {
  const takesNames = [ocsp, crl].some(way => way !== undefined && way.from_certificate !== 'ignore')
  if (ocsp !== undefined && ocsp.url === undefined && ocsp.from_certificate === 'ignore') {
    const message = 'there is no responder to ask'
    report('error', [...path, 'ocsp'], 'key', message, 'name a url, or say from_certificate: use, and the hosts')
  }
  if (crl !== undefined && crl.url === undefined && crl.file === undefined && crl.from_certificate === 'ignore') {
    const message = 'there is no list to read'
    report('error', [...path, 'crl'], 'key', message, 'name a url or file, or say from_certificate: use, and the hosts')
  }
  if (takesNames && hosts.length === 0) {
    const message = 'from_certificate asks nobody without hosts'
    const suggestion = 'list the hosts of responders and lists that certificates may name: hosts: [ocsp.example]'
    report('error', path, 'key', message, suggestion)
  }
  if (!takesNames && hosts.length > 0) {
    report('error', [...path, 'hosts'], 'key', 'hosts are for from_certificate, which asks nobody')
  }
  if (ocsp?.required === 'allow_unknown') {
    const message = 'UNSAFE: a certificate that its issuer never heard of passes'
    report('warning', [...path, 'ocsp', 'required'], 'value', message, 'deny_unknown')
  }
}
