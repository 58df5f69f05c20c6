import { hash } from 'node:crypto'
import { type BucketLimit, createBuckets } from '../limits/bucket.ts'
import { networkOf, siteLimit, siteOf } from '../limits/network.ts'
import { createNumbers, type NumbersFor } from '../limits/numbers.ts'
import type { CountedTry } from '../limits/shared-tries.ts'

/**
 * Slows the guessing of passwords down, before anything is hashed (docs/decisions/0020). A try is taken from three buckets and given back
 * when it succeeds: one of the account from this network, one of the account from anywhere, one of the network. Where the network is one of
 * the 65,536 that an IPv6 site has, the site has buckets too. Unknown names have buckets like known ones.
 *
 * Whoever logged in lately from a network is not shut out by strangers: only the first bucket counts there. What failed before and is sent
 * again is no other guess: a program with an old password shuts nobody out.
 */
export interface LoginThrottle {
  /**
   * Takes one try.
   *
   * @param user as stated
   * @param address of the caller, as text
   * @returns at once, where tries are counted in this process
   */
  attempt(user: string, address: string): LoginAttempt | Promise<LoginAttempt>
  /** As `attempt`, always at once; absent where others are asked about tries as well. */
  attemptHere?(user: string, address: string): LoginAttempt
  /**
   * Takes one try with something that names nobody before it is judged. Each kind has a bucket a network of its own: guesses of keys keep
   * nobody from logging in by password.
   *
   * @param kind name of the mechanism
   */
  attemptNameless(kind: string, address: string): LoginAttempt | Promise<LoginAttempt>
  /** Why this guess failed lately for this user from this network: nothing need be hashed then, and no try taken. `undefined`: it did not. */
  failureOf(user: string, address: string, guess: string): LoginFailureReason | undefined
}

/** Counts in this process. */
export interface LocalThrottle extends LoginThrottle {
  attemptHere(user: string, address: string): LoginAttempt
  /** @param isTrusted whether another process knows of a success from that network */
  attempt(user: string, address: string, isTrusted?: boolean): LoginAttempt
  attemptNameless(kind: string, address: string): LoginAttempt
  /** What `attempt` takes from. */
  triesOf(user: string, address: string): GuessTries
  namelessTriesOf(kind: string, address: string): GuessTries
}

type Try = CountedTry & { readonly table: 'pairs' | 'accounts' | 'networks' | 'nameless' }

/** Where a try is counted. */
export interface GuessTries {
  /** Of whoever is trusted, the first alone counts. */
  readonly tries: readonly Try[]
  /** By which a success is known; `undefined`: it makes nobody trusted. */
  readonly trust: string | undefined
  /** How long a success speaks for a network. */
  readonly trustMs: number
}

const failureReasons = ['unknown-user', 'wrong-password', 'locked'] as const
/** For the log and the trail only. */
export type LoginFailureReason = (typeof failureReasons)[number]

export type LoginAttempt =
  | {
      readonly kind: 'permitted'
      /** It was the right credential: the try is given back. */
      succeeded(): void
      /** It could not be judged: the try is given back too, and proves nothing. */
      undecided(): void
      /**
       * It was wrong. Need not be called: without it the try stays taken.
       *
       * @param guess the same for the same wrong credential, and nothing from which that could be told; one that failed lately gives its
       *   try back
       */
      failed(guess: string, reason: LoginFailureReason): void
    }
  | { readonly kind: 'throttled'; readonly retryAfterMs: number }

export interface ThrottleOptions {
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
  /** From 0 to 1; `Math.random`. */
  readonly random?: () => number
  readonly accountAndNetwork?: BucketLimit
  /** Slower than `account`: one site must not be able to use all of its tries up. */
  readonly accountAndSite?: BucketLimit
  readonly account?: BucketLimit
  readonly network?: BucketLimit
  readonly nameless?: BucketLimit
  /** Of each kind of bucket; the one that was used longest ago makes room. */
  readonly maxBuckets?: number
  /** Where tries are counted: in this thread, when it is not given. */
  readonly numbers?: NumbersFor
}

const trustMs = 7 * 86_400_000
const trustAgainMs = 3_600_000

/**
 * How long at most a failed guess is known. Each for another time: were it the same for all, a repeated guess that is hashed again too
 * early would tell that there is an account and that its password was changed.
 */
const failureMs = 120_000

