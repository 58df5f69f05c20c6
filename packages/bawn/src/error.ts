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
  'accounts.unavailable': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The account store cannot be read or written: check the file, its folder, its owner and the free space',
  },
  'accounts.newer_schema': {
    blame: 'operator',
    status: 503,
    sqlstate: '57P03',
    hint: 'The account file was written by a newer version of Bawn: run that version, or restore an older copy',
  },

  // tokens

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
    hint: 'Write an IPv4 or IPv6 address, a network such as 10.0.0.0/8, or local',
  },
  'authn.bad_certificate': {
    blame: 'caller',
    status: 400,
    sqlstate: '28000',
    hint: 'Use an X.509 certificate in DER or PEM with a subject and a positive serial number',
  },
  'authn.upstream_scram': {
    blame: 'upstream',
    status: 502,
    sqlstate: '08001',
    hint: 'Check the password of the database credential and that the server is the right one',
  },

  // masking

  // audit
  'audit.broken_chain': {
    blame: 'operator',
    status: 500,
    sqlstate: 'XX000',
    hint: 'Somebody changed the audit file, or its key is another one: compare it with a copy kept elsewhere',
  },

  // policy
  'policy.denied': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Ask the operator which role permits this; bawn explain names the rule',
  },

  // keys
  'keys.not_found': {
    blame: 'operator',
    status: 500,
    sqlstate: '58000',
    hint: 'List the keys that exist: bawn keys list',
  },

  // fields
  'fields.unreadable': {
    blame: 'operator',
    status: 500,
    sqlstate: 'XX000',
    hint: 'The stored value does not open with the keys of this field: check its client id and the keystore',
  },

  // outbound

  // http
  'http.not_found': { blame: 'caller', status: 404, sqlstate: '42704', hint: 'No route has this path and method' },

  // postgres
  'postgres.protocol': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'The client sent a message that the PostgreSQL protocol does not allow here',
  },

  // admin

  // config
  'config.invalid': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Correct the lines named above and run: bawn check',
  },

  // cli
  'cli.usage': { blame: 'operator', status: 400, sqlstate: '08000', hint: 'See: bawn help' },

  // everything else
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
