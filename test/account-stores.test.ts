import { accountStoreTour } from './account-tour.ts'
import { startPostgresAccounts } from './postgres-accounts.ts'

// Two gateways over accounts in PostgreSQL, from the command line to the two doors.

accountStoreTour({ kind: 'postgres', scram: true, holdsGrants: true, start: startPostgresAccounts })