export function createLoginThrottle({
  now,
  random = Math.random,
  accountAndNetwork = { burst: 5, intervalMs: 10_000 },
  accountAndSite = { burst: 10, intervalMs: 20_000 },
  account = { burst: 20, intervalMs: 10_000 },
  network = { burst: 50, intervalMs: 1_000 },
  nameless = { burst: 50, intervalMs: 1_000 },
  maxBuckets = 50_000,
  numbers = (_purpose, max) => createNumbers(max),
}: ThrottleOptions): LocalThrottle {
  const tables = {
    pairs: createBuckets(numbers('login pairs', maxBuckets)),
    accounts: createBuckets(numbers('login accounts', maxBuckets)),
    networks: createBuckets(numbers('login networks', maxBuckets)),
    nameless: createBuckets(numbers('login nameless', maxBuckets)),
  }
  /** Until when a pair is trusted. */
  const trusted = numbers('login trusted', maxBuckets)
  /** Guesses of a pair that are known to be wrong: until when, in whole ms, and the reason in the two lowest bits. */
  const failures = numbers('login failures', maxBuckets)

  // Names and guesses have any length: a digest keeps the memory bounded.
  const digestOf = (text: string): string => hash('sha256', text, 'base64')
  const pairOf = (name: string, network: string): string => `${name} ${network}`
  const failureKey = (pair: string, guess: string): string => `${pair} ${digestOf(guess)}`
  const known = (key: string): LoginFailureReason | undefined => {
    const failure = failures.get(key)
    return failure !== undefined && Math.floor(failure / 4) > now() ? failureReasons[failure % 4] : undefined
  }

  const triesOf = (user: string, address: string): GuessTries => {
    const [name, from] = [digestOf(user), networkOf(address)]
    const pair = pairOf(name, from)
    return { tries: [triesOfPair(pair), ...triesOfOthers(name, from, siteOf(address))], trust: pair, trustMs }
  }
  const triesOfPair = (pair: string): Try => ({ table: 'pairs', key: pair, limit: accountAndNetwork })
  const triesOfOthers = (name: string, from: string, site: string | undefined): readonly Try[] => {
    const tries: Try[] = [
      { table: 'accounts', key: name, limit: account },
      { table: 'networks', key: from, limit: network },
    ]
    if (site !== undefined) {
      tries.push({ table: 'pairs', key: pairOf(name, site), limit: accountAndSite })
      tries.push({ table: 'networks', key: site, limit: siteLimit(network) })
    }
    return tries
  }

  const namelessTriesOf = (kind: string, address: string): GuessTries => {
    const tries: Try[] = [{ table: 'nameless', key: `${kind} ${networkOf(address)}`, limit: nameless }]
    const site = siteOf(address)
    if (site !== undefined) tries.push({ table: 'nameless', key: `${kind} ${site}`, limit: siteLimit(nameless) })
    return { tries, trust: undefined, trustMs }
  }

  const take = (tries: GuessTries['tries'], at: number): { readonly giveBack: () => void } | number => {
    const retryAfterMs = trusted.alone(() => {
      const wait = Math.max(...tries.map(({ table, key, limit }) => tables[table].wait(key, limit, at)))
      if (wait === 0) for (const { table, key, limit } of tries) tables[table].take(key, limit, at)
      return wait
    })
    if (retryAfterMs > 0) return retryAfterMs
    let open = true
    return {
      giveBack: () => {
        if (open) for (const { table, key, limit } of tries) tables[table].giveBack(key, limit)
        open = false
      },
    }
  }

  const attempt = (user: string, address: string, isTrusted = false): LoginAttempt => {
    const at = now()
    const [name, from] = [digestOf(user), networkOf(address)]
    const pair = pairOf(name, from)
    const isAlone = isTrusted || (trusted.get(pair) ?? 0) > at
    const first = triesOfPair(pair)
    const took = take(isAlone ? [first] : [first, ...triesOfOthers(name, from, siteOf(address))], at)
    if (typeof took === 'number') return { kind: 'throttled', retryAfterMs: took }
    return {
      kind: 'permitted',
      succeeded() {
        took.giveBack()
        // Once in an hour is often enough for what holds for days.
        if ((trusted.get(pair) ?? 0) < at + trustMs - trustAgainMs) trusted.set(pair, at + trustMs)
      },
      undecided: took.giveBack,
      failed(guess, reason) {
        const failure = failureKey(pair, guess)
        if (known(failure) !== undefined) took.giveBack()
        else failures.set(failure, Math.ceil(now() + failureMs * random()) * 4 + failureReasons.indexOf(reason))
      },
    }
  }

  return {
    triesOf,
    namelessTriesOf,
    attempt,
    attemptHere: attempt,
    attemptNameless(kind, address) {
      const took = take(namelessTriesOf(kind, address).tries, now())
      if (typeof took === 'number') return { kind: 'throttled', retryAfterMs: took }
      return { kind: 'permitted', succeeded: took.giveBack, undecided: took.giveBack, failed: () => {} }
    },
    failureOf: (user, address, guess) => known(failureKey(pairOf(digestOf(user), networkOf(address)), guess)),
  }
}
