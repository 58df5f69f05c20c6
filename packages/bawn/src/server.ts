import type { ReloadResult } from './admin/reload.ts'
import { GatewayError } from './error.ts'

/** What the command line starts; composed of every folder. */
export interface RunningServer {
  /** Really bound addresses by listener name. */
  readonly addresses: Readonly<Record<string, string>>
  /** Reads the configuration file again and swaps to it, or keeps the last good one. */
  reload(): Promise<ReloadResult>
  /** Takes no new connections, waits at most `timeoutMs` for open ones, then ends them. */
  close(timeoutMs: number): Promise<void>
}

export interface StartOptions {
  readonly configPath: string
  /** One line of the log, without its line feed. */
  readonly log: (line: string) => void
  /** Milliseconds since 1970. */
  readonly clock: () => number
}

/** Starts every listener of a configuration file. @throws {GatewayError} whatever keeps it from starting */
export async function startServer(_options: StartOptions): Promise<RunningServer> {
  throw new GatewayError('gateway.bug', 'not composed yet')
}
