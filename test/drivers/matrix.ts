// Which client can log in by which mechanism, and how it is told to: what `npm run test:drivers` tries cell by cell, and what stands in
// docs/clients.md. No tests in here.

/** What is written at the client besides host, port, database and user; or, in words, why there is nothing to write. */
export type Cell = { readonly settings: string } | { readonly cannot: string }
const by = (settings: string): Cell => ({ settings })
const no = (cannot: string): Cell => ({ cannot })

export interface Mechanism {
  readonly id: string
  readonly title: string
  /** Of the host rule. */
  readonly use: string
}

export interface Client<Id extends string> {
  readonly id: string
  readonly name: string
  readonly cells: Readonly<Record<Id, Cell>>
}

/** At the PostgreSQL door; over TLS with `verify-full`, but for the rows about TLS. */
export const postgresMechanisms = [
  { id: 'trust', title: 'trust', use: 'trust' },
  { id: 'scram', title: 'SCRAM-SHA-256', use: 'scram' },
  { id: 'scram-plus', title: 'SCRAM-SHA-256-PLUS', use: 'scram' },
  { id: 'password', title: 'password', use: 'password' },
  { id: 'certificate', title: 'certificate', use: 'certificate' },
  { id: 'jwt', title: 'JWT as the password', use: 'jwt' },
  { id: 'oauthbearer', title: 'OAUTHBEARER', use: 'oauthbearer' },
  { id: 'verifier', title: 'SCRAM, login `verifier`', use: 'scram' },
  { id: 'through-scram', title: 'pass-through, SCRAM', use: 'pass-through' },
  { id: 'through-md5', title: 'pass-through, md5', use: 'pass-through' },
  { id: 'through-password', title: 'pass-through, password', use: 'pass-through' },
  { id: 'tls-off', title: 'no TLS (SCRAM)', use: 'scram' },
  { id: 'tls-require', title: 'TLS, nobody verified (SCRAM)', use: 'scram' },
  { id: 'tls-full', title: 'TLS, verified in full (SCRAM)', use: 'scram' },
  { id: 'tls-direct', title: 'direct TLS, ALPN (SCRAM)', use: 'scram' },
] as const satisfies readonly Mechanism[]
export type PostgresMechanism = (typeof postgresMechanisms)[number]['id']

const libpq = {
  trust: by(''),
  scram: by('password=…'),
  'scram-plus': by('password=… channel_binding=require'),
  password: by('password=…'),
  certificate: by('sslcert=client.pem sslkey=client.key'),
  jwt: by('password=TOKEN'),
  verifier: by('password=…'),
  'through-scram': by('password=… channel_binding=disable'),
  'through-md5': by('password=…'),
  'through-password': by('password=…'),
  'tls-off': by('sslmode=disable'),
  'tls-require': by('sslmode=require'),
  'tls-full': by('sslmode=verify-full sslrootcert=ca.pem'),
} as const
const direct = by('sslmode=verify-full sslnegotiation=direct')
const onlyScram = no('of SASL it knows SCRAM alone')

export const postgresClients: readonly Client<PostgresMechanism>[] = [
  {
    id: 'psql',
    name: 'psql',
    cells: {
      ...libpq,
      oauthbearer: no('libpq has it since version 18'),
      'tls-direct': no('libpq has it since version 17'),
    },
  },
  {
    id: 'psql-18',
    name: 'psql with libpq 18',
    cells: {
      ...libpq,
      oauthbearer: no('psql leaves it to the module libpq-oauth, which came with no package that was tried'),
      'tls-direct': direct,
    },
  },
  {
    id: 'psycopg',
    name: 'psycopg 3',
    cells: {
      ...libpq,
      oauthbearer: by('oauth_issuer=URL oauth_client_id=NAME, and the token by a hook of libpq (PQsetAuthDataHook)'),
      'tls-direct': direct,
    },
  },
  {
    id: 'asyncpg',
    name: 'asyncpg',
    cells: {
      trust: by(''),
      scram: by('password=…'),
      'scram-plus': no('it does not bind to the channel'),
      password: by('password=…'),
      certificate: by('ssl=context, context.load_cert_chain(…)'),
      jwt: by('password=TOKEN'),
      oauthbearer: onlyScram,
      verifier: by('password=…'),
      'through-scram': by('password=…'),
      'through-md5': by('password=…'),
      'through-password': by('password=…'),
      'tls-off': by('ssl=False'),
      'tls-require': by("ssl='require'"),
      'tls-full': by("ssl=ssl.create_default_context(cafile='ca.pem')"),
      'tls-direct': by("ssl=context, context.set_alpn_protocols(['postgresql']), direct_tls=True"),
    },
  },
  {
    id: 'node-postgres',
    name: 'node-postgres',
    cells: {
      trust: by(''),
      scram: by('password'),
      'scram-plus': by('password, enableChannelBinding: true (where it is offered; it cannot insist)'),
      password: by('password'),
      certificate: by('ssl: { ca, cert, key }'),
      jwt: by('password: token'),
      oauthbearer: onlyScram,
      verifier: by('password'),
      'through-scram': by('password'),
      'through-md5': by('password'),
      'through-password': by('password'),
      'tls-off': by('ssl: false'),
      'tls-require': by('ssl: { rejectUnauthorized: false }'),
      'tls-full': by('ssl: { ca }'),
      'tls-direct': by("ssl: { ca }, sslnegotiation: 'direct'"),
    },
  },
  {
    id: 'postgres-js',
    name: 'postgres.js',
    cells: {
      trust: by(''),
      scram: by('password'),
      'scram-plus': no('it does not bind to the channel'),
      password: by('password'),
      certificate: by('ssl: { ca, cert, key }'),
      jwt: by('password: token'),
      oauthbearer: onlyScram,
      verifier: by('password'),
      'through-scram': by('password'),
      'through-md5': by('password'),
      'through-password': by('password'),
      'tls-off': by('ssl: false'),
      'tls-require': by("ssl: 'require'"),
      'tls-full': by('ssl: { ca }'),
      'tls-direct': by("ssl: { ca }, sslnegotiation: 'direct'"),
    },
  },
  {
    id: 'pgjdbc',
    name: 'pgjdbc',
    cells: {
      trust: by(''),
      scram: by('password=…'),
      'scram-plus': by('password=… channelBinding=require'),
      password: by('password=…'),
      certificate: by('sslcert=client.pem sslkey=client.pk8'),
      jwt: by('password=TOKEN'),
      oauthbearer: onlyScram,
      verifier: by('password=…'),
      'through-scram': by('password=… channelBinding=disable'),
      'through-md5': by('password=…'),
      'through-password': by('password=…'),
      'tls-off': by('sslmode=disable'),
      'tls-require': by('sslmode=require'),
      'tls-full': by('sslmode=verify-full sslrootcert=ca.pem'),
      'tls-direct': by('sslmode=verify-full sslNegotiation=direct'),
    },
  },
  {
    id: 'pgx',
    name: 'pgx v5',
    cells: { ...libpq, oauthbearer: by('config.OAuthTokenProvider'), 'tls-direct': direct },
  },
]

