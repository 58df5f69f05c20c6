import { type AccountStore, findAccount } from '../accounts/store.ts'
import type { TokenJudge } from '../authn/bearer.ts'
import type { HttpMechanism, HttpOutcome } from '../authn/http-mechanism.ts'
import { createIdentity, identityOfAccount, type Outcome } from '../authn/identity.ts'
import type { PluggedMechanism } from '../authn/option.ts'
import type { PasswordJudge } from '../authn/password-judge.ts'
import type { CredentialPlaces, KindSurroundings, MechanismKind } from '../plugin.ts'
import { readAnswer } from './answer.ts'
import {
  type Border,
  isObject,
  isThenable,
  type Members,
  methodOf,
  narrowSurroundings,
  parseOptions,
} from './border.ts'
import { exactIdentity } from './claims.ts'
import { credentialsForPlugin } from './credentials.ts'
import type { TrustedMechanism, TrustedMechanismKind } from './trusted.ts'

/**
 * A mechanism of a plug-in behind the border. It speaks under its own name, for its own callers: who it identifies has no client id,
 * comes from nowhere but from this mechanism (or from the account store that knows the account), and is checked part by part.
 */
export function guardMechanism(kind: MechanismKind, name: PluggedMechanism, border: Border): TrustedMechanismKind {
  const what = `mechanism ${name}`
  const optionsOf = (written: unknown) => parseOptions(border, what, kind.options, written)
  const placesOf = (written: unknown): Required<CredentialPlaces> =>
    readPlaces(
      border,
      what,
      border.askNow(what, (): unknown => kind.carries?.(optionsOf(written))),
    )

  return {
    kind: name,
    doors: kind.doors,
    options: kind.options,
    carries: placesOf,
    judgesOpaque: written => border.askNow(what, (): unknown => kind.judgesOpaque?.(optionsOf(written))) === true,
    async create(written, { stores, nonces: _nonces, passwords, issuers, ...given }): Promise<TrustedMechanism> {
      const surroundings = {
        ...narrowSurroundings(border, what, written, given),
        // To ask, and not to close.
        passwords: passwords && { check: passwords.check.bind(passwords) },
        issuers: issuers && exactJudge(issuers),
      }
      const made = await border.ask(`creating ${what}`, () => kind.create(optionsOf(written), surroundings))
      if (!isObject(made)) throw border.fault(what, 'was created as nothing')
      const judge = createJudge(name, border, stores, surroundings.clock)
      const http = kind.doors.includes('http') ? partOf(border, what, made, 'http') : undefined
      const postgres = kind.doors.includes('postgres') ? partOf(border, what, made, 'postgres') : undefined
      return {
        http: http && guardHttp(name, border, http, placesOf(written), judge, surroundings.log),
        postgres: postgres && guardPostgres(border, what, postgres, judge),
        close: async () => {
          await border.ask(`closing ${what}`, () => methodOf(made, 'close')?.())
        },
      }
    },
  }
}

/** The judge, which tells of integers beyond 2^53 which ones they are. */
function exactJudge(judge: TokenJudge): TokenJudge {
  const exact = (outcome: Outcome): Outcome =>
    outcome.kind === 'identified' ? { kind: 'identified', identity: exactIdentity(outcome.identity) } : outcome
  return {
    authenticate(token) {
      const outcome = judge.authenticate(token)
      return outcome instanceof Promise ? outcome.then(exact) : exact(outcome)
    },
  }
}

type Judge = (answer: unknown) => HttpOutcome | Promise<HttpOutcome>

function partOf(border: Border, what: string, made: Members, door: 'http' | 'postgres'): Members {
  const part = made[door]
  if (!isObject(part) || typeof part['authenticate'] !== 'function') {
    throw border.fault(what, `has no authenticate for door ${door}`)
  }
  return part
}

