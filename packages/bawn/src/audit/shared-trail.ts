import { closeSync, existsSync, fdatasync, fdatasyncSync, ftruncateSync, readlinkSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { Exclusion, ExclusionTimeout } from '../exclusion.ts'
import { AuditError } from './error.ts'
import type { AuditEvent, AuditTrail } from './event.ts'
import { formatLine, formatUnnumbered, nextMac, numbered } from './line.ts'
import { type ChainEnd, recoverChain } from './recover.ts'
import { type AuditTrailOptions, openTrailFile, recovered, refuseStrangers } from './trail.ts'

// One chain in one file, written by several threads of the process (docs/decisions/0028). The end of the chain is in shared memory; who
// writes has it alone, numbers and chains its lines then, and writes all of them or none. Nobody is asked: a line costs what it costs one
// thread, and `commit` has written when it returns.

/** What another thread needs to write the same trail; can be posted. */
export interface TrailPlace {
  readonly fd: number
  readonly memory: SharedArrayBuffer
}

/** The trail as the first thread has it: it opens, syncs and closes the file. */
export interface SharedTrail extends AuditTrail {
  readonly place: TrailPlace
  /** Another thread has ended. What it was writing is cut off and kept beside the file, as after a crash. */
  ended(thread: number): void
}

const syncEveryMs = 200
/** So long at most the first thread waits for another one that writes. */
const firstWaitsMs = 5_000
/** Threads that can be told apart, beginning with the first; of others nobody sees that they are gone before they say so. */
const maxThreads = 128
const macBytes = 32

/** The end of the chain, and what became of the file: [exclusion, failing, lost, unsynced], [number, size], mac, threads. */
class End {
  readonly word: Int32Array<SharedArrayBuffer>
  readonly #flags: Int32Array
  readonly #numbers: Float64Array
  readonly #mac: Uint8Array
  /** By number of the thread, what the system calls it. */
  readonly #threads: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.word = new Int32Array(memory, 0, 1)
    this.#flags = new Int32Array(memory, 4, 3)
    this.#numbers = new Float64Array(memory, 16, 2)
    this.#mac = new Uint8Array(memory, 32, macBytes)
    this.#threads = new Int32Array(memory, 32 + macBytes, maxThreads)
  }

  static readonly bytes = 32 + macBytes + maxThreads * 4

  /** This thread takes part. */
  join(thread: number): void {
    if (thread < maxThreads) Atomics.store(this.#threads, thread, systemThread())
  }
  /** Whether a thread is known to be no more: it has ended without having left, and nobody has heard of that yet. */
  isGone(thread: number): boolean {
    const system = thread < maxThreads ? Atomics.load(this.#threads, thread) : 0
    return system > 0 && !existsSync(`/proc/self/task/${system}`)
  }

  get n(): number {
    return this.#numbers[0] ?? 0
  }
  get size(): number {
    return this.#numbers[1] ?? 0
  }
  get mac(): Buffer {
    return Buffer.from(this.#mac)
  }
  moveTo({ n, size, mac }: Pick<ChainEnd, 'n' | 'size' | 'mac'>): void {
    this.#numbers[0] = n
    this.#numbers[1] = size
    this.#mac.set(mac)
  }

  /** Writing fails; @returns whether that is new */
  fail(): boolean {
    return Atomics.exchange(this.#flags, 0, 1) === 0
  }
  works(): void {
    Atomics.store(this.#flags, 0, 0)
  }
  get isFailing(): boolean {
    return Atomics.load(this.#flags, 0) === 1
  }
  /** After a failed fsync nobody knows what the disk holds: only opening the file anew finds out. */
  lose(): void {
    Atomics.store(this.#flags, 1, 1)
  }
  get isLost(): boolean {
    return Atomics.load(this.#flags, 1) === 1
  }
  wrote(): void {
    Atomics.store(this.#flags, 2, 1)
  }
  /** @returns whether there was something to sync; it counts as synced from now on */
  beginSync(): boolean {
    return Atomics.exchange(this.#flags, 2, 0) === 1
  }
}

/** @returns what Linux calls this thread; 0 where that cannot be known */
function systemThread(): number {
  try {
    return Number(/\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Opens the trail for several threads. @throws {AuditError} as `openAuditTrail` does */
export function openSharedTrail(options: AuditTrailOptions): SharedTrail {
  return openTrailFile(options, (fd, end, unlock) => {
    const memory = new SharedArrayBuffer(End.bytes)
    const trail = new FirstTrail(options, { fd, memory }, end, unlock)
    return { trail, abandon: () => trail.abandon() }
  })
}

/** The trail in another thread. @param thread of this thread, as `Exclusion` counts them */
export function joinSharedTrail(place: TrailPlace, thread: number, options: AuditTrailOptions): AuditTrail {
  return new ThreadTrail(options, place, thread)
}

class ThreadTrail implements AuditTrail {
  protected readonly options: AuditTrailOptions
  protected readonly fd: number
  protected readonly end: End
  protected readonly exclusion: Exclusion
  /** Lines but for their numbers. */
  #pending: string[] = []
  #scheduled = false
  #closed = false
  readonly #atExit = () => this.#flushOrReport()

  constructor(options: AuditTrailOptions, { fd, memory }: TrailPlace, thread: number, maxWaitMs?: number) {
    this.options = options
    this.fd = fd
    this.end = new End(memory)
    this.end.join(thread)
    this.exclusion = new Exclusion(this.end.word, thread, maxWaitMs, inside => this.look(inside))
    process.once('exit', this.#atExit)
  }

  /** This thread waits for another one that writes. */
  protected look(_inside: number): void {}

  get head(): string {
    return this.exclusion.run(() => this.end.mac.toString('hex'))
  }

  emit(event: AuditEvent): void {
    if (this.#closed) throw this.#closedError()
    // While writing fails nothing is taken on: the buffer stays bounded and the caller knows.
    if (this.end.isFailing) this.flush()
    this.#pending.push(formatUnnumbered(this.options.clock(), event))
    if (this.#scheduled) return
    this.#scheduled = true
    // One write for all callbacks of this turn of the event loop.
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#closed) this.#flushOrReport()
    })
  }

  commit(): void {
    if (this.#closed) throw this.#closedError()
    this.flush()
    if (this.options.fsync === 'always') this.syncNow()
  }

  #closedError(): AuditError {
    return new AuditError('audit.unwritable', `${this.options.file} is closed`)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    try {
      this.flush()
    } finally {
      this.abandon()
    }
  }

  /** Writes nothing from now on. */
  abandon(): void {
    this.#closed = true
    process.removeListener('exit', this.#atExit)
  }

  #flushOrReport(): void {
    try {
      this.flush()
    } catch {
      // Reported by #fail; the lines stay buffered, and whoever emits or commits next is refused.
    }
  }

  protected flush(): void {
    if (this.end.isLost) throw this.#lost()
    if (this.#pending.length === 0 && !this.end.isFailing) return
    try {
      this.exclusion.run(() => this.#write())
    } catch (cause) {
      // Somebody else writes for too long: that is no failure of the file.
      if (cause instanceof ExclusionTimeout) throw this.#error('cannot write', cause)
      throw this.fail('cannot write', cause)
    }
  }

  #write(): void {
    const { end, fd } = this
    refuseStrangers(fd, end.size)
    let { n } = end
    let mac = end.mac.toString('hex')
    let lines = ''
    for (const unnumbered of this.#pending) {
      n += 1
      const body = numbered(n, unnumbered)
      mac = nextMac(this.options.key, mac, body)
      lines += formatLine(body, mac)
    }
    const bytes = Buffer.from(lines)
    this.#writeWhole(bytes, end.size)
    end.moveTo({ n, mac: Buffer.from(mac, 'hex'), size: end.size + bytes.length })
    end.works()
    this.#pending = []
    if (bytes.length > 0) end.wrote()
  }

  /** All of it, or nothing: another thread writes next, and does not know what was left. */
  #writeWhole(bytes: Buffer, size: number): void {
    let rest = bytes
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.fd, rest))
    } catch (cause) {
      if (rest.length < bytes.length) ftruncateSync(this.fd, size)
      throw cause
    }
  }

  protected fail(what: string, cause: unknown): AuditError {
    const error = this.#error(what, cause)
    if (this.end.fail()) this.options.onUnwritable?.(error)
    return error
  }

  #error(what: string, cause: unknown): AuditError {
    const why = cause instanceof Error ? cause.message : 'unknown cause'
    return new AuditError('audit.unwritable', `${what} ${this.options.file}: ${why}`, { cause })
  }

  #lost(): AuditError {
    return new AuditError('audit.unwritable', `${this.options.file} could not be synced`)
  }

  /** Lines of others are synced too: nobody has to know whose was first. */
  protected syncNow(): void {
    if (this.end.isLost) throw this.#lost()
    try {
      this.end.beginSync()
      fdatasyncSync(this.fd)
    } catch (cause) {
      this.end.lose()
      throw this.fail('cannot sync', cause)
    }
  }
}

class FirstTrail extends ThreadTrail implements SharedTrail {
  readonly place: TrailPlace
  readonly #unlock: () => void
  readonly #timer: NodeJS.Timeout
  #syncing: Promise<void> = Promise.resolve()
  #isSyncing = false
  #isOver = false

  constructor(options: AuditTrailOptions, place: TrailPlace, end: ChainEnd, unlock: () => void) {
    super(options, place, firstThread, firstWaitsMs)
    this.place = place
    this.#unlock = unlock
    this.end.moveTo(end)
    this.#timer = setInterval(() => {
      if (!this.#isSyncing && this.end.beginSync()) this.#syncing = this.#syncLater()
    }, syncEveryMs)
    this.#timer.unref()
  }

  /** Its end would be heard of by the very loop that waits here. */
  protected override look(inside: number): void {
    if (this.end.isGone(inside)) this.ended(inside)
  }

  ended(thread: number): void {
    let found: ChainEnd | undefined
    this.exclusion.ended(thread, () => {
      const { file, key, clock } = this.options
      try {
        found = recoverChain(this.fd, file, key, clock())
        this.end.moveTo(found)
      } catch (cause) {
        // Nobody knows what the file holds: as after a failed fsync.
        this.end.lose()
        this.fail('cannot recover', cause)
      }
    })
    if (found?.torn === undefined) return
    try {
      this.emit(recovered(basename(found.torn.file), found.torn.bytes, found.n))
    } catch {
      // Told by #fail: while nothing can be written, this cannot be either. What was cut off is kept all the same.
    }
  }

  override async close(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#timer)
    try {
      await super.close()
      this.syncNow()
    } finally {
      await this.#syncing
      closeSync(this.fd)
      this.#unlock()
    }
  }

  override abandon(): void {
    clearInterval(this.#timer)
    super.abandon()
  }

  #syncLater(): Promise<void> {
    this.#isSyncing = true
    return new Promise(resolve => {
      fdatasync(this.fd, cause => {
        this.#isSyncing = false
        if (cause !== null) {
          this.end.lose()
          this.fail('cannot sync', cause)
        }
        resolve()
      })
    })
  }
}

/** The thread that opens, as `Exclusion` counts them: workers come after it. */
export const firstThread = 1
