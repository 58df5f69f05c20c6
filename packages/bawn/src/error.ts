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

  // tokens

  // authn
  'authn.required': {
    blame: 'caller',
    status: 401,
    sqlstate: '28000',
    hint: 'Send a credential that the WWW-Authenticate header of the answer names',
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
  'http.rejected': {
    blame: 'caller',
    status: 401,
    sqlstate: '28000',
    hint: 'Get a new token from the issuer and send it as: Authorization: Bearer <token>',
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