/** Believes an answer, part by part. */
function createJudge(
  mechanism: PluggedMechanism,
  border: Border,
  stores: readonly AccountStore[],
  clock: () => number,
): Judge {
  const what = `mechanism ${mechanism}`

  const findOut = async (name: string): Promise<HttpOutcome> => {
    const found = await findAccount(stores, name)
    if (found === undefined) return { kind: 'rejected', reason: 'unknown-user', claimedName: name }
    if (found.account.locked) return { kind: 'rejected', reason: 'locked', claimedName: name }
    return { kind: 'identified', identity: identityOfAccount(found.account, found.source, mechanism) }
  }

  return answer => {
    const read = border.askNow(what, () => readAnswer(answer))
    switch (read.kind) {
      case 'malformed':
        throw border.fault(what, `gave an answer that ${read.what}`)
      case 'account':
        return findOut(read.name)
      case 'identified': {
        const { id, roles, claims, expiresAt } = read
        if (expiresAt !== undefined && expiresAt <= clock()) {
          return { kind: 'rejected', reason: 'expired', claimedName: id }
        }
        const proof = { claims, clientId: undefined, mechanism, source: mechanism, expiresAt } as const
        return { kind: 'identified', identity: createIdentity({ ...proof, id, roles }) }
      }
      case 'absent':
      case 'rejected':
      case 'throttled':
        return read
    }
  }
}

function guardHttp(
  name: PluggedMechanism,
  border: Border,
  part: Members,
  { headers, query, cookies }: Required<CredentialPlaces>,
  judge: Judge,
  log: KindSurroundings['log'],
): HttpMechanism {
  const what = `mechanism ${name}`
  const authenticate = methodOf(part, 'authenticate')
  const challenge = methodOf(part, 'challenge')
  let told = false
  /** A 401 without its challenge is still one; once in the log is enough. */
  const noChallenge = (): undefined => {
    if (!told) log('error', `${what} has no usable challenge`)
    told = true
  }
  return {
    name,
    carries: { headers, query, cookies },
    authenticate(credentials) {
      const answer = border.askNow(what, (): unknown => authenticate?.(credentialsForPlugin(credentials)))
      return isThenable(answer) ? border.wait(what, answer).then(judge) : judge(answer)
    },
    challenge(credentials, outcome) {
      if (challenge === undefined) return undefined
      try {
        const values = border.askNow(what, () => challenge(credentialsForPlugin(credentials), outcome))
        if (values === undefined || isChallenge(values)) return values
        return Array.isArray(values) && values.every(isChallenge) ? [...values] : noChallenge()
      } catch {
        return noChallenge()
      }
    },
  }
}

function guardPostgres(border: Border, what: string, part: Members, judge: Judge): PasswordJudge {
  const authenticate = methodOf(part, 'authenticate')
  return {
    authenticate: async login => judge(await border.ask(what, () => authenticate?.(login))),
  }
}

/** A value of a header line, which no client can be led astray by. */
function isChallenge(value: unknown): value is string {
  return typeof value === 'string' && /^[!-~](?:[ -~]{0,1022}[!-~])?$/.test(value)
}

const wellFormed: Readonly<Record<keyof CredentialPlaces, RegExp>> = {
  headers: /^[a-z0-9-]{1,64}$/,
  query: /^[A-Za-z0-9._~-]{1,64}$/,
  cookies: /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/,
}

function readPlaces(border: Border, what: string, places: unknown): Required<CredentialPlaces> {
  const read = (key: keyof CredentialPlaces): readonly string[] => {
    const names = isObject(places) ? (places[key] ?? []) : []
    const list: readonly unknown[] = Array.isArray(names) ? [...names] : [undefined]
    return list.map(name => {
      if (typeof name === 'string' && wellFormed[key].test(name)) return name
      throw border.fault(what, `carries ${key} that are no names of any`)
    })
  }
  return { headers: read('headers'), query: read('query'), cookies: read('cookies') }
}
