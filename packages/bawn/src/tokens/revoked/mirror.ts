import { TokenError, tokensUnavailable } from '../error.ts'
import { isOver, type RevokedEntry, type RevokedTarget, targetKey } from './entry.ts'
import { createRevokedList, type Presented } from './list.ts'
import type { RevokedStore, StoreVersion } from './store.ts'

/** Revocations as this process knows them. */
export interface RevokedTokens {
  /**
   * @throws {TokenError} `tokens.unavailable` when the store has not answered for so long that something may have been revoked meanwhile
   */
  has(presented: Presented): boolean
  /** Kept, and in force here, when it resolves. Rejects with `tokens.unavailable`, `tokens.full`. */
  revoke(revocation: Revocation): Promise<RevokedEntry>
  /** @returns whether it was revoked */
  restore(target: RevokedTarget): Promise<boolean>
  find(target: RevokedTarget): RevokedEntry | undefined
  /** What counts now, the last one first. */
  list(): readonly RevokedEntry[]
  /** Told when something was revoked. */
  onRevoked(listener: () => void): void
  /** Reads the whole list; rejects when that cannot be had. */
  load(): Promise<void>
  /** Why nothing can be judged; `undefined`: it can. */
  failure(): string | undefined
  close(): Promise<void>
}

export interface Revocation {
  readonly target: RevokedTarget
  readonly notBefore?: number | undefined
  /** How long it counts; without it as long as the options say, API keys for good. */
  readonly keepMs?: number | undefined
}

export interface MirrorOptions {
  /** How long a revocation counts where nothing is said: longer than any token lives. */
  readonly keepMs: number
  /** How long what is known may be used while the store does not answer. */
  readonly staleMs: number
  /** ms since 1970 */
  readonly clock: () => number
  /** Monotonic, in ms. */
  readonly now?: () => number
}

const isApiKey = ({ kind }: RevokedTarget): boolean => kind === 'api-key' || kind === 'api-key-hash'

/** A quarter of the second within which a revocation is in force everywhere. */
const pollMs = 200
const sweepMs = 60_000

/**
 * The whole list of a store, in the memory of this process, so that a look-up costs no round trip: the store is asked five times a second how
 * far it has come, and what is new is read. What the store has lost, because a file was replaced or Redis has forgotten, is put back.
 *
 * @param store closed with it
 */
export function createRevokedTokens(
  store: RevokedStore,
  { keepMs, staleMs, clock, now = () => performance.now() }: MirrorOptions,
): RevokedTokens {
  let list = createRevokedList()
  let known: StoreVersion | undefined
  let freshAt = Number.NEGATIVE_INFINITY
  let sweptAt = now()
  let why = 'the revocations were not read yet'
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const listeners: (() => void)[] = []

  /** Everything after a version, into `into`. @returns keys that were seen, and whether anything was revoked */
  const readAfter = async (version: number, into: typeof list) => {
    const seen = new Set<string>()
    let hasRevoked = false
    for (let at = version; ; ) {
      const changes = await store.changesAfter(at)
      for (const { key, entry } of changes) {
        seen.add(key)
        if (entry === undefined) {
          const gone = into.get(key)
          if (gone !== undefined) into.delete(gone)
        } else {
          into.set(entry)
          hasRevoked = true
        }
      }
      const last = changes.at(-1)
      if (last === undefined) return { seen, hasRevoked }
      at = last.version
    }
  }

  const readAll = async (): Promise<void> => {
    const next = createRevokedList()
    const { seen } = await readAfter(0, next)
    const lost = [...list.entries()].filter(entry => !seen.has(targetKey(entry.target)) && !isOver(entry, clock()))
    if (lost.length > 0) await store.putBack(lost, clock())
    for (const entry of lost) next.set(entry)
    list = next
    for (const listener of listeners) listener()
  }

  const sync = async (): Promise<void> => {
    const startedAt = now()
    try {
      const version = await store.readVersion()
      if (known?.generation !== version.generation || version.version < known.version) await readAll()
      else if (version.version > known.version) {
        const { hasRevoked } = await readAfter(known.version, list)
        if (hasRevoked) for (const listener of listeners) listener()
      }
      known = version
      freshAt = startedAt
    } catch (cause) {
      why = cause instanceof TokenError ? cause.message : 'the store failed'
      throw cause instanceof TokenError ? cause : tokensUnavailable(why, cause)
    }
    if (startedAt - sweptAt < sweepMs) return
    sweptAt = startedAt
    list.sweep(clock())
  }

  /** One after the other: of two at once, the slower would take back what the faster has read. */
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const turn = last.then(work, work)
    last = turn.catch(() => {})
    return turn
  }
  const poll = (): void => {
    timer = setTimeout(() => {
      void inTurn(sync)
        .catch(() => {})
        .finally(() => {
          if (!closed) poll()
        })
    }, pollMs)
    timer.unref()
  }
  poll()

  const failure = (): string | undefined => (now() - freshAt <= staleMs ? undefined : why)

  return {
    has(presented) {
      if (failure() !== undefined) throw new TokenError('tokens.unavailable', why)
      return list.has(presented, clock())
    },
    async revoke({ target, notBefore, keepMs: wanted }) {
      const at = clock()
      const keep = wanted ?? (isApiKey(target) ? undefined : keepMs)
      const entry = { target, notBefore, revokedAt: at, endsAt: keep === undefined ? undefined : at + keep }
      await inTurn(async () => {
        await store.put(entry, at)
        // Kept it is, and in force here whatever comes of reading it again.
        list.set(entry)
      })
      for (const listener of listeners) listener()
      return entry
    },
    async restore(target) {
      const restored = await store.restore(targetKey(target), clock())
      await inTurn(sync)
      return restored
    },
    find(target) {
      const found = list.get(targetKey(target))
      return found === undefined || isOver(found, clock()) ? undefined : found
    },
    list: () =>
      [...list.entries()]
        .filter(entry => !isOver(entry, clock()))
        .sort((one, other) => other.revokedAt - one.revokedAt),
    onRevoked: listener => void listeners.push(listener),
    load: () => inTurn(sync),
    failure,
    async close() {
      closed = true
      clearTimeout(timer)
      await last
      await store.close()
    },
  }
}
