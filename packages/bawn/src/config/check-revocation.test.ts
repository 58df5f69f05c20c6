import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

function load(text: string) {
  return parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(text))
}

/** What is said of the example when its PostgreSQL listener has this under `revocation`. */
function problems(revocation: string, asked = 'optional'): readonly string[] {
  const text = example.replace(
    'client_certificate: optional',
    `client_certificate: ${asked}\n      revocation: ${revocation}`,
  )
  assert.notEqual(text, example)
  const loaded = load(text)
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ path, message }) => `${path}: ${message}`).filter(line => line.includes('revocation'))
}

const at = 'listeners.sql.tls.revocation'
const rows: readonly { readonly revocation: string; readonly asked?: string; readonly says: readonly string[] }[] = [
  { revocation: '{ ocsp: { url: "http://ocsp.example" } }', says: [] },
  { revocation: '{ crl: { file: clients.crl } }', says: [] },
  {
    revocation: '{ crl: { url: ["http://a.example/1.crl", "https://b.example/2.crl"], file: [a.crl, b.crl] } }',
    says: [],
  },
  { revocation: '{ ocsp: { from_certificate: use }, hosts: ["ocsp.example:8080"] }', says: [] },
  { revocation: '{ crl: { from_certificate: prefer, url: "http://a.example" }, hosts: [a.example] }', says: [] },
  { revocation: '{}', says: [`${at}: ${at} needs ocsp or crl`] },
  { revocation: '{ ocsp: {} }', says: [`${at}.ocsp: there is no responder to ask`] },
  { revocation: '{ crl: {} }', says: [`${at}.crl: there is no list to read`] },
  { revocation: '{ crl: { from_certificate: use } }', says: [`${at}: from_certificate asks nobody without hosts`] },
  {
    revocation: '{ crl: { file: a.crl }, hosts: [a.example] }',
    says: [`${at}.hosts: hosts are for from_certificate, which asks nobody`],
  },
  {
    revocation: '{ ocsp: { url: "http://ocsp.example", required: allow_unknown } }',
    says: [`${at}.ocsp.required: UNSAFE: a certificate that its issuer never heard of passes`],
  },
  {
    revocation: '{ ocsp: { url: "http://ocsp.example" } }',
    asked: '"off"',
    says: [`${at}: revocation is about clients’ certificates, and none are asked for`],
  },
  {
    revocation: '{ ocsp: { url: "ldap://ocsp.example" } }',
    says: [`${at}.ocsp.url: ${at}.ocsp.url must be an http or https URL without user and password`],
  },
  {
    revocation: '{ ocsp: { url: "http://u:p@ocsp.example" } }',
    says: [`${at}.ocsp.url: ${at}.ocsp.url must be an http or https URL without user and password`],
  },
  {
    revocation: '{ crl: { url: "file:///etc/a.crl" } }',
    says: [`${at}.crl.url: ${at}.crl.url must be an http or https URL without user and password`],
  },
  {
    revocation: '{ ocsp: { from_certificate: use }, hosts: ["http://a.example"] }',
    says: [`${at}.hosts.0: ${at}.hosts[0] must be a host, or host:port`],
  },
  {
    revocation: '{ ocsp: { url: "http://a.example", required: denyUnknown } }',
    says: [`${at}.ocsp.required: "denyUnknown" is not one of: deny_unknown, allow_unknown, require_good`],
  },
  {
    revocation: '{ ocsp: { url: "http://a.example", timeout: 0s } }',
    says: [`${at}.ocsp.timeout: ${at}.ocsp.timeout must be more than 0`],
  },
  {
    revocation: '{ crl: { file: a.crl, cache_size: 0 } }',
    says: [`${at}.crl.cache_size: ${at}.crl.cache_size must be at least 1`],
  },
]
for (const row of rows) {
  test(`${row.revocation}${row.asked === undefined ? '' : ' without certificates'}`, () => {
    assert.deepEqual(problems(row.revocation, row.asked), row.says)
  })
}

test('databases have the same option, and files are relative to the configuration', () => {
  const withTls = (revocation: string) =>
    load(example.replace('ca: tls/database-ca.crt', `ca: tls/database-ca.crt\n      revocation: ${revocation}`))
  const bad = withTls('{ crl: {} }')
  assert.deepEqual(bad.kind === 'invalid' && bad.problems.map(({ path, message }) => [path, message]), [
    ['databases.shop.tls.revocation.crl', 'there is no list to read'],
  ])
  const good = withTls('{ crl: { file: [a.crl, /b.crl] } }')
  assert.ok(good.kind === 'ok')
  const { tls } = good.config.databases['shop'] ?? assert.fail('no database')
  assert.deepEqual(tls !== 'off' && tls.revocation?.crl?.file, ['/etc/bawn/a.crl', '/b.crl'])
})
