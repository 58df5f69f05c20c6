import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createPlace, type Place } from '../packages/bawn/src/cli/demo/place.ts'
import { startWorld, type World } from '../packages/bawn/src/cli/demo/world.ts'

/** How many workers gateways of tests have that hold for any number of them: `npm run test:workers` says two. */
const workers = process.env['BAWN_TEST_WORKERS']
/** A line for their configurations. */
export const workersLine = workers === undefined ? '' : `workers: ${workers}\n`

/** `node bin/bawn.js` */
export const bawn = [process.execPath, join(import.meta.dirname, '../packages/bawn/bin/bawn.js')] as const

export interface TestWorld extends World {
  readonly place: Place
  /** A token of alice, billing or carol. */
  token(id: string): string
  remove(): Promise<void>
}

/** The demo's world, on free ports, in a folder of its own: real PostgreSQL, provider, shop API and gateway. */
export async function startTestWorld(): Promise<TestWorld> {
  const place = createPlace(undefined, false)
  try {
    const world = await startWorld({ place, ports: {}, bawn, say: () => {}, more: workersLine })
    return {
      ...world,
      place,
      token: id => place.read(`${id}.token`),
      async remove() {
        await world.stop()
        place.remove()
      },
    }
  } catch (error) {
    place.remove()
    throw error
  }
}

/** Runs the command line to its end. */
export async function runBawn(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly output: string }> {
  const [program, ...first] = bawn
  try {
    const { stdout, stderr } = await promisify(execFile)(program, [...first, ...args])
    return { status: 0, output: stdout + stderr }
  } catch (error) {
    if (error instanceof Error && 'stdout' in error && 'stderr' in error && 'code' in error) {
      return { status: Number(error.code), output: `${error.stdout}${error.stderr}` }
    }
    throw error
  }
}
