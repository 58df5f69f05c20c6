import { constants, fstatSync, write } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { AuditError } from './error.ts'

/** Where lines of the access log go, whole and with their line feed. Never waits, and never throws. */
export interface AccessSink {
  write(lines: string): void
}

const maxBatch = 65_536
const batchMs = 200
/** What may wait for a slow disk, or a reader that does not read. Lines beyond that are lost, and counted. */
const maxWaiting = 8 * 1024 * 1024
/** Until a full pipe is tried again: longer each time. */
const retryMs = { first: 1, last: 50 } as const

/** Keeps lines together for 64 KB or 200 ms: a system call for each would cost more than all the rest of it. */
export class AccessBatch implements AccessSink {
  readonly #take: (lines: string) => void
  #kept = ''
  #timer: NodeJS.Timeout | undefined

  constructor(take: (lines: string) => void) {
    this.#take = take
  }

  write(lines: string): void {
    this.#kept += lines
    if (this.#kept.length >= maxBatch) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), batchMs).unref()
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#kept === '') return
    const lines = this.#kept
    this.#kept = ''
    this.#take(lines)
  }
}

export interface AccessFileDeps {
  /** @param lines that nobody will see */
  dropped(lines: number): void
  /** Writing begins to fail, or is possible again: once each. */
  changed(failure: unknown): void
}

/**
 * The file of the access log, or the standard output. One write is under way at a time, in the background; while it cannot be written,
 * lines are dropped and counted, and no request waits for it.
 */
export class AccessFile implements AccessSink {
  readonly #path: string | undefined
  readonly #deps: AccessFileDeps
  #handle: FileHandle | number
  #next: FileHandle | undefined
  #waiting: Buffer[] = []
  #size = 0
  #draining: Promise<void> | undefined
  #failed = false
  /** The last line was written in part. */
  #torn = false
  #closed = false

  private constructor(path: string | undefined, handle: FileHandle | number, deps: AccessFileDeps) {
    this.#path = path
    this.#handle = handle
    this.#deps = deps
  }

  /** @param path `undefined`: the standard output. Rejects with {AuditError} `audit.access_log` */
  static async open(path: string | undefined, deps: AccessFileDeps): Promise<AccessFile> {
    return new AccessFile(path, path === undefined ? await openOutput() : await openFile(path), deps)
  }

  /** @param lines in ASCII */
  write(lines: string): void {
    if (this.#closed) return
    if (this.#size + lines.length > maxWaiting) {
      this.#drop(Buffer.from(lines, 'latin1'), new AuditError('audit.access_log', 'more waits than may wait'))
      return
    }
    this.#waiting.push(Buffer.from(lines, 'latin1'))
    this.#size += lines.length
    this.#draining ??= this.#drain()
  }

  /** Another program has moved the file away: what comes now goes into a new one of its name. Where that cannot be had it rejects, and the old one stays. */
  async reopen(): Promise<void> {
    if (this.#path === undefined || this.#closed) return
    const next = await openFile(this.#path)
    await this.#next?.close()
    this.#next = next
    this.#draining ??= this.#drain()
    await this.#draining
  }

  /** Writes what is left, for as long as `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, timeoutMs)
    await Promise.race([this.#draining, late])
    clearTimeout(timer)
    this.#closed = true
    if (this.#draining === undefined && typeof this.#handle !== 'number') await this.#handle.close()
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0 || this.#next !== undefined) {
      if (this.#next !== undefined) {
        const old = this.#handle
        this.#handle = this.#next
        this.#next = undefined
        this.#torn = false
        if (typeof old !== 'number') await old.close().catch(() => {})
      }
      const bytes = Buffer.concat(this.#waiting)
      this.#waiting = []
      if (bytes.length > 0) await this.#writeAll(this.#torn ? Buffer.concat([lineFeed, bytes]) : bytes)
      this.#size -= bytes.length
    }
    this.#draining = undefined
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    let at = 0
    let waitMs: number = retryMs.first
    while (at < bytes.length && !this.#closed) {
      try {
        at += await writeSome(this.#handle, bytes, at)
        waitMs = retryMs.first
        this.#torn = bytes[at - 1] !== 0x0a
      } catch (cause) {
        if (isBusy(cause)) {
          const ms = waitMs
          await new Promise(resolve => setTimeout(resolve, ms))
          waitMs = Math.min(2 * waitMs, retryMs.last)
        } else {
          this.#drop(bytes.subarray(at), cause)
          return
        }
      }
    }
    if (this.#failed) {
      this.#failed = false
      this.#deps.changed(undefined)
    }
  }

  #drop(bytes: Buffer, cause: unknown): void {
    let lines = 0
    for (const byte of bytes) if (byte === 0x0a) lines++
    this.#deps.dropped(lines)
    if (this.#failed) return
    this.#failed = true
    this.#deps.changed(cause)
  }
}

const lineFeed = Buffer.from('\n')

async function writeSome(handle: FileHandle | number, bytes: Buffer, at: number): Promise<number> {
  if (typeof handle !== 'number') return (await handle.write(bytes, at)).bytesWritten
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  write(handle, bytes, at, bytes.length - at, null, (error, written) => (error ? reject(error) : resolve(written)))
  return promise
}

/** Another process does not read what was written before: a pipe is full. */
function isBusy(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EAGAIN'
}

// A pipe of that name without a reader must not hold up a thread for good.
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, appending | constants.O_CREAT, 0o600)
  } catch (cause) {
    throw new AuditError('audit.access_log', `${path} cannot be opened for writing`, { cause })
  }
}

/**
 * A pipe is opened anew, so that writing to it does not wait for its reader, and the descriptor that others have stays as it is. What cannot be (a
 * socket of the journal's), or is a file, is written to as it is.
 */
async function openOutput(): Promise<FileHandle | number> {
  if (fstatSync(1).isFile()) return 1
  return await open('/proc/self/fd/1', appending).catch(() => 1)
}
