import type { AccessSink } from './access-file.ts'
import { createAccessFormat, type RequestAccess, type SessionAccess } from './access-line.ts'
import type { AccessLogOptions } from './option.ts'

/** Who came, and what they were answered: for whoever watches or counts. What has to be proved is in the trail. */
export interface AccessLog {
  /** When it is answered, or cut. */
  request(access: RequestAccess): void
  /** When it has ended, or nobody was let in. */
  session(access: SessionAccess): void
}

/** @param clock ms since 1970 */
export function createAccessLog(
  { format, redact }: Pick<AccessLogOptions, 'format' | 'redact'>,
  sink: AccessSink,
  clock: () => number,
): AccessLog {
  const lines = createAccessFormat(format, redact)
  return {
    request: access => sink.write(lines.request(access, clock())),
    session: access => sink.write(lines.session(access, clock())),
  }
}
