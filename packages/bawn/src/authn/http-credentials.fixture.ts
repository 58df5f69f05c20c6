import assert from 'node:assert/strict'
import { createLoginThrottle } from '../accounts/throttle.ts'
import type { HttpCredentials, HttpOutcome } from './http-mechanism.ts'

/** Credentials as the door would hand them over, of what a test wants to say. Names of headers are in lower case. */
export function credentials(
  of: {
    readonly headers?: Readonly<Record<string, string | readonly string[]>>
    readonly query?: Readonly<Record<string, string>>
    readonly cookies?: Readonly<Record<string, string>>
    readonly method?: string
    readonly target?: string
    readonly address?: string
    readonly tls?: boolean
    readonly now?: number
  } = {},
): HttpCredentials {
  const header = (name: string): readonly string[] => [of.headers?.[name] ?? []].flat()
  return {
    method: of.method ?? 'GET',
    target: of.target ?? '/',
    authorization: header('authorization'),
    header,
    query: name => of.query?.[name],
    cookie: name => of.cookies?.[name],
    certificate: undefined,
    address: of.address ?? '10.0.0.7',
    tls: of.tls ?? true,
    now: of.now ?? Date.UTC(2027, 0, 1),
  }
}

/** `Authorization` with this value. */
export const authorization = (value: string): { headers: { authorization: string } } => ({
  headers: { authorization: value },
})

/** Who it is, or why nobody, in a word; of an answer that is there at once. */
export function summary(outcome: HttpOutcome | Promise<HttpOutcome>): string {
  assert(!(outcome instanceof Promise), 'no promise where the answer is known')
  switch (outcome.kind) {
    case 'identified':
      return outcome.identity.id
    case 'rejected':
      return outcome.reason
    case 'absent':
      return outcome.foreignPage === true ? 'foreign page' : 'absent'
    case 'throttled':
      return outcome.kind
  }
}

const limit = { burst: 100_000, intervalMs: 1 }
/** Slows nobody down. */
export const calm = createLoginThrottle({
  now: () => 0,
  accountAndNetwork: limit,
  accountAndSite: limit,
  account: limit,
  network: limit,
  nameless: limit,
})
