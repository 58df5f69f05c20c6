import type { Command, ExitCode, Input } from './command.ts'
import { checkTour, findTools } from './demo/check.ts'
import { get } from './demo/get.ts'
import { createPlace, type Place } from './demo/place.ts'
import { makeTour, quote, renderTour } from './demo/tour.ts'
import { CliError } from './error.ts'

const demo: Command = {
  name: 'demo',
  summary: 'start PostgreSQL, an OpenID provider, a sample API and Bawn here, and print a tour of commands',
  options: {
    check: { help: 'run the tour, compare each result with what is promised; exit 0 or 1' },
    data: { value: 'DIR', help: 'keep everything there; started again with it, the demo goes on where it was' },
    keep: { help: 'do not remove the temporary folder at the end' },
    ports: { value: 'WEB,SQL,DESK', help: 'of the doors (default 8080,9393,9191; a free one where taken)' },
  },
  notes: ['Ctrl-C stops everything and removes what was made.'],
  async run(input) {
    const ports = portsOf(input)
    const interrupted = untilInterrupted()
    const place = createPlace(input.text('data'), input.flag('keep'))
    try {
      return await show(input, place, ports, interrupted)
    } catch (error) {
      if (isPackageMissing(error)) {
        const suggestion = 'It has real parts that a gateway in production does not need: npm install @bawn/demo'
        throw new CliError('cli.failed', 'the demo needs the package @bawn/demo', { cause: error, suggestion })
      }
      // By name: its class is in the package that may be missing.
      if (error instanceof Error && error.name === 'PostgresUnavailable') {
        throw new CliError('cli.failed', error.message, { cause: error })
      }
      if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
        const suggestion =
          'Does another demo run in this folder? ports.json there has the ports; removed, new ones are chosen'
        throw new CliError('cli.failed', error.message, { cause: error, suggestion })
      }
      throw error
    } finally {
      if (place.temporary) place.remove()
      else input.terminal.out(`Kept: ${place.folder}\n`)
    }
  },
}

async function show(input: Input, place: Place, ports: DoorPorts, interrupted: Promise<void>): Promise<ExitCode> {
  const { terminal } = input
  const say = (line: string) => terminal.out(`${line}\n`)
  const entry = process.argv[1]
  if (entry === undefined) throw new CliError('cli.failed', 'cannot tell which file to start the gateway with')
  const started = terminal.now()
  const { startWorld } = await import('./demo/world.ts')
  const world = await startWorld({ place, ports, bawn: [process.execPath, entry], say: line => say(`  ${line}`) })
  try {
    const tour = makeTour(findTools())
    if (input.flag('check')) return (await checkTour(tour, world.envFile, say)) === 0 ? 0 : 1
    say(`\nReady after ${((terminal.now() - started) / 1000).toFixed(1)} s.\n`)
    say(renderTour(tour, world.envFile))
    say(`The gateway is process ${world.gateway.pid}. Kill it (kill -9 ${world.gateway.pid}) and start it again:\n`)
    say(`    npx bawn start --config ${quote(place.path('bawn.yaml'))}\n`)
    say(`Its log: ${place.path('data/gateway.log')}. Ctrl-C here stops everything.`)
    void world.gateway.ended.then(how => say(`The gateway ended (${how}).`))
    await interrupted
    return 0
  } finally {
    say('Stopping.')
    await world.stop()
  }
}

interface DoorPorts {
  readonly web?: number
  readonly sql?: number
  readonly desk?: number
}

function portsOf(input: Input): DoorPorts {
  const text = input.text('ports')
  // Unattended runs must not depend on what else listens here.
  if (text === undefined) return input.flag('check') ? {} : { web: 8080, sql: 9393, desk: 9191 }
  const [, web, sql, desk] = /^([0-9]{1,5}),([0-9]{1,5}),([0-9]{1,5})$/.exec(text)?.map(Number) ?? []
  const isPort = (port: number | undefined): port is number => port !== undefined && port > 0 && port < 65_536
  if (isPort(web) && isPort(sql) && isPort(desk)) return { web, sql, desk }
  throw new CliError('cli.usage', '--ports is three numbers of ports, for example 8080,9393,9191')
}

function isPackageMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
}

function untilInterrupted(): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}

export const commands: readonly Command[] = [demo, get]
