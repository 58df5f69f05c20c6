import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { createSeeded } from '../../packages/envelope/testing/seeded.ts'
import { type DoorWay, doorWays, type Lanes, lettersOf, startLanes } from './lanes.ts'
import { makeSequence, type Step } from './messages.ts'

// Whatever a client says, it hears through the door what it would have heard from PostgreSQL itself: random sequences, cut at random, on
// both ways. `npm run test:fuzz` goes on for minutes with new ones; BAWN_TEST_SEED repeats one sequence.

const asked = process.env['BAWN_FUZZ_SECONDS']
const seconds = Number(asked ?? 8)
const longest = 25

let lanes: Lanes
before(async () => {
  lanes = await startLanes()
})
after(() => lanes.stop())

const asWay = (name: string | undefined): DoorWay | undefined => doorWays.find(way => way === name)

const wayOf = (seed: number): DoorWay =>
  asWay(process.env['BAWN_FUZZ_WAY']) ?? doorWays[seed % doorWays.length] ?? 'door'

/**
 * Names that SQL and the protocol's messages both use: with a transaction pool they do not find each other's statements, but for DEALLOCATE
 * (docs/guide/operations.md).
 */
function isAskable(bytes: Buffer, way: DoorWay): boolean {
  return way !== 'transaction pool' || !/(?:execute|prepare) s1\b/.test(bytes.toString('latin1'))
}

const failed = /^E .*\0C25P02\0/

/**
 * A statement that has to be prepared again on this connection: in a failed transaction it cannot be, whatever else is wrong
 * (docs/guide/operations.md). What follows is the same.
 */
function asDirect(message: string, direct = ''): string {
  return failed.test(message) && /^E .*\0C08P01\0Mbind message/.test(direct) ? direct : message
}

/** The first message that differs; `undefined` when all are the same. */
async function difference(seed: number, steps: readonly Step[]): Promise<string | undefined> {
  const way = wayOf(seed)
  let direct: readonly string[]
  try {
    direct = await lanes.run('direct', steps, createSeeded(seed + 1))
  } catch (cause) {
    throw new Error(`PostgreSQL itself, with BAWN_TEST_SEED=${seed}`, { cause })
  }
  let door: readonly string[]
  try {
    door = await lanes.run(way, steps, createSeeded(seed + 1))
  } catch (error) {
    return `${way}: ${error instanceof Error ? error.message : error}`
  }
  if (isDeepStrictEqual(direct, door)) return undefined
  if (way === 'transaction pool') door = door.map((message, index) => asDirect(message, direct[index]))
  if (isDeepStrictEqual(direct, door)) return undefined
  // What PostgreSQL itself answers now so and now otherwise is no measure.
  if (isDeepStrictEqual(await lanes.run('direct', steps, createSeeded(seed + 1)), door)) return undefined
  const at = direct.findIndex((message, index) => message !== door[index])
  const index = at === -1 ? direct.length : at
  // One that Describe finds to have no result: behind the error the rest of the batch is skipped, and so may be a Close.
  if (way === 'transaction pool' && failed.test(door[index] ?? '') && direct[index]?.startsWith('t ')) return undefined
  const show = (message: string | undefined) => JSON.stringify(message?.slice(0, 300) ?? 'nothing more')
  return `${way}, answer ${index}: direct ${show(direct[index])}, through the door ${show(door[index])}`
}

/** Leaves out steps as long as there is a difference. */
async function shrink(seed: number, steps: readonly Step[]): Promise<readonly Step[]> {
  let kept = steps
  for (let index = kept.length - 2; index > 0; index -= 1) {
    const fewer = kept.toSpliced(index, 1)
    if ((await difference(seed, fewer)) !== undefined) kept = fewer
  }
  return kept
}

/** Of a process that is started anew when PostgreSQL has recovered from a crash; waits until it has. */
async function serverMark(): Promise<unknown> {
  const begunAt = performance.now()
  while (true) {
    try {
      return (await lanes.kit.direct("select pid from pg_stat_activity where backend_type = 'checkpointer'"))[0]?.[
        'pid'
      ]
    } catch (cause) {
      if (performance.now() - begunAt > 30_000) throw cause
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

async function check(seed: number): Promise<void> {
  const mark = await serverMark()
  try {
    await compare(seed)
  } catch (error) {
    if ((await serverMark()) === mark) throw error
    // Some sequences bring PostgreSQL 18 itself down, every session of it: a server that was away says nothing about the door.
    console.log(`PostgreSQL itself crashed: BAWN_TEST_SEED=${seed}`)
  }
}

async function compare(seed: number): Promise<void> {
  const steps = makeSequence(createSeeded(seed), longest).filter(({ bytes }) => isAskable(bytes, wayOf(seed)))
  const logs = lanes.kit.logs.length
  const found = await difference(seed, steps)
  if (found === undefined) return
  const few = await shrink(seed, steps)
  const again = (await difference(seed, few)) ?? found
  const said = few.map(({ name, bytes }) => `  ${name} (${lettersOf(bytes)})`).join('\n')
  const logged = lanes.kit.logs.slice(logs).map(({ message }) => message)
  assert.fail(`BAWN_TEST_SEED=${seed}: ${again}\n${said}\nlog: ${[...new Set(logged)].join('; ')}`)
}

test('random sequences of messages are answered as PostgreSQL answers them', async () => {
  const wanted = process.env['BAWN_TEST_SEED']
  if (wanted !== undefined) {
    await check(Number(wanted))
    return
  }
  const end = Date.now() + seconds * 1_000
  // The short run has the same sequences each time: what it finds, the change did.
  const known = createSeeded(1)
  let count = 0
  do {
    await check(asked === undefined ? known.integer(0, 2 ** 31 - 1) : randomInt(2 ** 31))
    count += 1
  } while (Date.now() < end)
  console.log(`${count} sequences`)
})
