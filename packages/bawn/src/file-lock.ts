import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'

/** `held`: somebody else has it. `failed`: it can be neither taken nor left. */
export class FileLockError extends Error {
  readonly kind: 'held' | 'failed'

  constructor(kind: 'held' | 'failed', message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FileLockError'
    this.kind = kind
  }
}

/** Who holds a lock. Process ids come round again, so the time at which the process started belongs to it. */
interface Holder {
  readonly host: string
  readonly pid: number
  /** Clock ticks after boot (Linux); empty where the system does not say. */
  readonly started: string
}

/**
 * Holds `<file>.lock` until released, so that two processes do not write one file. A lock whose process is gone (killed, machine
 * restarted) is taken over.
 *
 * @returns releases the lock
 * @throws {FileLockError} `held` when a living process holds it, or one on another host, which cannot be seen from here
 */
export function lockFile(file: string): () => void {
  const path = `${file}.lock`
  const breaking = `${path}.breaking`
  for (let attempt = 0; attempt < 4; attempt++) {
    if (take(path)) return () => removeIfThere(path)
    // Left meanwhile, as a rule: what is there by now is somebody else's.
    if (!isDead(path)) continue
    // Two that find the same dead lock must not both remove it: the second would remove the first one's new lock.
    if (!take(breaking)) {
      if (isDead(breaking)) takeAway(breaking)
      continue
    }
    try {
      if (isDead(path)) removeIfThere(path)
    } finally {
      removeIfThere(breaking)
    }
  }
  throw locked(path, 'another process takes and leaves it all the time')
}

function locked(path: string, who: string): FileLockError {
  return new FileLockError('held', `${path} is held: ${who}`)
}

/** Makes the lock with its whole content in one step, so that nobody reads half of it. False when it exists. */
function take(path: string): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    const fd = openSync(draft, 'wx', 0o600)
    try {
      writeSync(fd, JSON.stringify({ host: hostname(), pid: process.pid, started: statOf(process.pid)?.started ?? '' }))
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    linkSync(draft, path)
    return true
  } catch (cause) {
    if (isCode(cause, 'EEXIST')) return false
    throw new FileLockError('failed', `cannot make ${path}`, { cause })
  } finally {
    removeIfThere(draft)
  }
}

/** @returns whether its process is gone; false: there is none. @throws {FileLockError} `held` by a process that lives */
function isDead(path: string): boolean {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return false
    throw new FileLockError('failed', `cannot read ${path}`, { cause })
  }
  const holder = parseHolder(text)
  if (holder === undefined) throw locked(path, 'by whom is not readable; delete it if nothing of ours runs')
  if (holder.host !== hostname()) {
    throw locked(path, `by process ${holder.pid} on ${holder.host}; delete it if nothing of ours runs there`)
  }
  if (isAlive(holder)) throw locked(path, `by process ${holder.pid}`)
  return true
}

/** Removes a dead lock that nothing guards: what is taken away is looked at once more, and put back when somebody has it by now. */
function takeAway(path: string): void {
  const taken = `${path}.${randomBytes(6).toString('hex')}`
  try {
    renameSync(path, taken)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return
    throw new FileLockError('failed', `cannot remove ${path}`, { cause })
  }
  try {
    isDead(taken)
  } catch (error) {
    putBack(taken, path)
    throw error
  } finally {
    removeIfThere(taken)
  }
}

function putBack(taken: string, path: string): void {
  try {
    linkSync(taken, path)
  } catch (cause) {
    if (!isCode(cause, 'EEXIST')) throw new FileLockError('failed', `cannot put ${path} back`, { cause })
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { host, pid, started } = value as Record<string, unknown>
    if (typeof host !== 'string' || typeof started !== 'string') return undefined
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1) return undefined
    return { host, pid, started }
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (cause) {
    if (isCode(cause, 'ESRCH')) return false
  }
  const now = statOf(holder.pid)
  // A zombie (killed, its parent has not asked yet) writes nothing any more.
  return now === undefined || (now.started === holder.started && now.state !== 'Z')
}

/** Fields 3 and 22 of proc_pid_stat(5). Field 2, the name, is in parentheses and may hold anything. */
function statOf(pid: number): { readonly state: string | undefined; readonly started: string | undefined } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0], started: fields[19] }
  } catch {
    return undefined
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (cause) {
    if (!isCode(cause, 'ENOENT')) throw new FileLockError('failed', `cannot remove ${path}`, { cause })
  }
}

function isCode(cause: unknown, code: string): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === code
}
