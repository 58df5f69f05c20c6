import type { KeyObject } from 'node:crypto'
import { closeSync, constants, fdatasync, fdatasyncSync, fstatSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { syncDirectory } from '../durable-file.ts'
import { AuditError } from './error.ts'
import type { AuditEvent, AuditTrail } from './event.ts'
import { formatBody, formatLine, nextMac } from './line.ts'
import { lockTrail } from './lock.ts'
import { PendingLines } from './pending.ts'
import { type ChainEnd, recoverChain } from './recover.ts'

export interface AuditTrailOptions {
  /** Path; made with mode 0600 when it does not exist, its directory too (0700). */
  readonly file: string
  /** The key of the chain (`Keystore.audit`). */
  readonly key: KeyObject
  readonly fsync: 'interval' | 'always'
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** Told once when writing begins to fail; `emit` and `commit` throw from then on until it works again. */
  readonly onUnwritable?: (error: AuditError) => void
}

const syncEveryMs = 200
const fdatasyncAsync = promisify(fdatasync)

/**
 * Opens the trail, takes its lock, finds the end of the chain and goes on from there. What a crash tore is cut off and kept beside the
 * file, and a `gateway` event with the action `recovered` says so.
 *
 * @throws {AuditError} `audit.locked`, `audit.broken_chain`, `audit.unwritable`
 */
export function openAuditTrail(options: AuditTrailOptions): AuditTrail {
  return openTrailFile(options, (fd, end, unlock) => {
    const trail = new FileTrail(options, fd, end, unlock)
    return { trail, abandon: () => trail.abandon() }
  })
}

/**
 * Takes the lock of a trail's file, finds the end of its chain, and announces in it what a crash tore.
 *
 * @param create makes the trail of the open file; `abandon` has it write nothing more
 */
export function openTrailFile<Trail extends AuditTrail>(
  options: Pick<AuditTrailOptions, 'file' | 'key' | 'clock'>,
  create: (fd: number, end: ChainEnd, unlock: () => void) => { readonly trail: Trail; readonly abandon: () => void },
): Trail {
  const { file } = options
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new AuditError('audit.unwritable', `cannot make the directory of ${file}`, { cause })
  }
  const unlock = lockTrail(file)
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600)
    syncDirectory(dirname(file))
    const end = recoverChain(fd, file, options.key, options.clock())
    const { trail, abandon } = create(fd, end, unlock)
    if (end.torn !== undefined) announce(trail, abandon, recovered(basename(end.torn.file), end.torn.bytes, end.n))
    return trail
  } catch (cause) {
    if (fd !== undefined) closeSync(fd)
    unlock()
    if (cause instanceof AuditError) throw cause
    throw new AuditError('audit.unwritable', `cannot open ${file}`, { cause })
  }
}

function announce(trail: AuditTrail, abandon: () => void, event: AuditEvent): void {
  try {
    trail.emit(event)
    trail.commit()
  } catch (cause) {
    abandon()
    throw cause
  }
}

export function recovered(resource: string, bytes: number, line: number): AuditEvent {
  return {
    kind: 'gateway',
    requestId: '-',
    door: 'gateway',
    identity: undefined,
    address: undefined,
    action: 'recovered',
    resource,
    decision: 'permit',
    rule: `${bytes} bytes behind line ${line} were not whole lines of this chain`,
  }
}

/** @param expected bytes that the file must have. @throws when it was removed, or somebody else writes or cuts it */
export function refuseStrangers(fd: number, expected: number): void {
  const { size, nlink } = fstatSync(fd)
  if (nlink === 0) throw new Error('the file was removed')
  if (size !== expected) throw new Error(`the file has ${size} bytes and not ${expected}: somebody else changes it`)
}

class FileTrail implements AuditTrail {
  readonly #options: AuditTrailOptions
  readonly #fd: number
  readonly #unlock: () => void
  /** Of the last line that was emitted. */
  #n: number
  /** 64 hex digits. */
  #mac: string
  readonly #pending: PendingLines
  /** What the file must measure: anything else means that somebody else writes or cuts it. */
  #size: number
  #scheduled = false
  #unsynced = false
  #syncTimer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  #failing = false
  /** After a failed fsync nobody knows what the disk holds: only opening the file anew finds out. */
  #lost: AuditError | undefined
  #closed = false
  readonly #atExit = () => this.#flushOrReport()

