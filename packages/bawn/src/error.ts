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

  // postgres
  'postgres.protocol': {
    blame: 'caller',
    status: 400,
    sqlstate: '08P01',
    hint: 'The client sent a message that the PostgreSQL protocol does not allow here',
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
  'postgres.setting_refused': {
    blame: 'caller',
    status: 403,
    sqlstate: '42501',
    hint: 'Leave this setting as the gateway set it: values could not be recognised otherwise',
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
