import { resolve } from 'node:path'
import { probeFiles } from '../config/probe.ts'
import { renderProblems } from '../config/problem.ts'
import { GatewayError } from '../error.ts'
import { duration } from '../option.ts'
import type { RunningServer } from '../server.ts'
import { type Command, configOption, type Terminal } from './command.ts'
import { configFile, InvalidConfigError, readConfig } from './config.ts'
import { CliError } from './error.ts'
import { reloadLines } from './reload.ts'

/** Where signals come from: `process`, or an emitter of a test. */
export interface Signals {
  on(signal: 'SIGHUP' | 'SIGTERM' | 'SIGINT', listener: () => void): unknown
  off(signal: 'SIGHUP' | 'SIGTERM' | 'SIGINT', listener: () => void): unknown
}

/**
 * Serves until a signal says otherwise. SIGHUP reloads; SIGTERM or SIGINT drains and ends with 0; a second of these ends at once.
 *
 * @returns the exit status: 1 when open connections were cut off
 */
export async function serve(
  server: RunningServer,
  signals: Signals,
  terminal: Terminal,
  drainMs: number,
): Promise<0 | 1> {
  // One after the other: a reload that was asked for twice runs twice.
  let reloading: Promise<void> = Promise.resolve()
  const reload = (): void => {
    reloading = reloading.then(async () => {
      try {
        terminal.err(`${reloadLines(await server.reload()).join('\n')}\n`)
      } catch (error) {
        const code = error instanceof GatewayError ? `${error.code}: ${error.message}` : 'gateway.bug'
        terminal.err(`error: ${code}\nkept the last good configuration\n`)
      }
    })
  }
  let again: () => void = () => undefined
  let stop: () => void = () => undefined
  const first = new Promise<void>(done => {
    stop = done
  })
  const second = new Promise<'now'>(done => {
    again = () => done('now')
  })
  let signalled = 0
  const end = (): void => {
    signalled += 1
    if (signalled === 1) stop()
    else again()
  }
  signals.on('SIGHUP', reload)
  signals.on('SIGTERM', end)
  signals.on('SIGINT', end)
  try {
    await first
    terminal.err('draining: no new connections, waiting for open ones; once more to end now\n')
    const closed = server.close(drainMs).then(() => 'closed' as const)
    const outcome = await Promise.race([closed, second])
    terminal.err(outcome === 'closed' ? 'stopped\n' : 'stopped at once\n')
    return outcome === 'closed' ? 0 : 1
  } finally {
    signals.off('SIGHUP', reload)
    signals.off('SIGTERM', end)
    signals.off('SIGINT', end)
  }
}

function drainMsOf(text: string): number {
  const parsed = duration.safeParse(text)
  if (!parsed.success) throw new CliError('cli.usage', '--drain is a number and a unit: 500ms, 30s, 5m')
  return parsed.data
}

const start: Command = {
  name: 'start',
  summary: 'start the gateway',
  options: {
    ...configOption,
    drain: { value: 'TIME', help: 'how long open connections may go on after SIGTERM (default: 30s)' },
  },
  notes: ['SIGHUP reads the configuration again. SIGTERM or SIGINT drains and stops; a second one stops at once.'],
  async run(input) {
    const { terminal } = input
    const drainMs = drainMsOf(input.text('drain') ?? '30s')
    const file = configFile(input)
    const loaded = await readConfig(input)
    const outside = loaded.kind === 'ok' ? probeFiles(loaded.config, loaded.source, terminal.env) : []
    const found = [...(loaded.kind === 'ok' ? loaded.warnings : loaded.problems), ...outside]
    const named = found.map(problem => ({ ...problem, file }))
    if (named.length > 0) terminal.err(`${renderProblems(named)}\n`)
    const errors = named.filter(problem => problem.level === 'error')
    if (loaded.kind === 'invalid' || errors.length > 0) throw new InvalidConfigError(file, errors)

    const { startServer } = await import('../server.ts')
    const log = (line: string): void => terminal.err(`${line}\n`)
    const server = await startServer({ configPath: resolve(terminal.cwd, file), log, clock: terminal.now })
    for (const [name, address] of Object.entries(server.addresses)) {
      terminal.out(`listening: ${name} (${loaded.config.listeners[name]?.door ?? 'door'}) on ${address}\n`)
    }
    return serve(server, process, terminal, drainMs)
  },
}

export const commands: readonly Command[] = [start]
