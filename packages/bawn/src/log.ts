import { GatewayError } from './error.ts'
import type { LogEntry } from './postgres/state.ts'

/**
 * One JSON line an entry. Messages of our errors hold no secret; of others only name and code are kept, for they may quote anything.
 *
 * @param worker its number, where there are several
 */
export function createLog(
  log: (line: string) => void,
  clock: () => number,
  worker?: number,
): (entry: LogEntry) => void {
  return ({ level, message, requestId, cause }) => {
    log(
      JSON.stringify({
        at: new Date(clock()).toISOString(),
        level,
        ...(worker === undefined ? {} : { worker }),
        message,
        request_id: requestId,
        ...describeCause(cause),
      }),
    )
  }
}

function describeCause(cause: unknown): Readonly<Record<string, unknown>> {
  if (cause === undefined) return {}
  if (cause instanceof GatewayError) {
    const deeper = cause.cause === undefined ? {} : { because: describeCause(cause.cause) }
    return { code: cause.code, detail: cause.message, ...deeper }
  }
  if (!(cause instanceof Error)) return { error: typeof cause }
  const code = 'code' in cause ? { error_code: String(cause.code) } : {}
  // The first lines of a stack name our code; the message in it may quote a value.
  const frames = (cause.stack ?? '')
    .split('\n')
    .filter(line => line.startsWith('    at '))
    .slice(0, 8)
  return { error: cause.name, ...code, stack: frames.map(frame => frame.trim()) }
}
