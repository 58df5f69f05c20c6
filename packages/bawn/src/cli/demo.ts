import { parseArgs } from 'node:util'
import { checkTour, findTools } from './demo/check.ts'
import { get } from './demo/get.ts'
import { createPlace } from './demo/place.ts'
import { makeTour, renderTour } from './demo/tour.ts'
import { startWorld } from './demo/world.ts'

export const demoHelp = `bawn demo [--check] [--data DIR] [--keep] [--ports WEB,SQL,DESK]

Starts PostgreSQL, an OpenID provider, a sample shop API and Bawn in front of them, and prints a tour of commands for another terminal.
Ctrl-C stops everything and removes what was made.

  --check    run the tour here, compare each result with what is promised; exit 0 or 1
  --data     keep everything in DIR; started again with the same DIR it goes on where it was
  --keep     do not remove the temporary folder at the end
  --ports    of the HTTP, PostgreSQL and admin doors (default 8080,9393,9191; a free one where taken)
`

/**
 * `bawn demo`.
 *
 * @param args what follows `demo` on the command line
 * @returns the exit status: 0 ok, 1 failed, 2 usage
 */
export async function demo(args: readonly string[]): Promise<number> {
  if (args[0] === 'get') return await get(args.slice(1))
  let options: DemoOptions
  try {
    options = parseOptions(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${demoHelp}`)
    return 2
  }
  if (options.help) {
    console.log(demoHelp)
    return 0
  }
  const interrupted = untilInterrupted()
  const place = createPlace(options.data, options.keep)
  try {
    return await show(options, place, interrupted)
  } catch (error) {
    console.error(explain(error))
    return 1
  } finally {
    if (place.temporary) place.remove()
    else console.log(`Kept: ${place.folder}`)
  }
}

async function show(options: DemoOptions, place: ReturnType<typeof createPlace>, interrupted: Promise<void>) {
  const entry = process.argv[1]
  if (entry === undefined) throw new Error('started in a way that does not tell which file to start the gateway with')
  const started = Date.now()
  const world = await startWorld({
    place,
    ports: options.ports,
    bawn: [process.execPath, entry],
    say: line => console.log(`  ${line}`),
  })
  try {
    const tour = makeTour(findTools())
    if (options.check) return (await checkTour(tour, world.envFile, line => console.log(line))) === 0 ? 0 : 1
    console.log(`\nReady after ${((Date.now() - started) / 1000).toFixed(1)} s.\n`)
    console.log(renderTour(tour, world.envFile))
    console.log(
      `The gateway is process ${world.gateway.pid}. Kill it (kill -9 ${world.gateway.pid}) and start it again:\n`,
    )
    console.log(`    npx bawn start --config ${place.path('bawn.yaml')}\n`)
    console.log(`Its log: ${place.path('data/gateway.log')}. Ctrl-C here stops everything.`)
    void world.gateway.ended.then(how => console.log(`\nThe gateway ended (${how}).`))
    await interrupted
    return 0
  } finally {
    console.log('Stopping.')
    await world.stop()
  }
}

interface DemoOptions {
  readonly check: boolean
  readonly data: string | undefined
  readonly keep: boolean
  readonly help: boolean
  readonly ports: { readonly web?: number; readonly sql?: number; readonly desk?: number }
}

function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      check: { type: 'boolean', default: false },
      data: { type: 'string' },
      keep: { type: 'boolean', default: false },
      ports: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  // Unattended runs must not depend on what else runs here.
  const ports = values.ports ?? (values.check ? undefined : '8080,9393,9191')
  return { ...values, data: values.data, ports: ports === undefined ? {} : parsePorts(ports) }
}

function parsePorts(text: string): DemoOptions['ports'] {
  const [web, sql, desk, ...more] = text.split(',').map(Number)
  const isPort = (port: number | undefined) => port !== undefined && Number.isInteger(port) && port > 0 && port < 65_536
  if (!isPort(web) || !isPort(sql) || !isPort(desk) || more.length > 0) {
    throw new Error(`--ports wants three port numbers, for example 8080,9393,9191`)
  }
  return { ...(web && { web }), ...(sql && { sql }), ...(desk && { desk }) }
}

/** The demo lives in a package of its own, which whoever installs the gateway alone does not have. */
function explain(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
    return `The demo needs the package @bawn/demo: npm install @bawn/demo\n(${error.message})`
  }
  if (error instanceof Error && 'stderr' in error) return `${error.message}\n${String(error.stderr)}`
  return error instanceof Error ? error.message : String(error)
}

function untilInterrupted(): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  })
}
