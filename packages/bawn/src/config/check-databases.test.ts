import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

/** As `problems`, without a host. */
const several = (database: string, more = ''): readonly string[] => problems(database, more, '')

/** The example with this entry of its database, and these host rules before its own. */
function problems(database: string, more = '', host = 'host: localhost, '): readonly string[] {
  const text = example
    .replace(/^ {2}shop:\n(?: {4}.*\n)*/m, `  shop: { ${host}allow: [authenticated], ${database} }\n`)
    .replace(/^host_rules:\n/m, `host_rules:\n${more}`)
  assert.notEqual(text, example)
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(text))
  const found = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
  return found.map(({ path, message }) => `${path}: ${message}`).filter(one => /databases|host_rules\.0/.test(one))
}

const login = 'login: { user: gateway, password: env:P }'
const scram = '  - { door: postgres, database: shop, use: [scram] }\n'
const passed = login.replace('{', '{ kind: pass-through,')
const through = '  - { door: postgres, database: shop, use: [pass-through] }\n'
const rows: readonly (readonly [name: string, found: readonly string[], wanted: RegExp | undefined])[] = [
  ['the gateway’s own login', problems(login), undefined],
  ['a certificate alone', problems('tls: { certificate: a, key: b }, login: { user: gateway }'), undefined],
  ['a certificate without its key', problems(`tls: { certificate: a }, ${login}`), /certificate needs key/],
  ['a key without its certificate', problems(`tls: { key: a }, ${login}`), /key needs certificate/],
  ['nothing to log in with', problems('login: { user: gateway }'), /nothing to log in with/],
  ['binding without TLS', problems(`tls: off, ${login}`), undefined],
  [
    'binding without a password',
    problems('tls: { certificate: a, key: b, channel_binding: require }, login: { user: gateway }'),
    /channel binding is a part of logging in by password/,
  ],
  [
    'row filters without settings to go by',
    problems(
      `${login}, row_filters: [{ name: own, table: public.t, rows: [{ for: [authenticated], where: "true" }] }]`,
    ),
    /row_filters need identity with setting and roles_setting/,
  ],
  [
    'row filters, and users with roles of their own',
    problems(
      `${login.replace('{', '{ kind: verifier,')}, identity: { setting: a.b, roles_setting: a.c }, row_filters: [{ name: own, table: public.t, rows: [{ for: [authenticated], where: "true" }] }]`,
      scram,
    ),
    /users have a role of their own, which may go past a filter/,
  ],
  [
    'a firewall that refuses everything',
    problems(`${login}, firewall: {}`),
    /a firewall without rules refuses every statement/,
  ],
  [
    'rules behind one that is for everything',
    problems(`${login}, firewall: { rules: [{ name: a, action: allow }, { name: b, action: deny }] }`),
    /rule a has no condition: the rules behind it are never asked/,
  ],
  [
    'a rule about columns for a policy that there is not',
    problems(
      `${login}, firewall: { default: allow, columns: [{ name: a, table: public.t, columns: [b], read: [nobody] }] }`,
    ),
    /no policy is called "nobody"/,
  ],
  ['several hosts', several(`hosts: ["a:5432", "b:5432"], ${login}`), undefined],
  ['no host at all', several(login), /shop: host is missing/],
  ['host and hosts', problems(`hosts: ["a:5432"], ${login}`), /shop\.hosts: host and hosts are two ways/],
  ['a port of hosts', several(`hosts: ["a:5432"], port: 5432, ${login}`), /shop\.port: port belongs to host/],
  ['a host without a port', several(`hosts: [a], ${login}`), /hosts\.0: .*must be host:port/],
  ['a port that there is not', several(`hosts: ["a:70000"], ${login}`), /its port must be 1 to 65535/],
  ['a host twice', several(`hosts: ["a:1", "b:1", "a:1"], ${login}`), /hosts\.2: a:1 is named twice/],
  ['one host, and logins passed on', several(`hosts: ["a:5432"], ${passed}`, through), undefined],
  [
    'several hosts, and logins passed on',
    several(`hosts: ["a:5432", "b:5432"], ${passed}`, through),
    /shop\.hosts: which host is the primary shows after a login only/,
  ],
  [
    'several hosts without TLS',
    several(`hosts: ["localhost:1", "b:1"], tls: off, ${login}`),
    /connection to b is not encrypted/,
  ],
  ['a misspelt binding', problems(`tls: { channel_binding: must }, ${login}`), /is not one of|expected|fits/],
  ['an unknown kind of login', problems('login: { kind: proxy, user: u, password: env:P }'), /"proxy" is not one of/],
  ['verifiers, and scram for them', problems(login.replace('{', '{ kind: verifier,'), scram), undefined],
  [
    'verifiers, and a rule without scram',
    problems(login.replace('{', '{ kind: verifier,'), scram.replace('scram', 'certificate')),
    /takes logins by scram only/,
  ],
  ['replication', problems(`replication: [authenticated], ${login}`), /^databases\.shop\.replication: UNSAFE/],
  [
    'replication by no policy',
    problems(`replication: [nobody], ${login}`),
    /no policy named nobody|unknown policy|nobody/,
  ],
  [
    'replication beside an identity',
    problems(`replication: [authenticated], identity: { setting: app.user }, ${login}`),
    /nothing would keep the identity/,
  ],
  ['logins that are passed on', problems(passed, through), undefined],
  ['roles for them', problems(passed.replace('}', ', roles: { alice: [support] } }'), through), undefined],
  ['passed on, and a rule that asks', problems(passed, scram), /takes logins by pass-through only/],
  ['a rule that passes on, and a database that does not', problems(login, through), /takes logins of kind broker/],
  [
    'passed on, who knows where to',
    problems(passed, '  - { door: postgres, use: [pass-through] }\n'),
    /pass-through needs database/,
  ],
  [
    'passed on, beside another mechanism',
    problems(passed, through.replace('pass-through', 'pass-through, scram')),
    /no other mechanism can stand beside it/,
  ],
  [
    'passed on at the other door',
    problems(passed, through.replace('postgres', 'http')),
    /door http has no mechanism pass-through/,
  ],
  [
    'passed on, and bound to another TLS',
    problems(`tls: { channel_binding: require }, ${passed}`, through),
    /bound to the TLS of the client/,
  ],
  [
    'an identity',
    problems(`identity: { set_role: true, setting: app.user, roles_setting: app.roles }, ${login}`),
    undefined,
  ],
  ['an identity of nothing', problems(`identity: {}, ${login}`), /needs set_role, setting or roles_setting/],
  [
    'one setting for two',
    problems(`identity: { setting: app.user, roles_setting: app.user }, ${login}`),
    /setting and roles_setting are the same/,
  ],
  ['a setting without a prefix', problems(`identity: { setting: role }, ${login}`), /must be prefix.name/],
  ['a role that means none', problems(`identity: { set_role: { staff: NONE } }, ${login}`), /none means no role/],
  [
    'a role for those who have one',
    problems(`identity: { set_role: true }, ${passed}`, through),
    /users have a role of their own already/,
  ],
  ['roles where accounts have them', problems(login.replace('}', ', roles: {} }')), /roles are for logins of kind/],
]

for (const [name, found, wanted] of rows) {
  test(`databases: ${name}`, () => {
    if (wanted === undefined) assert.deepEqual(found, [])
    else assert.match(found.join('\n'), wanted)
  })
}

test('row filters and hints of a route may have one list', () => {
  const identity = 'identity: { setting: a.b, roles_setting: a.c }'
  const filters = 'row_filters: [{ name: own, table: public.t, rows: &own [{ for: [staff], where: "a = @user" }] }]'
  const text = example
    .replace(
      /^ {2}shop:\n(?: {4}.*\n)*/m,
      `  shop: { host: localhost, allow: [authenticated], ${login}, ${identity}, ${filters} }\n`,
    )
    .replace('    upstream: orders\n', '    upstream: orders\n    hints: { rows: *own }\n')
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(text))
  assert.ok(loaded.kind === 'ok', JSON.stringify(loaded))
  const [route] = loaded.config.routes.filter(({ hints }) => hints !== undefined)
  assert.deepEqual(route?.hints?.rows, [{ for: ['staff'], where: 'a = @user', values: {} }])
})
