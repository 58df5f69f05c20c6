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
  'audit.unwritable': {
    blame: 'operator',
    status: 503,
    sqlstate: '58030',
    hint: 'Nothing is answered that cannot be written down: see that the audit file exists, its disk has room and nobody else writes it',
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
  'policy.unknown': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Name a policy that the configuration declares, or anyone or authenticated',
  },
  'policy.reserved_name': {
    blame: 'operator',
    status: 500,
    sqlstate: 'F0000',
    hint: 'Give the policy another name: anyone and authenticated are built in',
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
    hint: 'The master key is base64 of at least 32 bytes; make one with: bawn keys master',
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
  'fields.not_text': {
    blame: 'caller',
    status: 400,
    sqlstate: '22021',
    hint: 'Send UTF-8, or declare the field with type: bytes',
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
