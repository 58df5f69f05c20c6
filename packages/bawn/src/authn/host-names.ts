import { setTimeout as later } from 'node:timers/promises'
import { createTokenCache } from '../tokens/token-cache.ts'
import { formatAddress, parseAddress } from './address.ts'

/** What is needed of DNS: `Resolver` of node:dns/promises has it. Rejections carry c-ares codes in `code`. */
export interface NameResolver {
  resolve4(name: string, options: { readonly ttl: true }): Promise<readonly { address: string; ttl: number }[]>
  resolve6(name: string, options: { readonly ttl: true }): Promise<readonly { address: string; ttl: number }[]>
  resolvePtr(name: string): Promise<readonly string[]>
}

/** The names that an address has by itself, as far as DNS confirms them in both directions. */
export type OwnNames =
  | { readonly kind: 'known'; readonly names: readonly string[] }
  /** DNS did not answer; `why` is for the log. */
  | { readonly kind: 'undecided'; readonly why: string }

/** What DNS knows of the names in host rules. */
export interface HostNames {
  /** Addresses of a name of the rules, known in advance: nobody waits for DNS here. */
  addressesOf(name: string): readonly Uint8Array[]
  /** Names of an address that end as a rule asks for; at once where they are known. */
  namesOf(address: Uint8Array): OwnNames | Promise<OwnNames>
  /** Looks the names up that are due. Never rejects. */
  refresh(): Promise<void>
  close(): void
}

/** For rules without names. */
export const noHostNames: Pick<HostNames, 'addressesOf' | 'namesOf'> = {
  addressesOf: () => [],
  namesOf: () => ({ kind: 'known', names: [] }),
}

/** How long an address is believed, whatever its owner says: so long it may be somebody else's already, or not yet ours. */
const minFreshMs = 5_000
const maxFreshMs = 300_000
/** After DNS did not answer, until it is asked again. */
const retryMs = 5_000
/** How long the last addresses are used while DNS does not answer. */
const maxStaleMs = 3_600_000
/** How often it is looked which names are due. */
const tickMs = 1_000

/** How long it is believed that an address has these names, and that it has none. */
const namesMs = 60_000
const maxAddresses = 10_000
/** Addresses that are asked about at once; more cannot be decided. */
const maxPending = 256
/** Names of one address that are confirmed: their owner decides how many there are. */
const maxOwnNames = 4

/**
 * @param wanted names whose addresses are needed, and ends of names that addresses may have
 * @param surroundings.log for the operator: which name has no address
 */
