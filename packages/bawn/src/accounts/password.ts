import { createHmac, randomBytes } from 'node:crypto'
import { networkOf } from '../limits/network.ts'
import { argon2idDefaults } from './argon2id.ts'
import { maxBcryptBytes } from './bcrypt.ts'
import { createCredentialCache } from './credential-cache.ts'
import { createCredentialRecall, type StoreVersions } from './credential-recall.ts'
import { type DigestRealm, hasDigestVerifiers, mergeDigestVerifiers } from './digest-verifier.ts'
import { createHashQueue, type HashQueue } from './hash-queue.ts'
import { createHashThread } from './hash-thread.ts'
import { type Account, type AccountStore, decoySecretOf, type ScramVerifier } from './store.ts'
import type { LoginAttempt, LoginFailureReason, LoginThrottle } from './throttle.ts'
import {
  areCurrent,
  deriveVerifiers,
  isCheap,
  isVerifiedBy,
  maxPasswordBytes,
  type PasswordVerifier,
  type Verifiers,
  verifiersText,
} from './verifier.ts'

/** What checking a name and a password came to. The reason is for the log and the trail only: callers get one text for all. */
export type PasswordOutcome =
  | CorrectPassword
  | { readonly kind: 'wrong'; readonly reason: LoginFailureReason }
  /** Too many failures for this name or from this address: nothing was hashed. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number }

export interface CorrectPassword {
  readonly kind: 'correct'
  readonly account: Account
  /** Name of the store. */
  readonly source: string
}

/**
 * Checks cleartext passwords against every store, for the mechanisms `basic` and `password`. Takes the same time and does the same work for
 * unknown, locked and known names; hashing is off the main thread, bounded, and comes after the limits.
 */
export interface PasswordCheck {
  /**
   * @param user name as stated; any text
   * @param password cleartext; empty is wrong
   * @param address of the caller
   * @throws {AccountError} `accounts.unavailable` (cannot decide), `accounts.busy` when too many checks wait
   */
  check(user: string, password: string, address: string): Promise<PasswordOutcome>
  /**
   * What `check` would say, where it has said so lately and no store has changed since; to be asked first. Nothing else is said here: of a password that is wrong,
   * and of every one while the limits are reached.
   *
   * @throws {AccountError} `accounts.unavailable`
   */
  recall(user: string, password: string, address: string): CorrectPassword | undefined
  close(): Promise<void>
}

export interface PasswordCheckOptions {
  /** In order: the first that knows the name decides. All are asked for every name. */
  readonly stores: readonly AccountStore[]
  /** Shared with every other mechanism, so that a guesser gains nothing by changing it. */
  readonly throttle: LoginThrottle
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
  readonly queue?: HashQueue
  /** What digest needs of each password that comes in clear, where accounts are to keep it. */
  readonly digest?: DigestRealm | undefined
  /** Told when an account's verifiers could not be made anew after a login, which changes nothing for the caller. */
  readonly onUpgradeFailure?: (account: string, cause: unknown) => void
  /** Hands in another way to compare, that counts for example; `isVerifiedBy` by default. */
  readonly isVerified?: (verifier: PasswordVerifier | ScramVerifier, password: string) => Promise<boolean>
}

/** What no password opens; costs what new accounts cost. */
const noAccount: PasswordVerifier = {
  kind: 'argon2id',
  ...argon2idDefaults,
  salt: randomBytes(16),
  tag: randomBytes(32),
}

