import { PostgresError } from '../failure.ts'

/** @param what in the server's words where it has some; never a value */
export function malformed(what: string): PostgresError {
  return new PostgresError('postgres.copy_malformed', what)
}

export function tooLong(maxBytes: number): PostgresError {
  return new PostgresError('postgres.too_large', `a row with protected columns is longer than ${maxBytes} bytes`)
}

export function tooFewCells(): PostgresError {
  return malformed('a row has fewer values than columns')
}

export function tooManyCells(): PostgresError {
  return malformed('extra data after last expected column')
}