  constructor(
    options: AuditTrailOptions,
    fd: number,
    end: { readonly n: number; readonly mac: Buffer; readonly size: number },
    unlock: () => void,
  ) {
    this.#options = options
    this.#fd = fd
    this.#unlock = unlock
    this.#n = end.n
    this.#mac = end.mac.toString('hex')
    this.#pending = new PendingLines(this.#mac)
    this.#size = end.size
    // process.exit() within a turn would skip the write at its end.
    process.once('exit', this.#atExit)
  }

  get head(): string {
    return this.#pending.writtenMac
  }

  emit(event: AuditEvent): void {
    if (this.#closed) throw this.#closedError()
    // While writing fails nothing is taken on: the buffer stays bounded and the caller knows.
    if (this.#failing) this.#flush()
    const body = formatBody(this.#n + 1, this.#options.clock(), event)
    this.#mac = nextMac(this.#options.key, this.#mac, body)
    this.#n++
    this.#pending.add(formatLine(body, this.#mac), this.#mac)
    if (this.#scheduled) return
    this.#scheduled = true
    // One write for all callbacks of this turn of the event loop (check phase), not one for each of them as a microtask would make.
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#closed) this.#flushOrReport()
    })
  }

  commit(): void {
    if (this.#closed) throw this.#closedError()
    this.#flush()
    if (this.#options.fsync === 'always') this.#syncNow()
  }

  #closedError(): AuditError {
    return new AuditError('audit.unwritable', `${this.#options.file} is closed`)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    try {
      this.#flush()
      this.#syncNow()
    } finally {
      this.abandon()
      await this.#syncing
      closeSync(this.#fd)
      this.#unlock()
    }
  }

  /** Writes nothing from now on; file and lock stay with whoever opened them. */
  abandon(): void {
    this.#closed = true
    process.removeListener('exit', this.#atExit)
    clearTimeout(this.#syncTimer)
  }

  #flushOrReport(): void {
    try {
      this.#flush()
    } catch {
      // Reported by #fail; the lines stay buffered, and whoever emits or commits next is refused.
    }
  }

  #flush(): void {
    if (this.#lost !== undefined) throw this.#lost
    if (this.#pending.isEmpty && !this.#failing) return
    try {
      refuseStrangers(this.#fd, this.#size)
      this.#pending.drain(bytes => {
        const written = writeSync(this.#fd, bytes)
        this.#size += written
        this.#unsynced = true
        return written
      })
    } catch (cause) {
      throw this.#fail('cannot write', cause)
    }
    this.#failing = false
    this.#armSync()
  }

  #fail(what: string, cause: unknown): AuditError {
    const why = cause instanceof Error ? cause.message : 'unknown cause'
    const error = new AuditError('audit.unwritable', `${what} ${this.#options.file}: ${why}`, { cause })
    if (!this.#failing) {
      this.#failing = true
      this.#options.onUnwritable?.(error)
    }
    return error
  }

  #syncNow(): void {
    if (this.#lost !== undefined) throw this.#lost
    if (!this.#unsynced) return
    try {
      fdatasyncSync(this.#fd)
      this.#unsynced = false
    } catch (cause) {
      this.#lost = this.#fail('cannot sync', cause)
      throw this.#lost
    }
  }

  #armSync(): void {
    if (this.#syncTimer !== undefined || !this.#unsynced || this.#closed) return
    this.#syncTimer = setTimeout(() => {
      this.#syncing = this.#syncLater()
    }, syncEveryMs)
    this.#syncTimer.unref()
  }

  async #syncLater(): Promise<void> {
    this.#unsynced = false
    try {
      await fdatasyncAsync(this.#fd)
    } catch (cause) {
      this.#lost = this.#fail('cannot sync', cause)
    }
    this.#syncTimer = undefined
    this.#armSync()
  }
}
