export interface Ports {
  readonly web: number
  readonly sql: number
  readonly desk: number
  readonly postgres: number
  readonly provider: number
  readonly shop: number
}

/** Whose keys protect the demo's field. */
export const clientId = 'demo_shop'

/** The configuration of the demo, as an operator would write it: one field, two doors, four kinds of caller. */
export function demoConfiguration(ports: Ports): string {
  return `# The demo's gateway. Change a line, then: npx bawn check --config THIS_FILE
# Paths are relative to this file. Secrets are references (env:NAME or file:path), never the secret itself.

listeners:
  web:
    door: http
    address: 127.0.0.1:${ports.web}
  sql:
    door: postgres
    address: 127.0.0.1:${ports.sql}
    tls:
      certificate: server.pem
      key: server.key
      client_ca: ca.pem
      client_certificate: optional # services show one, people need not
  desk:
    door: admin
    address: 127.0.0.1:${ports.desk}
    token_file: data/admin.token

# The database behind the PostgreSQL door. The gateway has its own login; nobody who comes in by the door ever holds it.
databases:
  shop:
    host: 127.0.0.1
    port: ${ports.postgres}
    tls: off # same machine
    login:
      user: gateway
      password: file:gateway.password
    allow: [authenticated]

# The API behind the HTTP door.
upstreams:
  shop:
    url: http://127.0.0.1:${ports.shop}

# People with a password.
accounts:
  staff:
    kind: sqlite
    path: data/accounts.db

# Whose tokens we believe, at both doors.
issuers:
  provider:
    issuer: http://127.0.0.1:${ports.provider}
    audience: [shop]
    jwks: http://127.0.0.1:${ports.provider}/jwks
    insecure_http: true # the demo's provider has no TLS; never do this outside of a demo
    algorithms: [ES256]
    roles_claim: roles

# Programs with a client certificate.
services:
  billing:
    common_name: billing
    roles: [billing]

# Who proves who it is in which way: the first rule that fits decides, none means refused.
host_rules:
  - { name: services, door: postgres, user: billing, tls: required, use: [certificate] }
  - { name: passwords, door: postgres, user: olga, tls: required, use: [scram] }
  - { name: tokens, door: postgres, tls: required, use: [jwt] }
  - { name: web, door: http, use: [jwt] }

policies:
  writers:
    roles: [support, billing]

# What exists over HTTP; everything else is 404.
routes:
  - { path: /people, methods: [GET], upstream: shop, allow: [authenticated] }
  - { path: /people, methods: [POST], upstream: shop, allow: [writers] }
  - { path: "/people/{id}", methods: [GET], upstream: shop, allow: [authenticated] }

# What is sensitive: once, for SQL and JSON alike.
fields:
  - name: email
    columns: [public.people.email]
    json:
      - { route: /people, path: "$.people[*].email" }
      - { route: /people, path: $.email }
      - { route: "/people/{id}", path: $.email }
    protect:
      encrypt: acrablock
    reveal:
      billing: plain
      support: { mask: email }
      default: nothing

keys:
  store:
    kind: directory
    path: keys
  master: file:master.key
  client_id: ${clientId}

# Who saw what: one line an event, each chained to the one before.
audit:
  file: data/audit.jsonl
`
}
