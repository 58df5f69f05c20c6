import { PostgresError } from './failure.ts'
import type { Due } from './session-clock.ts'

/** What a client is told when a time limit has ended its session. */
export const endings: { readonly [due in Exclude<Due, 'statement' | 'silence'>]: () => PostgresError } = {
  idle: () => new PostgresError('postgres.idle_session', 'terminating connection due to idle-session timeout'),
  'idle-in-transaction': () =>
    new PostgresError(
      'postgres.idle_in_transaction',
      'terminating connection due to idle-in-transaction session timeout',
    ),
  lifetime: () => new PostgresError('postgres.session_lifetime', 'terminating connection: the session is too old'),
  uncancelled: () =>
    new PostgresError('postgres.statement_timeout', 'terminating connection: a statement does not end when cancelled'),
  transaction: () =>
    new PostgresError('postgres.transaction_timeout', 'terminating connection due to transaction timeout'),
}