export function createHostNames(
  wanted: { readonly names: readonly string[]; readonly suffixes: readonly string[] },
  surroundings: {
    readonly resolver: NameResolver
    /** ms since 1970. */
    readonly clock: () => number
    readonly log: (message: string) => void
    /** For all that has to be asked about one address together; default 3 s. */
    readonly ownNameTimeoutMs?: number
  },
): HostNames {
  const { resolver, clock, log, ownNameTimeoutMs = 3_000 } = surroundings
  const families = wanted.names.flatMap(name => [
    createFamily(name, 'resolve4', surroundings),
    createFamily(name, 'resolve6', surroundings),
  ])
  const silent = new Set<string>()
  const addressesOf = (name: string): readonly Uint8Array[] =>
    families.flatMap(family => (family.name === name ? family.addresses() : []))

  const refresh = async (): Promise<void> => {
    await Promise.all(families.map(family => family.refresh()))
    for (const name of wanted.names) {
      if (addressesOf(name).length > 0) silent.delete(name)
      else if (!silent.has(name)) {
        silent.add(name)
        log(`${name} in host_rules has no address that DNS knows: rules for it hold for nobody`)
      }
    }
  }
  const timer = families.length > 0 ? setInterval(() => void refresh(), tickMs).unref() : undefined

  const known = createTokenCache<OwnNames & { readonly until: number }>({
    maxEntries: maxAddresses,
    maxWeight: maxAddresses,
  })
  const pending = new Map<string, Promise<OwnNames>>()

  const confirm = async (name: string, address: Uint8Array): Promise<boolean> => {
    const found = await resolver[address.length === 4 ? 'resolve4' : 'resolve6'](name, { ttl: true })
    return found.some(one => Buffer.compare(parseAddress(one.address) ?? Buffer.alloc(0), address) === 0)
  }
  /** Whoever has an address says what its name is; only who has the name can say that it is the address's. */
  const ask = async (address: Uint8Array): Promise<OwnNames> => {
    const stated = await resolver.resolvePtr(reverseName(address)).catch(definitely)
    const candidates = stated
      .map(name => name.toLowerCase().replace(/\.$/, ''))
      .filter(name => wanted.suffixes.some(suffix => name.endsWith(suffix)))
      .slice(0, maxOwnNames)
    const confirmed = await Promise.all(
      candidates.map(async name => ((await confirm(name, address).catch(definitely)) === true ? [name] : [])),
    )
    return { kind: 'known', names: confirmed.flat() }
  }
  const askInTime = async (address: Uint8Array): Promise<OwnNames> => {
    const text = formatAddress(address)
    const giveUp = new AbortController()
    try {
      return await Promise.race([
        ask(address),
        later<OwnNames>(
          ownNameTimeoutMs,
          { kind: 'undecided', why: `DNS does not say in time what the name of ${text} is` },
          { signal: giveUp.signal, ref: false },
        ),
      ])
    } catch (cause) {
      return { kind: 'undecided', why: `DNS does not say what the name of ${text} is (${codeOf(cause)})` }
    } finally {
      giveUp.abort()
    }
  }

  return {
    addressesOf,
    refresh,
    namesOf(address) {
      const key = Buffer.from(address).toString('latin1')
      const before = known.get(key)
      if (before !== undefined && clock() < before.until) return before
      const asked = pending.get(key)
      if (asked !== undefined) return asked
      if (pending.size >= maxPending) {
        return { kind: 'undecided', why: `DNS is asked about ${maxPending} other addresses already` }
      }
      const question = askInTime(address).then(own => {
        pending.delete(key)
        known.set(key, { ...own, until: clock() + (own.kind === 'known' ? namesMs : retryMs) }, 1)
        return own
      })
      pending.set(key, question)
      return question
    },
    close: () => clearInterval(timer),
  }
}

/** IPv4 or IPv6 addresses of one name. */
interface Family {
  readonly name: string
  addresses(): readonly Uint8Array[]
  refresh(): Promise<void>
}

function createFamily(
  name: string,
  method: 'resolve4' | 'resolve6',
  { resolver, clock }: { readonly resolver: NameResolver; readonly clock: () => number },
): Family {
  let addresses: readonly Uint8Array[] = []
  let answeredAt = Number.NEGATIVE_INFINITY
  let dueAt = Number.NEGATIVE_INFINITY
  let underWay: Promise<void> | undefined

  const look = async (): Promise<void> => {
    const now = clock()
    try {
      const found = await resolver[method](name, { ttl: true }).catch(definitely)
      addresses = found.flatMap(({ address }) => parseAddress(address) ?? [])
      answeredAt = now
      const ttlMs = Math.min(...found.map(({ ttl }) => ttl * 1_000), maxFreshMs)
      dueAt = now + Math.max(minFreshMs, found.length > 0 ? ttlMs : 2 * minFreshMs)
    } catch {
      dueAt = now + retryMs
      if (now - answeredAt > maxStaleMs) addresses = []
    }
  }
  return {
    name,
    addresses: () => addresses,
    refresh() {
      if (underWay !== undefined) return underWay
      if (clock() < dueAt) return Promise.resolve()
      underWay = look().finally(() => {
        underWay = undefined
      })
      return underWay
    },
  }
}

/** c-ares: the name does not exist, or has nothing of this type. Everything else is no answer. */
function definitely(cause: unknown): [] {
  if (['ENOTFOUND', 'ENODATA'].includes(codeOf(cause))) return []
  throw cause
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
}

/** RFC 1035 section 3.5, RFC 3596 section 2.5 */
function reverseName(address: Uint8Array): string {
  if (address.length === 4) return `${[...address].reverse().join('.')}.in-addr.arpa`
  return `${Buffer.from(address).toString('hex').split('').reverse().join('.')}.ip6.arpa`
}
