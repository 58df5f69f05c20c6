import { AccessBatch, AccessFile, type AccessSink } from './audit/access-file.ts'
import type { Metrics } from './audit/metrics.ts'
import type { AccessLogOptions } from './audit/option.ts'
import type { LogEntry } from './postgres/state.ts'

/** Where the access log of the whole gateway goes. */
export interface AccessOutput extends AccessSink {
  /** After another program has moved the file away. Never rejects. */
  reopen(): Promise<void>
  close(timeoutMs: number): Promise<void>
}

/** @returns undefined where the configuration has none. @throws {AuditError} (rejects with) `audit.access_log` */
export async function openAccessOutput(
  options: AccessLogOptions | undefined,
  metrics: Metrics,
  log: (entry: LogEntry) => void,
): Promise<AccessOutput | undefined> {
  if (options === undefined) return undefined
  const requestId = '-'
  const file = await AccessFile.open(options.file, {
    dropped: lines => metrics.accessLogDropped.addMany(lines),
    changed: cause => {
      if (cause === undefined) log({ level: 'warn', message: 'the access log is written again', requestId })
      else log({ level: 'error', message: 'the access log cannot be written: its lines are dropped', requestId, cause })
    },
  })
  const batch = new AccessBatch(lines => file.write(lines))
  return {
    write: lines => batch.write(lines),
    async reopen() {
      batch.flush()
      await file.reopen().catch(cause => {
        log({ level: 'error', message: 'the access log stays in the file that is open', requestId, cause })
      })
    },
    async close(timeoutMs) {
      batch.flush()
      await file.close(timeoutMs)
    },
  }
}
