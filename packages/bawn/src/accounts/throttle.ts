import { hash } from 'node:crypto'
import { isIPv6 } from 'node:net'

/**
 * Slows guessing down, before anything is hashed. A try is taken from three buckets and given back when it succeeds: one of the account
 * from this network, one of the account from anywhere, one of the network. Unknown names have buckets like known ones.
 *
 * Whoever logged in lately from a network is not shut out by strangers: only the first bucket counts there.
 */
export interface LoginThrottle {
  /**
   * Takes one try.
   *
   * @param user as stated; `undefined` where the credential names nobody before it is verified (a token)
   * @param address of the caller, as text
   */
  attempt(user: string | undefined, address: string): LoginAttempt
}

export type LoginAttempt =
  | {
      readonly kind: 'permitted'
      /** It was the right credential: the try is given back. */
      succeeded(): void
      /** It could not be judged: the try is given back too, and proves nothing. */
      undecided(): void
    }
  | { readonly kind: 'throttled'; readonly retryAfterMs: number }

/** `burst` tries at once, and one more each `intervalMs`. */
export interface TryLimit {
  readonly burst: number
  readonly intervalMs: number
}

export interface ThrottleOptions {
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
  readonly accountAndNetwork?: TryLimit
  readonly account?: TryLimit
  readonly network?: TryLimit
  /** Of each kind of bucket; the one that was used longest ago makes room. */
  readonly maxBuckets?: number
}

/** How long a success speaks for a network. */
const trustMs = 7 * 86_400_000

export function createLoginThrottle({
  now,
  accountAndNetwork = { burst: 5, intervalMs: 10_000 },
  account = { burst: 20, intervalMs: 10_000 },
  network = { burst: 50, intervalMs: 1_000 },
  maxBuckets = 50_000,
}: ThrottleOptions): LoginThrottle {
  const pairs = createBuckets(accountAndNetwork, maxBuckets)
  const accounts = createBuckets(account, maxBuckets)
  const networks = createBuckets(network, maxBuckets)
  /** Until when a pair is trusted. */
  const trusted = new Map<string, number>()

  const trust = (pair: string, until: number): void => {
    trusted.delete(pair)
    trusted.set(pair, until)
    dropOldest(trusted, maxBuckets)
  }

  return {
    attempt(user, address) {
      const at = now()
      const from = networkOf(address)
      // Names have any length: a digest keeps the memory bounded.
      const name = user === undefined ? undefined : hash('sha256', user, 'base64')
      const pair = name === undefined ? undefined : `${name} ${from}`
      const isTrusted = pair !== undefined && (trusted.get(pair) ?? 0) > at
      const taken: { readonly buckets: Buckets; readonly key: string }[] = []
      if (pair !== undefined) taken.push({ buckets: pairs, key: pair })
      if (name !== undefined && !isTrusted) taken.push({ buckets: accounts, key: name })
      if (!isTrusted) taken.push({ buckets: networks, key: from })

      const retryAfterMs = Math.max(...taken.map(({ buckets, key }) => buckets.wait(key, at)))
      if (retryAfterMs > 0) return { kind: 'throttled', retryAfterMs }
      for (const { buckets, key } of taken) buckets.take(key, at)
      let open = true
      const giveBack = (): void => {
        if (open) for (const { buckets, key } of taken) buckets.giveBack(key)
        open = false
      }
      return {
        kind: 'permitted',
        succeeded() {
          giveBack()
          if (pair !== undefined) trust(pair, now() + trustMs)
        },
        undecided: giveBack,
      }
    },
  }
}

interface Buckets {
  /** Ms until a try may be taken; 0: at once. */
  wait(key: string, at: number): number
  take(key: string, at: number): void
  giveBack(key: string): void
}

/** One number a bucket: when it would be full again if nobody took from it (the generic cell rate algorithm of ITU-T I.371). */
function createBuckets({ burst, intervalMs }: TryLimit, maxBuckets: number): Buckets {
  const fullAt = new Map<string, number>()
  return {
    wait: (key, at) => Math.max(0, Math.ceil((fullAt.get(key) ?? at) - at - (burst - 1) * intervalMs)),
    take(key, at) {
      const full = Math.max(fullAt.get(key) ?? at, at) + intervalMs
      // Deleted first, so that the map stays in order of use.
      fullAt.delete(key)
      fullAt.set(key, full)
      dropOldest(fullAt, maxBuckets)
    },
    giveBack(key) {
      const full = fullAt.get(key)
      if (full !== undefined) fullAt.set(key, full - intervalMs)
    },
  }
}

function dropOldest(map: Map<string, number>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}

/** The address, or the /64 that one IPv6 customer has; IPv4 mapped into IPv6 is IPv4. */
export function networkOf(address: string): string {
  const plain = address
    .toLowerCase()
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=[0-9.]+$)/, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length + (tail.includes('.') ? 1 : 0)
    while (groups.length + after < 8) groups.push('0')
    groups.push(...tail.split(':'))
  }
  return `${groups
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
