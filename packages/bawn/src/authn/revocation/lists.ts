import { open, stat } from 'node:fs/promises'
import type { RevocationOptions } from '../../option.ts'
import { createTokenCache } from '../../tokens/token-cache.ts'
import { parseRevocationList, type RevocationList, whyUnusable } from './crl.ts'
import { download } from './download.ts'
import { createRefreshed, type Dated, type Refreshed } from './refreshed.ts'
import type { Revocable } from './revocable.ts'
import type { RevocationSurroundings } from './surroundings.ts'
import { reasonOf, undecided } from './undecided.ts'

/** A list of one issuer; `undefined` where the source has a list, and it is another issuer's. */
export type SourcedList = RevocationList | undefined

/** Revocation lists from files and addresses, read, verified and kept. */
export interface Lists {
  /** Looks whether files have changed, once a second at most. @returns nothing where nothing has to be waited for */
  look(): Promise<void> | undefined
  /** Another number means that a file has changed. */
  readonly generation: number
  /** What the configuration names: files, then addresses. */
  readonly configured: readonly string[]
  /** @param source a file's path or an http or https URL. Rejects, in words for the log, when the list cannot be used */
  get(source: string, issuer: Revocable): Promise<Dated<SourcedList>>
}

/** A file is looked at once in this time at most. */
const lookAgainMs = 1_000

export function createLists(
  options: NonNullable<RevocationOptions['crl']>,
  surroundings: RevocationSurroundings,
): Lists {
  const { clock, log } = surroundings
  const files = new Set(options.file ?? [])
  const configured = [...files, ...(options.url ?? [])]
  const own = new Map<string, Refreshed<SourcedList>>()
  const named = createTokenCache<Refreshed<SourcedList>>({
    maxEntries: options.cache_size,
    maxWeight: options.cache_size,
  })
  const versions = new Map<string, string>()
  let generation = 0
  let lookedAt = Number.NEGATIVE_INFINITY
  let looking: Promise<void> | undefined

  const fetchList = (url: string): Promise<Uint8Array> =>
    download(
      {
        url,
        accept: 'application/pkix-crl',
        maxBytes: options.max_bytes,
        timeoutMs: options.timeout,
        isPermitted: surroundings.isPermitted,
      },
      surroundings.fetch,
      surroundings.closing,
    )

  const load = async (source: string, issuer: Revocable, before: SourcedList): Promise<Dated<SourcedList>> => {
    try {
      const bytes = files.has(source) ? await readLimited(source, options.max_bytes) : await fetchList(source)
      const list = await parseRevocationList(bytes)
      if (Buffer.compare(list.issuerName, issuer.subjectName) !== 0) return { value: undefined, until: list.validUntil }
      const why = await whyUnusable(list, issuer, clock())
      if (why !== undefined) throw new Error(why)
      if (isOlder(list, before)) throw new Error('it is older than the one before')
      return { value: list, until: list.validUntil }
    } catch (cause) {
      throw undecided(`revocation list ${source}: ${reasonOf(cause)}`, cause)
    }
  }

  const lookAtFiles = async (): Promise<void> => {
    for (const file of files) {
      // Missing is a state like others: what was read of it goes on until its own end.
      const version = await stat(file).then(
        ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
        () => 'missing',
      )
      const before = versions.get(file)
      versions.set(file, version)
      if (before === undefined || before === version) continue
      generation += 1
      for (const [key, list] of own) if (key.endsWith(` ${file}`)) list.invalidate()
    }
  }

  return {
    configured,
    get generation() {
      return generation
    },
    look() {
      if (files.size === 0) return undefined
      const age = clock() - lookedAt
      if (looking === undefined && age >= 0 && age < lookAgainMs) return undefined
      looking ??= lookAtFiles().finally(() => {
        lookedAt = clock()
        looking = undefined
      })
      return looking
    },
    get(source, issuer) {
      const key = `${issuer.certificate.fingerprint256} ${source}`
      const isOwn = configured.includes(source)
      let list = isOwn ? own.get(key) : named.get(key)
      if (list === undefined) {
        list = createRefreshed<SourcedList>(before => load(source, issuer, before), {
          // A file is read when it has changed.
          cacheMs: files.has(source) ? Number.POSITIVE_INFINITY : options.cache_time,
          clock,
          onFailure: cause => log('warn', reasonOf(cause), cause),
        })
        if (isOwn) own.set(key, list)
        else named.set(key, list, 1)
      }
      return list.get()
    },
  }
}

/** Somebody between us and the authority may send one from before a revocation, as long as it is in force. */
function isOlder(list: RevocationList, before: SourcedList): boolean {
  if (before === undefined) return false
  if (list.number !== undefined && before.number !== undefined) return list.number < before.number
  return list.thisUpdate < before.thisUpdate
}

async function readLimited(path: string, maxBytes: number): Promise<Uint8Array> {
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    if (size > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    // What is written behind while it is read is not read.
    const bytes = Buffer.alloc(size)
    const { bytesRead } = await handle.read(bytes, 0, size, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}
