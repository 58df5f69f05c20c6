import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { type LoadedConfig, parseConfig } from './load.ts'
import { renderProblems } from './problem.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')
const parse = (text: string): LoadedConfig => parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(text))

/** The example with one piece exchanged; `»` stands before the place where the problem must be found. */
interface Row {
  readonly name: string
  readonly replace: string
  readonly by: string
  /** Parts of the message. */
  readonly says: string | RegExp
  readonly suggests?: string | RegExp
  readonly level?: 'error' | 'warning'
}

function edit(row: Row): { text: string; line: number; column: number } {
  const at = example.indexOf(row.replace)
  assert.ok(at >= 0, `the example has no ${row.replace}`)
  const marked = example.slice(0, at) + row.by + example.slice(at + row.replace.length)
  const place = marked.indexOf('»')
  const text = marked.replace('»', '')
  const before = (place < 0 ? '' : text.slice(0, place)).split('\n')
  return { text, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

const rows: readonly Row[] = [
  // keys
  {
    name: 'a misspelt section',
    replace: 'listeners:',
    by: '»listners:',
    says: 'unknown key "listners" at the top level',
    suggests: 'did you mean "listeners"?',
  },
  {
    name: 'a misspelt key of a listener',
    replace: 'address: 127.0.0.1:8080',
    by: '»adress: 127.0.0.1:8080',
    says: 'unknown key "adress" in listeners.web',
    suggests: 'did you mean "address"?',
  },
  {
    name: 'a swapped letter',
    replace: 'client_ca:',
    by: '»cleint_ca:',
    says: 'unknown key "cleint_ca"',
    suggests: 'did you mean "client_ca"?',
  },
  {
    name: 'a dash for an underscore',
    replace: 'client_certificate:',
    by: '»client-certificate:',
    says: 'unknown key "client-certificate"',
    suggests: 'did you mean "client_certificate"?',
  },
  {
    name: 'a key one level too high',
    replace: 'door: http\n',
    by: 'door: http\n    »certificate: x\n',
    says: 'unknown key "certificate" in listeners.web',
    suggests: '"certificate" belongs under tls',
  },
  {
    name: 'a key one level too low',
    replace: 'certificate: tls',
    by: '»databases: []\n      certificate: tls',
    says: 'unknown key "databases"',
    suggests: '"databases" belongs in listeners.sql',
  },
  {
    name: 'a section inside another',
    replace: 'kind: sqlite',
    by: 'kind: sqlite\n    »routes: []',
    says: 'unknown key "routes" in accounts.staff',
    suggests: '"routes" belongs at the top level',
  },
  {
    name: 'a key that resembles nothing',
    replace: 'port: 5432',
    by: '»colour: blue',
    says: 'unknown key "colour" in databases.shop',
    suggests: /^known: host, port/,
  },
  {
    name: 'a key of another door',
    replace: 'address: 127.0.0.1:9191',
    by: 'address: 127.0.0.1:9191\n    »max_frame_bytes: 70000',
    says: 'unknown key "max_frame_bytes" in listeners.desk',
  },
  {
    name: 'a missing section',
    replace: 'audit:\n  file: data/audit.jsonl',
    by: '',
    says: 'missing key "audit" in the file',
    suggests: 'audit: who saw what',
  },
  {
    name: 'a section without a value',
    replace: 'audit:\n  file: data/audit.jsonl',
    by: '»audit:',
    says: 'audit has no value',
  },
  {
    name: 'a name that is none',
    replace: '  orders:\n',
    by: '  »"or ders":\n',
    says: 'the name "or ders" must be a name',
  },
  {
    name: 'no listener at all',
    replace: example.slice(example.indexOf('listeners:'), example.indexOf('# Databases')),
    by: '»listeners: {}\n',
    says: 'listeners needs at least one listener',
  },
  // values
  {
    name: 'a trusted proxy by name',
    replace: 'door: http\n',
    by: 'door: http\n    trusted_proxies: { addresses: [»proxy.example] }\n',
    says: '"proxy.example" is not an address',
  },
  {
    name: 'an unknown door',
    replace: 'door: http\n',
    by: 'door: »htp\n',
    says: '"htp" is not one of: http, postgres, admin',
    suggests: 'did you mean "http"?',
  },
  {
    name: 'an unknown mechanism',
    replace: 'use: [jwt]',
    by: 'use: [»jtw]',
    says: '"jtw" is not one of: certificate, scram, jwt',
    suggests: 'did you mean "jwt"?',
  },
  {
    name: 'an unknown door of a rule',
    replace: 'door: http\n    use',
    by: 'door: »https\n    use',
    says: '"https" is not one of: http, postgres',
    suggests: 'did you mean "http"?',
  },
  {
    name: 'an unknown disclosure',
    replace: 'billing: plain',
    by: 'billing: »plian',
    says: '"plian" is not one of: plain, nothing',
    suggests: 'did you mean "plain"?',
  },
  {
    name: 'an unknown mask',
    replace: 'mask: email',
    by: 'mask: »e-mail',
    says: '"e-mail" is not one of: ',
    suggests: 'did you mean "email"?',
  },
  {
    name: 'a misspelt key of a mask',
    replace: '{ mask: email }',
    by: '{ mask: keep_first, »charcters: 3 }',
    says: 'unknown key "charcters"',
    suggests: 'did you mean "characters"?',
  },
  {
    name: 'a method in small letters',
    replace: 'methods: [GET]',
    by: 'methods: [»get]',
    says: '"get" is not one of: GET',
    suggests: 'did you mean "GET"?',
  },
  {
    name: 'a number without a unit',
    replace: 'door: http\n',
    by: 'door: http\n    header_timeout: »5\n',
    says: 'needs a unit',
    suggests: 'write 5s or 5ms',
  },
  {
    name: 'a unit that does not exist',
    replace: 'door: http\n',
    by: 'door: http\n    header_timeout: »5 min\n',
    says: 'must be a number and a unit',
  },
  {
    name: 'text for a number',
    replace: 'port: 5432',
    by: 'port: »"5432"',
    says: 'databases.shop.port must be a number, and is text',
  },
  {
    name: 'a number for text',
    replace: 'host: db.internal',
    by: 'host: »10',
    says: 'databases.shop.host must be text, and is the number 10',
    suggests: 'in quotes it is text: "10"',
  },
  {
    name: 'text for a list',
    replace: 'allow: [staff]',
    by: 'allow: »staff',
    says: 'databases.shop.allow must be a list, and is text',
  },
  {
    name: 'an empty list',
    replace: 'audience: [shop]',
    by: 'audience: »[]',
    says: 'issuers.corp.audience needs at least one entry',
  },
  { name: 'an empty text', replace: 'host: db.internal', by: 'host: »""', says: 'databases.shop.host is empty' },
  {
    name: 'a port that is too large',
    replace: 'port: 5432',
    by: 'port: »70000',
    says: 'databases.shop.port must be at most 65535',
  },
  {
    name: 'a port of an address that is too large',
    replace: '127.0.0.1:8080',
    by: '»127.0.0.1:80800',
    says: 'a port is at most 65535',
  },
  {
    name: 'an address without a port',
    replace: 'address: 127.0.0.1:8080',
    by: 'address: »127.0.0.1',
    says: 'must be host:port',
  },
  {
    name: 'an upstream without a scheme',
    replace: 'http://127.0.0.1:3000',
    by: '»127.0.0.1:3000',
    says: 'must be http(s)://',
  },
  {
    name: 'a route without a slash',
    replace: 'path: /customers\n',
    by: 'path: »customers\n',
    says: 'must start with "/"',
  },
  {
    name: 'a column without a schema',
    replace: '[public.customers.email]',
    by: '[»customers.email]',
    says: 'must be schema.table.column',
  },
  {
    name: 'a literal secret',
    replace: 'env:SHOP_DATABASE_PASSWORD',
    by: '»hunter2',
    says: 'must be env:NAME or file:path',
  },
  {
    name: 'yes is text and no truth value',
    replace: 'roles_claim: roles',
    by: 'insecure_http: »yes',
    says: 'must be true or false, and is text',
  },
  {
    name: 'a service that nothing identifies',
    replace: '    common_name: billing\n',
    by: '',
    says: 'services.billing needs common_name or client_id',
  },
  // names
  {
    name: 'an upstream that does not exist',
    replace: 'upstream: orders',
    by: 'upstream: »order',
    says: 'no upstream is called "order"',
    suggests: 'did you mean "orders"?',
  },
  {
    name: 'an upstream that does not exist, of a backend',
    replace: 'upstream: orders',
    by: 'backends: [{ upstream: orders }, { upstream: »order }]',
    says: 'no upstream is called "order"',
    suggests: 'did you mean "orders"?',
  },
  {
    name: 'both an upstream and backends',
    replace: 'upstream: orders',
    by: 'upstream: »orders\n    backends: [{ upstream: orders }]',
    says: 'backends stand in place of upstream',
  },
  {
    name: 'neither an upstream nor backends',
    replace: '- path: /customers\n    methods: [GET]\n    upstream: orders',
    by: '- »path: /customers\n    methods: [GET]',
    says: 'needs upstream, or backends',
  },
  {
    name: 'two backends that write at once',
    replace: 'methods: [GET, PATCH]\n    upstream: orders',
    by: 'methods: [PATCH]\n    backends: [{ upstream: orders }, { upstream: orders, method: »PUT }]',
    says: 'would write at the same time',
  },
  {
    name: 'a policy that does not exist, of a route',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [»stuff]',
    says: 'no policy is called "stuff"',
    suggests: 'did you mean "staff"?',
  },
  {
    name: 'a policy that does not exist, of hints',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [staff]\n    hints: { rows: [{ for: [»stuff], where: "true" }] }',
    says: 'no policy is called "stuff"',
    suggests: 'did you mean "staff"?',
  },
  {
    name: 'a field that does not exist, of hints',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [staff]\n    hints: { fields: [»nothing] }',
    says: 'no field is called "nothing"',
  },
  {
    name: 'a value of hints that cannot be one',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [staff]\n    hints: { rows: [{ for: [staff], where: "a = @a", values: { a: »identity.claims } }] }',
    says: 'a value must be a text, a number, true or false, or a list of them, and this is of type',
  },
  {
    name: 'a value of hints that is not there',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [staff]\n    hints: { rows: [{ for: [staff], where: »"a = @usr" }] }',
    says: 'no value is named @usr; there are: @user, @roles',
  },
  {
    name: 'a header of hints that another has',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [staff]\n    identity_headers: { id: X-Who }\n    hints: { header: »x-who, rows: [{ for: [staff], where: "true" }] }',
    says: 'identity_headers has this header already',
  },
  {
    name: 'a policy that does not exist, of a database',
    replace: 'allow: [staff]',
    by: 'allow: [staff, »autenticated]',
    says: 'no policy is called "autenticated"',
    suggests: 'did you mean "authenticated"?',
  },
  {
    name: 'a policy called like a built-in one',
    replace: 'policies:\n',
    by: 'policies:\n  »anyone: { roles: [x] }\n',
    says: '"anyone" is built in',
  },
  {
    name: 'a database of a listener that does not exist',
    replace: 'address: 127.0.0.1:9393',
    by: 'address: 127.0.0.1:9393\n    databases: [»shp]',
    says: 'no database is called "shp"',
    suggests: 'did you mean "shop"?',
  },
  {
    name: 'a database of a field that does not exist',
    replace: '  - name: email\n',
    by: '  - name: email\n    database: »shopp\n',
    says: 'no database is called "shopp"',
  },
  {
    name: 'a database of a host rule that does not exist',
    replace: 'address: 127.0.0.1/32',
    by: 'database: »shopp',
    says: 'no database is called "shopp"',
  },
  {
    name: 'a rule that refuses a user, and cannot at the door http',
    replace: '  - name: services\n',
    by: '  - { »user: mallory, use: [] }\n  - name: services\n',
    says: 'door http has no user: there this rule refuses nobody',
    suggests: /^say door: postgres/,
  },
  {
    name: 'a rule that refuses a database, and cannot at the door http',
    replace: '  - name: services\n',
    by: '  - { door: [http, postgres], »database: shop, use: [] }\n  - name: services\n',
    says: 'door http has no database: there this rule refuses nobody',
  },
  {
    name: 'columns where there are two databases',
    replace: 'upstreams:\n',
    by: '  crm: { host: localhost, tls: off, login: { user: b, password: env:B }, allow: [staff] }\nupstreams:\n',
    says: 'which database are these columns in?',
  },
  {
    name: 'a JSON place on a route that does not exist',
    replace: 'route: /customers,',
    by: 'route: »/customer,',
    says: 'no route has the path /customer',
    suggests: 'did you mean "/customers"?',
  },
  { name: 'a JSON path that descends', replace: '$.email', by: '»$..email', says: 'character 2: .. searches' },
  // what excludes each other
  {
    name: 'two listeners at one address',
    replace: '127.0.0.1:9191',
    by: '»0.0.0.0:8080',
    says: 'listener web has 127.0.0.1:8080 already',
  },
  {
    name: 'a client certificate without an authority',
    replace: '      client_ca: tls/clients-ca.crt\n      ',
    by: '      »',
    says: 'client_certificate needs client_ca',
  },
  {
    name: 'certificates that no listener asks for',
    replace: 'client_certificate: optional',
    by: 'client_certificate: off',
    says: 'certificate needs a listener that asks for client certificates',
  },
  {
    name: 'scram without accounts',
    replace: 'accounts:\n  staff:\n    kind: sqlite\n    path: data/accounts.db\n',
    by: '',
    says: 'scram needs an account store',
  },
  {
    name: 'password without accounts',
    replace: example.slice(example.indexOf('accounts:\n'), example.indexOf('    use: [scram, jwt]')),
    by: 'host_rules:\n  - name: same-machine\n    door: postgres\n    use: [»password]\n  - name: other\n',
    says: 'password needs an account store',
  },
  {
    name: 'oauthbearer where there is no TLS',
    replace: 'tls: required\n    use: [certificate, scram, jwt]',
    by: 'tls: off\n    use: [»oauthbearer]',
    says: 'oauthbearer needs TLS',
  },
  {
    name: 'roles for users.yml',
    replace: 'kind: sqlite\n    path: data/accounts.db',
    by: 'kind: file\n    path: users.yml\n    format: users_yml\n    »roles: [staff]',
    says: 'users_yml has roles of its own',
  },
  {
    name: 'a file of users without its format',
    replace: 'kind: sqlite\n    path: data/accounts.db',
    by: 'kind: file\n    path: users.yml',
    says: 'missing key "format" in accounts.staff',
  },
  {
    name: 'jwt without an issuer',
    replace: example.slice(example.indexOf('issuers:'), example.indexOf('# Programs')),
    by: '',
    says: 'jwt needs an issuer',
  },
  {
    name: 'digest that nobody configured',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »digest]',
    says: 'digest needs to be configured',
    suggests: /^add under mechanisms: digest: \{/,
  },
  {
    name: 'api-key that nobody configured',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »api-key]',
    says: 'api-key needs to be configured',
    suggests: /^add under mechanisms: api-key: \{/,
  },
  {
    name: 'introspection that nobody configured',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »introspection]',
    says: 'introspection needs to be configured',
    suggests: /^add under mechanisms: introspection: \{/,
  },
  {
    name: 'trust that nobody configured',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »trust]',
    says: 'trust needs to be configured',
    suggests: /^add under mechanisms: trust: \{/,
  },
  {
    name: 'identity that nobody configured',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »identity]',
    says: 'identity needs to be configured',
    suggests: /^add under mechanisms: identity: \{/,
  },
  {
    name: 'certificates at an HTTP listener that asks for none',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »certificate]',
    says: 'certificate needs a listener that asks for client certificates',
  },
  {
    name: 'a user of digest without a value for an algorithm',
    replace: 'host_rules:',
    by: 'mechanisms:\n  digest: { algorithms: [MD5], users: { »dora: { ha1_sha256: env:X } } }\nhost_rules:',
    says: 'dora cannot log in with MD5: ha1_md5 is missing',
  },
  {
    name: 'digest without anybody',
    replace: 'host_rules:',
    by: 'mechanisms:\n  »digest: { accounts: false }\nhost_rules:',
    says: 'digest has nobody: there are no users, and accounts are not asked',
  },
  {
    name: 'digest that asks accounts, and there are none',
    replace: example.slice(example.indexOf('accounts:'), example.indexOf('host_rules:')),
    by: 'mechanisms:\n  »digest: {}\n',
    says: 'digest asks the account stores, and there are none',
  },
  {
    name: 'one API key twice',
    replace: 'host_rules:',
    by: `mechanisms:\n  api-key: { keys: [{ name: a, hash: "sha256:${'0'.repeat(64)}" }, { name: b, hash: »"sha256:${'0'.repeat(64)}" }] }\nhost_rules:`,
    says: 'this key is listed already',
  },
  {
    name: 'introspection over plain HTTP',
    replace: 'host_rules:',
    by: 'mechanisms:\n  introspection: { url: »"http://id.example/", client_id: a, client_secret: env:X }\nhost_rules:',
    says: 'what comes over plain HTTP can be replaced on the way',
  },
  {
    name: 'an API key in clear',
    replace: 'host_rules:',
    by: 'mechanisms:\n  api-key: { keys: [{ name: a, hash: »secret }] }\nhost_rules:',
    says: 'must be sha256: and 64 hexadecimal digits',
  },
  {
    name: 'scram at the HTTP door',
    replace: 'use: [jwt]',
    by: 'use: [jwt, »scram]',
    says: 'door http has no mechanism scram',
    suggests: 'door http has: certificate, jwt, basic, digest, api-key, introspection, trust, identity, token, oidc',
  },
  {
    name: 'a user condition at the HTTP door',
    replace: 'use: [jwt]',
    by: '»user: alice\n    use: [jwt]',
    says: 'door http has no user',
  },
  {
    name: 'an address that is none',
    replace: '127.0.0.1/32',
    by: '»127.0.0.1/33',
    says: 'host_rules[1].address: "127.0.0.1/33": after the slash comes a number from 0 to 32',
  },
  {
    name: 'an address that is none, in a list',
    replace: '127.0.0.1/32',
    by: '[local, »localhost]',
    says: 'host_rules[1].address[1]: "localhost": write local for this machine',
  },
  {
    name: 'the same route twice',
    replace: 'path: /customers/{id}\n    methods: [GET',
    by: 'path: /customers\n    methods: [»GET',
    says: 'routes[0] has GET /customers already',
  },
  {
    name: 'searchable without encryption',
    replace: '      encrypt: acrablock\n      searchable',
    by: '      »searchable',
    says: 'searchable needs encrypt',
  },
  {
    name: 'columns without encryption',
    replace: '    protect:\n      encrypt: acrablock\n      searchable: true\n',
    by: '',
    says: 'columns of a field must be encrypted',
  },
  {
    name: 'a mask on bytes',
    replace: '    protect:\n',
    by: '    type: bytes\n    protect:\n',
    says: 'masks are for text',
  },
  {
    name: 'a field that is nowhere',
    replace: 'fields:\n',
    by: 'fields:\n  - { name: »phone, reveal: { default: nothing } }\n',
    says: 'field phone is nowhere',
  },
  {
    name: 'two fields of one name',
    replace: '\n# Keys at rest: bawn keys generate --client-id shop_fields\n',
    by: '\n  - { name: »email, columns: [public.a.b], protect: { encrypt: acrablock }, reveal: {} }\n',
    says: 'fields[0] is called "email" already',
  },
  {
    name: 'one column of two fields',
    replace: '\n# Keys at rest: bawn keys generate --client-id shop_fields\n',
    by: '\n  - { name: mail, columns: [»public.customers.email], protect: { encrypt: acrablock }, reveal: {} }\n',
    says: 'field email has column public.customers.email already',
  },
  {
    name: 'two services that are one',
    replace: '  billing:\n',
    by: '  reports: { common_name: billing }\n  billing:\n',
    says: 'service reports has this common_name already',
  },
  {
    name: 'a key set over plain HTTP',
    replace: 'https://id.example.com/jwks',
    by: '»http://id.example.com/jwks',
    says: 'a key set over plain HTTP can be replaced',
  },
  // YAML itself
  { name: 'a tab', replace: '  web:\n', by: '»\tweb:\n', says: 'a tab indents this line' },
  {
    name: 'a key twice',
    replace: 'host: db.internal',
    by: 'host: db.internal\n    »host: other',
    says: 'key "host" stands here twice',
    suggests: /^the first is in line \d+$/,
  },
  {
    name: 'a second document',
    replace: '# Who saw what',
    by: '»---\n# Who saw what',
    says: 'a second document starts here',
  },
  {
    name: 'an alias without an anchor',
    replace: 'host: db.internal',
    by: 'host: »*nothing',
    says: 'there is no anchor &nothing before this alias',
  },
  { name: 'a tag', replace: 'host: db.internal', by: 'host: »!env HOST', says: 'tags (!name) are not used here' },
  { name: 'a list as a key', replace: 'host: db.internal', by: '»[a, b]: c', says: 'a key must be a plain word' },
  {
    name: 'the prototype as a key',
    replace: '  orders:\n',
    by: '  »__proto__:\n',
    says: 'a key cannot be called "__proto__"',
  },
  { name: 'a quote that does not end', replace: '# Who saw what', by: 'x: "', says: 'something is missing here' },
  // unsafe, and allowed
  {
    name: 'trust',
    replace: 'use: [certificate, scram, jwt]',
    by: 'use: [certificate, »trust]',
    says: 'UNSAFE: services believes whatever user name a client states',
    level: 'warning',
  },
  {
    name: 'a stricter rule for a user, that door http passes over',
    replace: '  - name: services\n',
    by: '  - { »user: admin, use: [certificate, jwt] }\n  - name: services\n',
    says: 'door http has no user: there this rule never holds, and a later one decides',
    level: 'warning',
  },
  {
    name: 'passwords in clear in a file',
    replace: 'kind: sqlite\n    path: data/accounts.db',
    by: 'kind: file\n    path: users.yml\n    format: »users_yml',
    says: 'users.yml holds passwords in clear',
    level: 'warning',
  },
  {
    name: 'scram for users of a file',
    replace: 'kind: sqlite\n    path: data/accounts.db',
    by: 'kind: file\n    path: .htpasswd\n    format: htpasswd',
    says: 'scram lets nobody in',
    level: 'warning',
  },
  {
    name: 'HTTP without TLS beyond this machine',
    replace: '127.0.0.1:8080',
    by: '»0.0.0.0:8080',
    says: 'UNSAFE: tokens and answers cross the network in clear',
    level: 'warning',
  },
  {
    name: 'the admin door beyond this machine',
    replace: '127.0.0.1:9191',
    by: '»10.0.0.1:9191',
    says: 'UNSAFE: the admin door',
    level: 'warning',
  },
  {
    name: 'PostgreSQL without TLS beyond this machine',
    replace: '  desk:\n',
    by: '  open: { door: postgres, address: »0.0.0.0:9394 }\n  desk:\n',
    says: 'UNSAFE: logins and rows cross the network in clear',
    level: 'warning',
  },
  {
    name: 'a token as a password without TLS',
    replace: '  desk:\n',
    by: '  open: { door: postgres, address: 0.0.0.0:9394 }\n  desk:\n',
    says: 'over listener open, which has no TLS, jwt works from this machine only',
    level: 'warning',
  },
  {
    name: 'a database without TLS elsewhere',
    replace: 'tls:\n      ca: tls/database-ca.crt',
    by: '»tls: off',
    says: 'UNSAFE: the connection to db.internal is not encrypted',
    level: 'warning',
  },
  {
    name: 'an upstream over HTTP elsewhere',
    replace: 'http://127.0.0.1:3000',
    by: '»http://orders.internal',
    says: 'UNSAFE: requests to orders.internal are not encrypted',
    level: 'warning',
  },
  {
    name: 'insecure_http',
    replace: 'roles_claim: roles',
    by: '»insecure_http: true',
    says: 'UNSAFE: whoever is on the way to corp',
    level: 'warning',
  },
  {
    name: 'a public route',
    replace: 'upstream: orders\n    allow: [staff]',
    by: 'upstream: orders\n    allow: [»anyone]',
    says: 'PUBLIC: /customers is open',
    level: 'warning',
  },
  {
    name: 'a network with bits beyond it',
    replace: '127.0.0.1/32',
    by: '»10.1.0.0/8',
    says: 'perhaps 10.0.0.0/8 is meant?',
  },
  {
    name: 'a refusal by name',
    replace: 'address: 127.0.0.1/32\n    use: [scram, jwt]',
    by: 'address: [10.0.0.1, ».corp.example]\n    use: []',
    says: 'a rule that refuses does not know its own by name',
  },
  {
    name: 'a route that does not exist',
    replace: 'use: [jwt]',
    by: 'route: [/customers, »/custmers/*]\n    use: [jwt]',
    says: 'no route has the path /custmers/*',
  },
  {
    name: 'a route at the PostgreSQL door',
    replace: 'address: 127.0.0.1/32\n',
    by: '»route: /customers\n',
    says: 'door postgres has no route: this condition never holds',
  },
  {
    name: 'a refusal by route at both doors',
    replace: '- name: web\n',
    by: '- { »route: /customers, use: [] }\n  - name: web\n',
    says: 'door postgres has no route: there this rule refuses nobody',
  },
  {
    name: 'a rule by route for both doors',
    replace: '- name: web\n',
    by: '- { »route: /customers, use: [jwt] }\n  - name: web\n',
    says: 'door postgres has no route: there this rule never holds',
    level: 'warning',
  },
  {
    name: 'tls in another way',
    replace: 'tls: required\n',
    by: 'tls: »yes\n',
    says: '"yes" is not one of: required, on, off, optional, or true or false',
  },
  {
    name: 'a rule that is never reached',
    replace: '  - name: web\n',
    by: '  - { use: [jwt] }\n  - »name: web\n',
    says: 'this rule is never reached: host_rules[2]',
    level: 'warning',
  },
  {
    name: 'a door that nobody may use',
    replace: '  - name: web\n    door: http\n    use: [jwt]\n',
    by: '',
    says: 'no host rule lets anybody identify at door http',
    level: 'warning',
  },
  {
    name: 'plain for everybody',
    replace: 'default: nothing',
    by: '»default: plain',
    says: 'everybody sees email plain',
    level: 'warning',
  },
]

for (const row of rows) {
  test(`${row.level ?? 'error'}: ${row.name}`, () => {
    const { text, line, column } = edit(row)
    const loaded = parse(text)
    const problems = loaded.kind === 'ok' ? loaded.warnings : loaded.problems
    const found = problems.find(problem =>
      typeof row.says === 'string' ? problem.message.includes(row.says) : row.says.test(problem.message),
    )
    assert.ok(found, `not reported; instead:\n${renderProblems(problems)}`)
    assert.equal(found.level, row.level ?? 'error')
    assert.equal(loaded.kind, row.level === 'warning' ? 'ok' : 'invalid')
    if (row.by.includes('»')) assert.deepEqual([found.line, found.column], [line, column], renderProblems([found]))
    if (typeof row.suggests === 'string') assert.equal(found.suggestion, row.suggests)
    if (row.suggests instanceof RegExp) assert.match(found.suggestion ?? '', row.suggests)
    assert.doesNotMatch(renderProblems(problems), /hunter2/)
  })
}

test('the example is sound, without a warning', () => {
  const loaded = parse(example)
  assert.equal(loaded.kind, 'ok', loaded.kind === 'invalid' ? renderProblems(loaded.problems) : '')
  assert.equal(loaded.kind === 'ok' && renderProblems(loaded.warnings), '')
})

test('paths are relative to the file, and everything is frozen', () => {
  const loaded = parse(example.replace('env:ACRA_MASTER_KEY', 'file:secret/master'))
  assert.equal(loaded.kind, 'ok')
  if (loaded.kind !== 'ok') return
  const { config } = loaded
  assert.equal(config.audit.file, resolve('/etc/bawn/data/audit.jsonl'))
  assert.equal(config.keys.master, `file:${resolve('/etc/bawn/secret/master')}`)
  assert.equal(config.issuers['corp']?.jwks, 'https://id.example.com/jwks')
  const sql = config.listeners['sql']
  assert.equal(sql?.door === 'postgres' && sql.tls?.client_ca, resolve('/etc/bawn/tls/clients-ca.crt'))
  assert.equal(sql?.door === 'postgres' && sql.authentication_timeout, 60_000)
  const unfrozen: string[] = []
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return
    if (!Object.isFrozen(value)) unfrozen.push(path)
    for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`)
  }
  visit(config, 'config')
  assert.deepEqual(unfrozen, [])
})

test('one missing key with its misspelling beside it is one problem', () => {
  const loaded = parse(example.replace('address: 127.0.0.1:8080', 'adress: 127.0.0.1:8080'))
  assert.equal(loaded.kind === 'invalid' && loaded.problems.length, 1)
})

test('all problems come at once, in order of the file, and at most twenty are printed', () => {
  const broken = example.replaceAll(/\[staff\]/g, '[nobody]').replace('door: http\n', 'door: htp\n')
  const loaded = parse(broken + Array.from({ length: 30 }, (_, index) => `k${index}: 1\n`).join(''))
  assert.equal(loaded.kind, 'invalid')
  if (loaded.kind !== 'invalid') return
  const lines = loaded.problems.map(problem => problem.line)
  assert.deepEqual(
    lines,
    [...lines].sort((a, b) => a - b),
  )
  assert.ok(loaded.problems.some(problem => problem.message.includes('htp')))
  assert.ok(loaded.problems.some(problem => problem.message.includes('nobody')))
  assert.equal(renderProblems(loaded.problems).match(/: error: /g)?.length, 20)
  assert.match(renderProblems(loaded.problems), /… and \d+ more$/)
})

test('the printed problem has the line and a caret under the word', () => {
  const loaded = parse(example.replace('upstream: orders', 'upstream: order'))
  assert.equal(
    loaded.kind === 'invalid' && renderProblems(loaded.problems),
    [
      '/etc/bawn/bawn.yaml:82:15: error: no upstream is called "order"',
      '   82 |     upstream: order',
      '      |               ^^^^^',
      '        did you mean "orders"?',
    ].join('\n'),
  )
})

test('no problem repeats a secret that stands in the file, however it is written', () => {
  const reference = 'master: env:ACRA_MASTER_KEY'
  for (const master of [
    'master: 4815162342',
    'master:\n    hunter2',
    'master: &name hunter2',
    'master: "env:M\n    hunter2"',
    'master: >-\n    hunter2',
    '"master" : true',
  ]) {
    const loaded = parse(example.replace(reference, `${master}\n    `))
    assert.equal(loaded.kind, 'invalid', master)
    const told = JSON.stringify(loaded)
    assert.doesNotMatch(told, /hunter2|4815162342/, master)
  }
})

test('a problem as text has no control characters, whatever the file says', () => {
  const loaded = parse('listeners: { "a\\e[2Jb": {} }\n"\\e]0;x\\a": 1\nkeys: { store: { kind: "dir\\e[31m" } }\n')
  assert.equal(loaded.kind, 'invalid')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
  if (loaded.kind === 'invalid') assert.doesNotMatch(renderProblems(loaded.problems), /[\u0000-\u0008\u000b-\u001f]/)
})