export function createPasswordCheck(options: PasswordCheckOptions): PasswordCheck {
  const { stores, throttle, now, onUpgradeFailure, digest } = options
  const queue = options.queue ?? createHashQueue()
  const cache = createCredentialCache({ now })
  const recalled = createCredentialRecall<CorrectPassword>(stores, { now })
  const thread = createHashThread()
  const isVerified = options.isVerified ?? ((verifier, password) => isVerifiedBy(verifier, password, thread))
  /** Outlives a restart where a store can keep it: a name must not change its cost with one. */
  const decoySecret = decoySecretOf(stores)
  /** The same credential once more while it is being checked: one hash answers both. */
  const checking = new Map<string, Promise<PasswordOutcome>>()
  const upgrading = new Set<Promise<void>>()

  const find = async (user: string): Promise<Found> => {
    const found = await Promise.all(stores.map(store => store.find(user)))
    const at = found.findIndex(account => account !== undefined)
    return { store: stores[at], account: found[at] }
  }

  /** As much work for a name without an account, or for one without a password, as for another. */
  const compare = async (account: Account | undefined, user: string, password: string): Promise<boolean> => {
    const [secret, ...decoys] = await Promise.all([decoySecret(), ...stores.map(store => store.decoy?.(user))])
    const own = verifierOf(account)
    const known = decoys.map(verifierOf).filter(decoy => decoy !== undefined)
    // Of any store by chance: were it always the first, other costs would tell the names of the second. Nobody outside can say which.
    const chance = createHmac('sha256', secret).update(`cost of ${user}`).digest().readUInt32BE()
    const verifier = own ?? known[chance % Math.max(1, known.length)] ?? noAccount
    const same = await isVerified(verifier, password)
    if (isCheap(verifier)) await isVerified(noAccount, password)
    return own !== undefined && same
  }

  const upgrade = (store: AccountStore, account: Account, password: string): void => {
    if (store.upgrade === undefined || !isWhole(account.password, password)) return
    // Who keeps it finds names by their hashes, too.
    const wanted = store.findHashed === undefined || account.name.includes(':') ? undefined : digest
    const isDigestCurrent = wanted === undefined || hasDigestVerifiers(account.digest, wanted)
    if (areCurrent(account) && isDigestCurrent) return
    const work = queue.runIfIdle(async () => {
      const made = await deriveVerifiers(password, wanted && { ...wanted, name: account.name })
      await store.upgrade?.(account, { ...made, digest: mergeDigestVerifiers(account.digest, made.digest) })
    })
    if (work === undefined) return
    const settled = work
      .catch(cause => onUpgradeFailure?.(account.name, cause))
      .finally(() => upgrading.delete(settled))
    upgrading.add(settled)
  }

  const judge = async ({ account, store }: Found, guess: Guess, address: string): Promise<PasswordOutcome> => {
    // Before what is remembered too: looking that up is a guess, and a fast one.
    const asked = throttle.attempt(guess.user, address)
    const attempt = asked instanceof Promise ? await asked : asked
    if (attempt.kind === 'throttled') return { kind: 'throttled', retryAfterMs: attempt.retryAfterMs }
    const end = cache.endOf(guess.key)
    if (account !== undefined && store !== undefined && !account.locked && end !== undefined) {
      attempt.succeeded()
      return correct(account, store, guess, end)
    }
    return decide({ account, store }, guess, attempt)
  }

  const correct = (account: Account, store: AccountStore, guess: Guess, until: number): CorrectPassword => {
    const found: CorrectPassword = { kind: 'correct', account, source: store.name }
    const { user, password, versions } = guess
    if (versions !== undefined) recalled.keep(user, password, { found, versions, until })
    return found
  }

  const decide = async (
    { account, store }: Found,
    guess: Guess,
    attempt: Extract<LoginAttempt, { kind: 'permitted' }>,
  ): Promise<PasswordOutcome> => {
    const { user, password, key } = guess
    let same: boolean
    try {
      same = isPossible(password) && (await queue.run(() => compare(account, user, password)))
    } catch (error) {
      attempt.undecided()
      throw error
    }
    if (account !== undefined && store !== undefined && same && !account.locked) {
      attempt.succeeded()
      const end = cache.add(key)
      upgrade(store, account, password)
      return correct(account, store, guess, end)
    }
    // Locked is said only of the right password, and to the log alone.
    const reason = account === undefined ? 'unknown-user' : same ? 'locked' : 'wrong-password'
    attempt.failed(guess.text, reason)
    return { kind: 'wrong', reason }
  }

  return {
    recall(user, password, address) {
      const attempt = throttle.attemptHere?.(user, address)
      // Whoever is limited is told so by `check`, after the same work whatever the password.
      if (attempt?.kind !== 'permitted') return undefined
      let found: CorrectPassword | undefined
      try {
        found = recalled.find(user, password)
      } finally {
        if (found === undefined) attempt.undecided()
        else attempt.succeeded()
      }
      return found
    },
    async check(user, password, address) {
      const versions = recalled.versions()
      const found = await find(user)
      const { account, store } = found
      const verifier = verifiersText(account ?? {})
      const key = cache.digestOf({ store: store?.name ?? '', user, verifier, password })
      const guess = { user, password, key, text: `${key} ${account?.locked === true}`, versions }
      const reason = throttle.failureOf(user, address, guess.text)
      if (reason !== undefined) return { kind: 'wrong', reason }
      // Whoever else sends it from elsewhere is not spared the limits.
      const asked = `${guess.text} ${networkOf(address)}`
      const running = checking.get(asked)
      if (running !== undefined) return running
      const outcome = judge(found, guess, address).finally(() => checking.delete(asked))
      checking.set(asked, outcome)
      return outcome
    },
    async close() {
      await Promise.allSettled([...checking.values(), ...upgrading])
      await thread.close()
    },
  }
}

interface Guess {
  readonly user: string
  readonly password: string
  /** By which a verified credential is remembered. */
  readonly key: string
  /** By which a failed one is: an account that was locked or let in again is another question. */
  readonly text: string
  /** Of the stores, before they were asked. */
  readonly versions: StoreVersions | undefined
}

interface Found {
  readonly store: AccountStore | undefined
  readonly account: Account | undefined
}

function verifierOf(account: Partial<Verifiers> | undefined): PasswordVerifier | ScramVerifier | undefined {
  return account?.password ?? account?.scram
}

/** bcrypt looks at 72 bytes: what comes behind them may be a slip of the finger, and must not become the password. */
function isWhole(verifier: PasswordVerifier | undefined, password: string): boolean {
  return verifier?.kind !== 'bcrypt' || Buffer.byteLength(password) < maxBcryptBytes
}

/** Empty and enormous passwords are nobody's; whether the account exists plays no part in it. */
function isPossible(password: string): boolean {
  return password !== '' && Buffer.byteLength(password) <= maxPasswordBytes
}
