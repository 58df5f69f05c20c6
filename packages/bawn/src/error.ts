/** Who has to act on an error: `caller` (the client), `upstream` (what stands behind us), `operator` (who runs the gateway), `gateway` (a bug of ours). */
export type Blame = 'caller' | 'upstream' | 'operator' | 'gateway'

export interface ErrorSpec {
  readonly blame: Blame
  /** HTTP status (RFC 9110) at the HTTP and admin doors. */
  readonly status: number
  /** SQLSTATE (PostgreSQL manual, appendix A) at the PostgreSQL door. */
  readonly sqlstate: string
  /** What to do next, in one sentence; no secret and no value from the request. */
  readonly hint: string
}

/**
 * Every error that leaves the gateway, by its code. A code never changes once released; `docs/errors.md` has one heading per
 * code, and a test holds the two together. Rows stand in the order of the folders in ARCHITECTURE.md.
 */
export const errors = {
  // accounts
  'accounts.not_found': {
    blame: 'operator',
    status: 404,
    sqlstate: '42704',
    hint: 'List the accounts that exist: bawn accounts list',
  },
  'accounts.exists': {
    blame: 'operator',
    status: 409,
    sqlstate: '42710',
    hint: 'Choose another name, or change the account: bawn accounts passwd',
  },
  'accounts.invalid': {
    blame: 'operator',
    status: 400,
    sqlstate: '22023',
    hint: 'A name has 1 to 128 characters and no control characters; a role has letters, digits, "_", "-", "."',
  },
  'accounts.role_cycle': {
    blame: 'operator',
    status: 400,
    sqlstate: '0LP01',
    hint: 'A role cannot have itself, be it over others: see who has which with bawn accounts list',
  },
  'accounts.role_in_use': {
    blame: 'operator',
    status: 409,
    sqlstate: '2BP01',
    hint: 'Take the role from whoever has it first: bawn accounts revoke',
  },
  'accounts.superuser': {
    blame: 'operator',
    status: 403,
    sqlstate: '42501',
    hint: 'Superusers of the configuration are changed at the command line of the gateway, not in SQL: bawn accounts',
  },
  'accounts.unavailable': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The account store cannot be read or written: check the file, its folder, its owner and the free space, or the database',
  },
  'accounts.newer_schema': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The account file was written by a newer version of Bawn: run that version, or restore an older copy',
  },
  'accounts.read_only': {
    blame: 'operator',
    status: 409,
    sqlstate: '25006',
    hint: 'Change the file itself, or import it into a store of kind sqlite: bawn accounts import',
  },
  'accounts.busy': {
    blame: 'operator',
    status: 503,
    sqlstate: '53300',
    hint: 'Too many passwords wait to be checked: try again in a moment',
  },
  'accounts.bad_file': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the file of users in the line that the message names',
  },
  'accounts.bad_url': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Write mongodb://user:password@host:port/?replicaSet=name; tls, time limits and the like are options beside url',
  },

  // tokens
  'tokens.full': {
    blame: 'operator',
    status: 503,
    sqlstate: '53400',
    hint: 'No more tokens are kept: raise max_tokens, or shorten ttl and lifetime of tokens; nothing that runs was ended',
  },
  'tokens.claims_too_long': {
    blame: 'operator',
    status: 503,
    sqlstate: '53400',
    hint: 'The claims that tokens.claims names are too long to go along in a token: name fewer, or ask for the first token each time',
  },
  'tokens.expired_proof': {
    blame: 'caller',
    status: 401,
    sqlstate: '28000',
    hint: 'The credential runs out now, and no token outlives the credential that it is issued for: log in again',
  },
  'tokens.unavailable': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The token store cannot be read or written: check the file and its disk, or Redis; tokens cannot be judged meanwhile',
  },
  'tokens.newer_schema': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The token file was written by a newer version of Bawn: run that version, or name another file',
  },
  'tokens.bad_signing_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Make a key that fits the algorithm of signing: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
  },
  'tokens.bad_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Make a key: openssl genpkey -algorithm ed25519, or openssl rand -base64 32; tokens.key names where it is',
  },

  // authn
  'authn.required': {
    blame: 'caller',
    status: 401,
    sqlstate: '28000',
    hint: 'Send a credential that the WWW-Authenticate header of the answer names',
  },
  'authn.failed': {
    blame: 'caller',
    status: 401,
    sqlstate: '28P01',
    hint: 'Check name, password, token or certificate; the operator finds the reason in the log by the request id',
  },
  'authn.throttled': {
    blame: 'caller',
    status: 429,
    sqlstate: '53400',
    hint: 'Too many failed logins with this name or from this address: wait as long as Retry-After says',
  },
  'authn.foreign_page': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'A page of another address made the browser send this: send it from a page of this address, or with Authorization',
  },
  'authn.login_expired': {
    blame: 'caller',
    status: 400,
    sqlstate: '28000',
    hint: 'No login of this browser is waiting for this answer: it took too long, is over, or began elsewhere; log in again',
  },
  'authn.login_refused': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'The identity provider did not log you in: it refused, or you did; log in again, or ask its operator',
  },
  'authn.login_failed': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'The answer of the identity provider is not accepted; log in again; the operator finds the reason by the request id',
  },
  'authn.bad_return_to': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Let return_to be one path of this gateway, with its query, of at most 768 characters: /orders?open=1',
  },
  'authn.bad_logout_token': {
    blame: 'caller',
    status: 400,
    sqlstate: '28000',
    hint: 'Send one logout_token of the configured issuer, for this client, with sub, made just now',
  },
  'authn.introspection_unreachable': {
    blame: 'upstream',
    status: 503,
    sqlstate: '57P03',
    hint: 'The token’s issuer cannot be asked now: try again; operator: check mechanisms.introspection',
  },
  'authn.issuer_unreachable': {
    blame: 'upstream',
    status: 503,
    sqlstate: '57P03',
    hint: 'The keys of the token issuer cannot be had now: try again; operator: check jwks of the issuer',
  },
  'authn.bad_issuer': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the entry under issuers: https for jwks (or insecure_http: true in tests), each issuer once',
  },
  'authn.weak_secret': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Agree on a longer random secret with the issuer: openssl rand -base64 64; secret_encoding says how it is read',
  },
  'authn.bad_decryption_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Make a key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; decryption.keys of the issuer names where it is',
  },
  'authn.busy': {
    blame: 'operator',
    status: 503,
    sqlstate: '53300',
    hint: 'Too many encrypted tokens are being opened: try again in a moment',
  },
  'authn.bad_nonce_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Make a key: openssl rand -base64 32; mechanisms.digest.nonce_key names where it is',
  },
  'authn.bad_digest_user': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Put the hexadecimal digits of the hash of name:realm:password into the secret: printf %s name:realm:password | sha256sum',
  },
  'authn.bad_login_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Let mechanisms.oidc.key be base64 of 32 bytes (openssl rand -base64 32), and client_key a private key in PEM',
  },
  'authn.bad_service': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Each common_name and each client_id belongs to one service only',
  },
  'authn.bad_address': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Write an IPv4 or IPv6 address, a network such as 10.0.0.0/8, local, a host name, or .example for names that end so',
  },
  'authn.host_undecided': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'A host rule needs the name of your address, and DNS does not answer: try again; operator: the log says what failed',
  },
  'authn.bad_certificate': {
    blame: 'caller',
    status: 400,
    sqlstate: '28000',
    hint: 'Use an X.509 certificate in DER or PEM with a subject and a positive serial number',
  },
  'authn.revocation_undecided': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'Whether the certificate was revoked cannot be told now: try again; operator: the log says which responder or list fails',
  },
  'authn.upstream_scram': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08001',
    hint: 'Check the password of the database credential and that the server is the right one',
  },
  'authn.other_verifier': {
    blame: 'operator',
    status: 502,
    sqlstate: '28000',
    hint: 'Bring the verifier of PostgreSQL into the account store again, or use a store of kind postgres-roles',
  },

  // plugins
  'plugins.not_found': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Name a file below the folder of the configuration as ./path, or install the package there: npm install NAME',
  },
  'plugins.bad_module': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the module: its default export is one object of the type Plugin; docs/guide/plugins.md has examples',
  },
  'plugins.wrong_api': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Install a version of the plug-in that is made for this version of Bawn',
  },
  'plugins.duplicate_kind': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Leave one of the two out, or have the plug-in name its kind otherwise',
  },
  'plugins.bad_integrity': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Look at what has changed in the file; where it is as it should be, write its digest into integrity',
  },
  'plugins.changed': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Restart the gateway: the code of a plug-in cannot change while it runs',
  },
  'plugins.failed': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'A plug-in threw, gave no answer in time, or answered what is no answer: the log names it and where in its code',
  },

  // masking

  // audit
  'audit.broken_chain': {
    blame: 'operator',
    status: 500,
    sqlstate: 'XX000',
    hint: 'Somebody changed the audit file, or its key is another one: compare it with a copy kept elsewhere',
  },
  'audit.unwritable': {
    blame: 'operator',
    status: 503,
    sqlstate: '58030',
    hint: 'Nothing is answered that cannot be written down: see that the audit file exists, its disk has room and nobody else writes it',
  },
  'audit.access_log': {
    blame: 'operator',
    status: 500,
    sqlstate: '58030',
    hint: 'See that the folder of access_log.file exists, the gateway may write there, and its disk has room',
  },
  'audit.locked': {
    blame: 'operator',
    status: 500,
    sqlstate: '55006',
    hint: 'Give every gateway an audit file of its own, or stop the one that holds the lock',
  },

  // policy
  'policy.denied': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Ask the operator which role permits this; bawn explain names the rule',
  },
  'policy.withheld': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'What was asked for was done; the answer may not be shown to you. Ask the operator which policy permits it',
  },
  'policy.unknown': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Name a policy that the configuration declares, or anyone, authenticated or acl',
  },
  'policy.bad_expression': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the expression: bawn check shows the place, docs/guide/policies.md what it may name',
  },
  'policy.reserved_name': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Give the policy another name: anyone, authenticated and acl are built in',
  },

  // keys
  'keys.not_found': {
    blame: 'operator',
    status: 500,
    sqlstate: '58000',
    hint: 'List the keys that exist: bawn keys list',
  },
  'keys.bad_client_id': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'A client id has 5 to 256 letters, digits, spaces, "_" or "-"',
  },
  'keys.bad_master_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'The master key is base64 of at least 32 bytes; make one with: bawn keys generate --master',
  },
  'keys.insecure_mode': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Keys are for one user only: chmod 700 the directory and 600 the files',
  },
  'keys.unwrap_failed': {
    blame: 'operator',
    status: 500,
    sqlstate: '58000',
    hint: 'The key file was made with another master key, for another client id, or is damaged',
  },
  'keys.unreadable': {
    blame: 'operator',
    status: 500,
    sqlstate: '58030',
    hint: 'See that the key directory exists and that the gateway may read and write it',
  },
  'keys.exists': {
    blame: 'operator',
    status: 409,
    sqlstate: '42710',
    hint: 'The audit key is not replaced while lines depend on it: move the audit file away first',
  },
  'keys.locked': {
    blame: 'operator',
    status: 409,
    sqlstate: '55006',
    hint: 'Another process makes keys in this directory: try again when it has ended',
  },

  // fields
  'fields.unreadable': {
    blame: 'operator',
    status: 500,
    sqlstate: 'XX000',
    hint: 'The stored value does not open with the keys of this field: check its client id and the keystore',
  },
  'fields.invalid': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the field in the configuration and run: bawn check',
  },
  'fields.no_key': {
    blame: 'operator',
    status: 500,
    sqlstate: '58000',
    hint: 'Make the keys that the field needs: bawn keys generate',
  },
  'fields.not_searchable': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Only a searchable field that you see in plain can be compared',
  },
  'fields.masked_value': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Leave the field out of the change, or write a new value: what you were shown is its mask',
  },
  'fields.not_text': {
    blame: 'caller',
    status: 400,
    sqlstate: '22021',
    hint: 'Send UTF-8, or declare the field with type: bytes',
  },

  // outbound

  // http
  'http.not_found': { blame: 'caller', status: 404, sqlstate: '42704', hint: 'No route has this path and method' },
  'http.bad_request': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'Send one well-formed HTTP/1.1 request: one Host, one way of framing the body, no folded or empty header lines',
  },
  'http.bad_path': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Send the path without dot segments, empty segments, ";" and encoded slashes, as UTF-8',
  },
  'http.bad_forwarding': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'The proxy in front has to write addresses into its forwarding header, no names, and a protocol for all hops or for each',
  },
  'http.header_too_large': {
    blame: 'caller',
    status: 431,
    sqlstate: '54000',
    hint: 'Send fewer or shorter headers; the operator sets max_header_bytes',
  },
  'http.request_timeout': {
    blame: 'caller',
    status: 408,
    sqlstate: '57014',
    hint: 'Send the whole request sooner; the operator sets header_timeout and request_timeout',
  },
  'http.bad_upgrade': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'A WebSocket connection begins with GET, HTTP/1.1, Connection: Upgrade, Upgrade: websocket, version 13 and a key of 16 bytes',
  },
  'http.websockets_full': {
    blame: 'gateway',
    status: 503,
    sqlstate: '53300',
    hint: 'Try again later: as many WebSocket connections are open as may be; max_websockets and max_websockets_per_identity of the listener, and websocket_max of the route, say how many',
  },
  'http.method_not_allowed': {
    blame: 'caller',
    status: 405,
    sqlstate: '0A000',
    hint: 'Use a method that the Allow header names',
  },
  'http.expectation_failed': {
    blame: 'caller',
    status: 417,
    sqlstate: '0A000',
    hint: 'The only expectation that is understood is 100-continue',
  },
  'http.bad_authorization': {
    blame: 'caller',
    status: 400,
    sqlstate: '28000',
    hint: 'Send one Authorization header',
  },
  'http.rate_limited': {
    blame: 'caller',
    status: 429,
    sqlstate: '53400',
    hint: 'Too many requests from this address: wait as long as Retry-After says, and watch RateLimit before',
  },
  'http.unusable_claim': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'This route needs something of the token that yours does not have: ask who issues it',
  },
  'http.hint_too_long': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'The backend would have to be told more of you than this route permits: ask for a token with fewer or shorter claims and roles',
  },
  'http.refused_here': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'The operator’s host rules do not admit this address, transport or kind of credential',
  },
  'http.cannot_authenticate': {
    blame: 'upstream',
    status: 503,
    sqlstate: '57P03',
    hint: 'Try again later: who is asking cannot be decided at the moment',
  },
  'http.body_too_large': {
    blame: 'caller',
    status: 413,
    sqlstate: '54000',
    hint: 'Send a smaller body; the operator sets max_body_bytes and max_json_bytes',
  },
  'http.media_type': {
    blame: 'caller',
    status: 415,
    sqlstate: '0A000',
    hint: 'Send application/json in UTF-8, without Content-Encoding: this route has protected fields',
  },
  'http.unreadable_body': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Send valid JSON with a string or null wherever a protected field stands, and no key twice',
  },
  'http.client_left': {
    blame: 'caller',
    status: 499,
    sqlstate: '08006',
    hint: 'The client closed the connection before the answer was complete',
  },
  'http.upstream_unreachable': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08001',
    hint: 'See that the upstream runs, that its address is right and that its certificate is trusted',
  },
  'http.upstream_timeout': {
    blame: 'upstream',
    status: 504,
    sqlstate: '57014',
    hint: 'Try again later; the operator sets connect_timeout, response_timeout and idle_timeout',
  },
  'http.upstream_busy': {
    blame: 'upstream',
    status: 503,
    sqlstate: '53300',
    hint: 'Try again later: all connections to the upstream are in use',
  },
  'http.upstream_error': {
    blame: 'upstream',
    status: 502,
    sqlstate: '58000',
    hint: 'The upstream answered with an error; what it said is withheld because this route has protected fields',
  },
  'http.backend_failed': {
    blame: 'upstream',
    status: 502,
    sqlstate: '58000',
    hint: 'Try again later; the operator finds in the log which backend failed, and can say required: false',
  },
  'http.bad_answer': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08P01',
    hint: 'The upstream does not speak HTTP/1.1 correctly, or closed too early; the log says where',
  },
  'http.answer_too_large': {
    blame: 'upstream',
    status: 502,
    sqlstate: '54000',
    hint: 'Ask for less at once; the operator sets max_json_bytes',
  },
  'http.unreadable_answer': {
    blame: 'upstream',
    status: 502,
    sqlstate: '22023',
    hint: 'The upstream’s answer cannot be proved free of protected values, so it is withheld: the log says why',
  },
  'http.bad_route': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the route in the configuration and run: bawn check',
  },
  'http.bad_upstream': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the upstream in the configuration and run: bawn check',
  },

  // outbound
  'outbound.token_unavailable': {
    blame: 'upstream',
    status: 503,
    sqlstate: '08001',
    hint: 'Try again later; the log says what the authorization server of this upstream answered',
  },
  'outbound.refused': {
    blame: 'operator',
    status: 502,
    sqlstate: '28000',
    hint: 'Correct the credentials of the upstream in the configuration, or what the upstream permits them',
  },
  'outbound.bad_credentials': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct credentials of the upstream in the configuration and run: bawn check',
  },
  'outbound.unsignable': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Send a query of at most 1,000 parameters, percent-encoded as UTF-8',
  },

  // postgres
  'postgres.protocol': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'The client sent a message that the PostgreSQL protocol does not allow here',
  },
  'postgres.unsupported_version': {
    blame: 'caller',
    status: 400,
    sqlstate: '0A000',
    hint: 'Connect with protocol 3.0 to 3.2',
  },
  'postgres.login_failed': {
    blame: 'caller',
    status: 401,
    sqlstate: '28P01',
    hint: 'Check user name and password; the operator finds the reason in the audit trail',
  },
  'postgres.login_refused': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'Another user, address, database, certificate or TLS setting may be needed: ask the operator which host rule fits',
  },
  'postgres.login_throttled': {
    blame: 'caller',
    status: 429,
    sqlstate: '53400',
    hint: 'Wait, then try again with the right password: logins that fail slow down this user and this address',
  },
  'postgres.login_undecided': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'Who you are cannot be decided just now; try again later',
  },
  'postgres.unknown_database': {
    blame: 'caller',
    status: 404,
    sqlstate: '3D000',
    hint: 'Ask the operator which databases this listener serves',
  },
  'postgres.connect_denied': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Ask the operator which role may connect; bawn explain names the rule',
  },
  'postgres.startup_setting': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Leave this setting as the gateway set it, out of the connection string too: it changes meaning or identity',
  },
  'postgres.encoding': {
    blame: 'caller',
    status: 400,
    sqlstate: '0A000',
    hint: 'Use client_encoding UTF8 (PGCLIENTENCODING=UTF8) and leave standard_conforming_strings on',
  },
  'postgres.replication_refused': {
    blame: 'caller',
    status: 403,
    sqlstate: '0A000',
    hint: 'Replication shows whole tables, past every rule: the operator permits it by replication of the database, or connect to the server itself',
  },
  'postgres.too_many_connections': {
    blame: 'operator',
    status: 503,
    sqlstate: '53300',
    hint: 'Close idle sessions, or raise max_connections of the listener',
  },
  'postgres.rate_limited': {
    blame: 'caller',
    status: 429,
    sqlstate: '53300',
    hint: 'Too many connections from this address in a short time: keep connections open, or use a pool',
  },
  'postgres.too_many_sessions': {
    blame: 'caller',
    status: 429,
    sqlstate: '53300',
    hint: 'Close sessions that are not used any more, or try again later; the operator may raise limits of the database',
  },
  'postgres.prepared_exists': {
    blame: 'caller',
    status: 409,
    sqlstate: '42P05',
    hint: 'Close the statement of this name first, or prepare under another name',
  },
  'postgres.prepared_unknown': {
    blame: 'caller',
    status: 404,
    sqlstate: '26000',
    hint: 'Prepare it in this session; what others have prepared is theirs',
  },
  'postgres.pool_state': {
    blame: 'caller',
    status: 409,
    sqlstate: '0A000',
    hint: 'Use RETURNING, or the same transaction; the operator can set pool: { mode: session }',
  },
  'postgres.shutting_down': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P01',
    hint: 'The gateway stops or restarts; connect again',
  },
  'postgres.session_ended': {
    blame: 'caller',
    status: 401,
    sqlstate: '57P01',
    hint: 'The proof of identity ran out or was revoked; log in again',
  },
  'postgres.idle_session': {
    blame: 'caller',
    status: 408,
    sqlstate: '57P05',
    hint: 'Connect again; a pool should close sessions before that, or the operator may raise idle_session',
  },
  'postgres.idle_in_transaction': {
    blame: 'caller',
    status: 408,
    sqlstate: '25P03',
    hint: 'End transactions when their work is done; the operator may raise idle_in_transaction',
  },
  'postgres.session_lifetime': {
    blame: 'caller',
    status: 408,
    sqlstate: '57P01',
    hint: 'Connect again; a pool should renew its connections before session_lifetime is over',
  },
  'postgres.statement_timeout': {
    blame: 'caller',
    status: 408,
    sqlstate: '57014',
    hint: 'The operator limits statements (statement_timeout of the database or the role), whatever the session sets',
  },
  'postgres.transaction_timeout': {
    blame: 'caller',
    status: 408,
    sqlstate: '25P04',
    hint: 'Do the work in shorter transactions; the operator may raise transaction_timeout',
  },
  'postgres.access_withdrawn': {
    blame: 'caller',
    status: 403,
    sqlstate: '57P01',
    hint: 'Ask the operator: a reload took the database away, or the policies that let this identity in',
  },
  'postgres.session_killed': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P01',
    hint: 'The operator knows why; connect again when that is settled',
  },
  'postgres.upstream_unreachable': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08001',
    hint: 'PostgreSQL does not answer; the log of the gateway says why',
  },
  'postgres.upstream_login': {
    blame: 'operator',
    status: 502,
    sqlstate: '08004',
    hint: 'PostgreSQL refuses the credential of the gateway or a setting; the log of the gateway says why',
  },
  'postgres.password_command': {
    blame: 'operator',
    status: 502,
    sqlstate: '08004',
    hint: 'Run the password_command of the entry by hand, as the user that the gateway runs as; the log has what it said',
  },
  'postgres.login_kind': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'Log in by the mechanism that the database takes; host_rules say who may use which',
  },
  'postgres.user_login_refused': {
    blame: 'operator',
    status: 403,
    sqlstate: '28000',
    hint: 'The role of this name needs LOGIN, a password that is valid, and a line in pg_hba.conf for the gateway',
  },
  'postgres.identity_unmapped': {
    blame: 'operator',
    status: 403,
    sqlstate: '42501',
    hint: 'See identity.set_role of the database: every identity that may connect needs a role there',
  },
  'postgres.pass_through_unproven': {
    blame: 'operator',
    status: 403,
    sqlstate: '28000',
    hint: 'Let pg_hba.conf ask whoever comes from the gateway for a password: scram-sha-256 instead of trust, peer, ident or cert',
  },
  'postgres.pass_through_binding': {
    blame: 'caller',
    status: 403,
    sqlstate: '28000',
    hint: 'Connect with channel_binding=disable; or the database takes logins of kind verifier, or shows the certificate of the gateway',
  },
  'postgres.pass_through_method': {
    blame: 'operator',
    status: 403,
    sqlstate: '28000',
    hint: 'Let pg_hba.conf ask for password, md5, scram-sha-256 or oauth where the gateway comes from',
  },
  'postgres.client_stalled': {
    blame: 'caller',
    status: 408,
    sqlstate: '08006',
    hint: 'Read what was asked for, or ask for less at a time; the operator may raise write_timeout of the listener',
  },
  'postgres.upstream_lost': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08006',
    hint: 'The connection to PostgreSQL broke; connect again',
  },
  'postgres.function_call': {
    blame: 'caller',
    status: 400,
    sqlstate: '0A000',
    hint: 'Call the function in a SELECT; the function call message, which bypasses SQL, is for large objects alone',
  },
  'postgres.too_large': {
    blame: 'caller',
    status: 413,
    sqlstate: '54000',
    hint: 'Send less in one message (COPY streams), or ask the operator to raise max_frame_bytes',
  },
  'postgres.too_many_prepared': {
    blame: 'caller',
    status: 429,
    sqlstate: '53400',
    hint: 'Close prepared statements and portals that are not used any more, or ask the operator to raise max_prepared',
  },
  'postgres.bad_parameter': {
    blame: 'caller',
    status: 400,
    sqlstate: '22P03',
    hint: 'Send the value as text (UTF-8) or as bytea; other types cannot be sealed',
  },
  'postgres.copy_malformed': {
    blame: 'caller',
    status: 400,
    sqlstate: '22P04',
    hint: 'The data of COPY must be of the format and the columns that the statement names; nothing of it was stored',
  },
  'postgres.not_text': {
    blame: 'operator',
    status: 500,
    sqlstate: 'XX000',
    hint: 'The stored value is not UTF-8: declare the field with type bytes, or correct the value',
  },
  'postgres.schema_unavailable': {
    blame: 'upstream',
    status: 503,
    sqlstate: '57P03',
    hint: 'The gateway cannot read the schema, so it cannot tell what is protected; try again later',
  },
  'postgres.plan_outdated': {
    blame: 'caller',
    status: 409,
    sqlstate: '0A000',
    hint: 'The schema changed since the statement was prepared: prepare it again',
  },

  'postgres.setting_refused': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Leave this setting as the gateway set it, out of the connection string too: it changes meaning or identity',
  },
  'postgres.identity_guarded': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'What says who a session is for was set by the gateway and stays; use a login of its own to define code',
  },
  'postgres.statement_denied': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'A rule of the firewall of this database refuses it: ask the operator, who finds the rule by its name in the configuration',
  },
  'postgres.firewall_invalid': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the rule under databases.NAME.firewall: bawn check tells what is wrong with it',
  },
  'postgres.row_filter_missing': {
    blame: 'operator',
    status: 503,
    sqlstate: '55000',
    hint: 'The operator has to run what this prints, as the owner of the tables: bawn rls',
  },
  'postgres.row_filter_invalid': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the entry under databases.NAME.row_filters: bawn check tells what is wrong with it',
  },
  'postgres.statement_refused': {
    blame: 'caller',
    status: 400,
    sqlstate: '0A000',
    hint: 'Protected columns can be selected, written and, where searchable, compared with =; the guide lists every form (docs/guide/sql.md)',
  },
  'postgres.column_protected': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Select the column itself; only who sees a searchable column in plain may compare it, with = or IN',
  },
  'postgres.statement_unreadable': {
    blame: 'caller',
    status: 400,
    sqlstate: '42601',
    hint: 'Correct the syntax: a statement that names a protected table is forwarded only when it was understood',
  },
  'postgres.statement_too_complex': {
    blame: 'caller',
    status: 400,
    sqlstate: '54001',
    hint: 'Split the statement, or pass long lists as parameters',
  },
  'postgres.permission_denied': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Ask an administrator for the privilege: GRANT … TO your name; docs/guide/grants-sql.md says what a statement needs',
  },
  'postgres.relation_unknown': {
    blame: 'caller',
    status: 404,
    sqlstate: '42P01',
    hint: 'Check the name; a relation on which you have no privilege at all does not exist for you',
  },
  'postgres.schema_unknown': {
    blame: 'caller',
    status: 404,
    sqlstate: '3F000',
    hint: 'Check the name, and create the schema before something is granted on it',
  },
  'postgres.account_statement': {
    blame: 'caller',
    status: 400,
    sqlstate: '42601',
    hint: 'Statements about accounts are the gateway’s own; docs/guide/grants-sql.md has their grammar',
  },
  'postgres.account_in_transaction': {
    blame: 'caller',
    status: 409,
    sqlstate: '25001',
    hint: 'Send it by itself, outside of a transaction: it cannot be rolled back with the database',
  },
  'postgres.statement_unknown': {
    blame: 'caller',
    status: 404,
    sqlstate: '26000',
    hint: 'Prepare the statement in this session, by PREPARE or by the protocol',
  },
  'postgres.cursor_unknown': {
    blame: 'caller',
    status: 404,
    sqlstate: '34000',
    hint: 'Declare the cursor in this session; cursors that functions open can be read by who may do everything',
  },
  'postgres.column_missing': {
    blame: 'operator',
    status: 500,
    sqlstate: '42703',
    hint: 'Create the column or correct its name in the configuration; until then its table cannot be used',
  },
  'postgres.column_not_bytea': {
    blame: 'operator',
    status: 500,
    sqlstate: '42804',
    hint: 'Change the column to bytea; until then its table cannot be used',
  },

  // admin
  'admin.host': {
    blame: 'caller',
    status: 421,
    sqlstate: '08000',
    hint: 'Name the machine as localhost or 127.0.0.1: other names are refused where the door listens on this machine only',
  },
  'admin.not_found': {
    blame: 'caller',
    status: 404,
    sqlstate: '42704',
    hint: 'The admin door has: /healthz /readyz /metrics /audit/head /reload /sessions /revocations /tokens/{claim}/{value}',
  },
  'admin.method': { blame: 'caller', status: 405, sqlstate: '42501', hint: 'The Allow header names the method' },
  'admin.body': { blame: 'caller', status: 413, sqlstate: '54000', hint: 'Send the request without a body' },
  'admin.choice': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Say which sessions: id, user or database, each once; of several all must fit',
  },
  'admin.revocation': {
    blame: 'caller',
    status: 400,
    sqlstate: '22023',
    hint: 'Say claim and value, issuer, or api_key, each once and as the configuration knows it; not_before in RFC 3339, keep as 24h',
  },
  'admin.no_revocations': {
    blame: 'operator',
    status: 409,
    sqlstate: '55000',
    hint: 'Add to the configuration: revocations: { kind: sqlite, path: data/revocations.db }',
  },
  'admin.unauthorized': {
    blame: 'caller',
    status: 401,
    sqlstate: '28000',
    hint: 'Let bawn reload send the token, or send what token_file holds as Authorization: Bearer',
  },
  'admin.token_file': {
    blame: 'operator',
    status: 500,
    sqlstate: '58030',
    hint: 'The gateway writes token_file at start: is it running, and are you the same user?',
  },
  'admin.listen': {
    blame: 'operator',
    status: 500,
    sqlstate: '58030',
    hint: 'Another program may have this port: change address of the admin listener',
  },
  'admin.unreachable': {
    blame: 'operator',
    status: 502,
    sqlstate: '08001',
    hint: 'Is the gateway running, with this configuration file? Start it with: bawn start',
  },

  // config
  'config.invalid': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the lines named above and run: bawn check',
  },
  'config.secret': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Set the environment variable, or write the file, that the reference names',
  },

  // cli
  'cli.usage': { blame: 'operator', status: 400, sqlstate: '08000', hint: 'See: bawn help' },
  'cli.failed': {
    blame: 'operator',
    status: 500,
    sqlstate: '58000',
    hint: 'The message says what failed and why',
  },

  // everything else
  'gateway.listen': {
    blame: 'operator',
    status: 500,
    sqlstate: '58030',
    hint: 'Another program may have this port, or the address is not of this machine: change address of the listener',
  },
  'gateway.rate_unknown': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'Redis of rate_limits does not answer, and when_away says refuse: start it, or say count_here',
  },
  'gateway.bad_guess_key': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Make a key: openssl rand -base64 32; rate_limits.guess_key names where it is',
  },
  'gateway.guess_keys_differ': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Give every node the same rate_limits.guess_key; or another prefix, where they are not to count together',
  },
  'gateway.worker_ended': {
    blame: 'gateway',
    status: 500,
    sqlstate: 'XX000',
    hint: 'The cause is in the log; the worker is started again. Report it where the cause is code of the gateway',
  },
  'gateway.worker_silent': {
    blame: 'gateway',
    status: 503,
    sqlstate: '57P03',
    hint: 'A worker is busy or stuck: see its processor time, and restart the gateway where it does not come back',
  },
  'gateway.bug': {
    blame: 'gateway',
    status: 500,
    sqlstate: 'XX000',
    hint: 'Report it with the request id; the log has the details',
  },
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof errors

/**
 * An error that may leave the gateway. The message says what happened, with names and numbers; neither message nor hint ever holds
 * a token, password, key, plaintext or row. Each area has a subclass of its own that narrows `Code`.
 */
export class GatewayError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }

  get spec(): ErrorSpec {
    return errors[this.code]
  }
}
