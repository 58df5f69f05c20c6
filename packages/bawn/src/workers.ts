import type { ReadyCheck } from './admin/door.ts'
import type { SessionRow } from './admin/sessions.ts'
import type { Doors, GoodConfig, NextState } from './doors.ts'
import { ownRevoked, type RevokedDesk } from './tokens/revoked/remote.ts'

/** Who serves: this thread alone, or several (`worker-threads.ts`). The server above them has the trail and the door for operators. */
export interface Workers {
  /** @returns really bound addresses by listener name. @throws {GatewayError} (rejects with) whatever keeps one from starting */
  start(loaded: GoodConfig): Promise<Readonly<Record<string, string>>>
  /** The next state, ready in every worker. @throws {GatewayError} (rejects with) what keeps one of them from serving it: then none has it */
  prepare(next: GoodConfig): Promise<NextWorkers>
  checks(): Promise<readonly ReadyCheck[]>
  sessions(): Promise<readonly SessionRow[]>
  /** @param ids of sessions */
  endSessions(ids: ReadonlySet<string>): Promise<void>
  /** What was taken back before its end; `undefined` where nothing of that is kept. */
  revoked(): RevokedDesk | undefined
  /** Everything that is counted, in the text of Prometheus. */
  metrics(): Promise<string>
  drain(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

/** As `NextState`, in every worker. */
export interface NextWorkers extends Pick<NextState, 'abort'> {
  commit(): Promise<void>
}

/** Doors in the thread of the server. @param closeLimiter when they are closed */
export function ownThread(doors: Doors, closeLimiter: () => Promise<void>): Workers {
  return {
    start: loaded => doors.start(loaded),
    async prepare(next) {
      const { commit, abort } = await doors.prepare(next)
      return { commit: async () => commit(), abort }
    },
    checks: () => doors.checks(),
    sessions: async () => doors.sessions(),
    endSessions: async ids => doors.endSessions(ids),
    revoked: () => doors.revoked && ownRevoked(doors.revoked),
    metrics: async () => doors.metrics(),
    drain: timeoutMs => doors.drain(timeoutMs),
    async close() {
      await doors.close()
      await closeLimiter()
    },
  }
}