/** At the HTTP door, over TLS. */
export const httpMechanisms = [
  { id: 'trust', title: 'trust', use: 'trust' },
  { id: 'basic', title: 'basic', use: 'basic' },
  { id: 'digest', title: 'digest (SHA-256)', use: 'digest' },
  { id: 'digest-basic', title: 'digest, where Basic is offered first', use: 'basic, digest' },
  { id: 'certificate', title: 'certificate', use: 'certificate' },
  { id: 'jwt', title: 'jwt', use: 'jwt' },
  { id: 'token', title: 'token, as Bearer', use: 'token' },
  { id: 'token-basic', title: 'token, as the password of Basic', use: 'token, basic' },
  { id: 'api-key', title: 'api-key, in its header', use: 'api-key' },
  { id: 'api-key-basic', title: 'api-key, as the user of Basic', use: 'api-key' },
] as const satisfies readonly Mechanism[]
export type HttpMechanism = (typeof httpMechanisms)[number]['id']

const requests = {
  trust: by(''),
  basic: by("auth=('alice', PASSWORD.encode())"),
  certificate: by("cert=('client.pem', 'client.key')"),
  jwt: by("headers={'Authorization': 'Bearer TOKEN'}"),
  token: by("headers={'Authorization': 'Bearer TOKEN'}"),
  'token-basic': by("auth=('alice', TOKEN)"),
  'api-key': by("headers={'X-Api-Key': …}"),
  'api-key-basic': by("auth=(KEY, '')"),
} as const

export const httpClients: readonly Client<HttpMechanism>[] = [
  {
    id: 'requests',
    name: 'requests (Python)',
    cells: {
      ...requests,
      digest: by("auth=HTTPDigestAuth('dora', …)"),
      'digest-basic': by("auth=HTTPDigestAuth('dora', …)"),
    },
  },
  {
    id: 'httpx',
    name: 'httpx (Python)',
    cells: {
      ...requests,
      basic: by("auth=('alice', …)"),
      certificate: by('verify=context, context.load_cert_chain(…)'),
      digest: by("auth=DigestAuth('dora', …)"),
      'digest-basic': by("auth=DigestAuth('dora', …)"),
    },
  },
  {
    id: 'net-http',
    name: 'net/http (Go)',
    cells: {
      trust: by(''),
      basic: by('request.SetBasicAuth("alice", …)'),
      digest: no('there is no digest in net/http'),
      'digest-basic': no('there is no digest in net/http'),
      certificate: by('tls.Config{Certificates: …}'),
      jwt: by('request.Header.Set("Authorization", "Bearer TOKEN")'),
      token: by('request.Header.Set("Authorization", "Bearer TOKEN")'),
      'token-basic': by('request.SetBasicAuth("alice", TOKEN)'),
      'api-key': by('request.Header.Set("X-Api-Key", …)'),
      'api-key-basic': by('request.SetBasicAuth(KEY, "")'),
    },
  },
  {
    id: 'java',
    name: 'HttpClient (Java)',
    cells: {
      trust: by(''),
      basic: by('.authenticator(…), answers the question'),
      digest: no('of the questions it answers Basic alone'),
      'digest-basic': no('of the questions it answers Basic alone'),
      certificate: by('.sslContext(…)'),
      jwt: by('.header("Authorization", "Bearer TOKEN")'),
      token: by('.header("Authorization", "Bearer TOKEN")'),
      'token-basic': by('.authenticator(…), answers the question'),
      'api-key': by('.header("X-Api-Key", …)'),
      'api-key-basic': by('.authenticator(…), answers the question'),
    },
  },
]
