import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { Answers } from './answers.ts'
import { Asker, pick } from './ask.ts'
import { createCallers } from './callers.ts'
import { watchExpiry } from './expiring.ts'
import { HeldSessions } from './held.ts'
import { type Fault, faults, Ledger, Weather } from './ledger.ts'
import { verifyTrail } from './processes.ts'
import { RevokedCredentials } from './revoking.ts'
import { type Killable, type SoakWorld, startSoakWorld } from './world.ts'

// Half of what the machine carries, for minutes, at two gateways with two workers each: by HTTP/1.1 with and without TLS, by HTTP/2, and at the
// PostgreSQL door; while what they need is killed and comes back, one of them too. Every answer is judged: who is right gets what they asked for
// and nobody else's, who is wrong gets nothing, ever, and nobody sees what is not theirs. Only what needs the part that is away, and for
// `recoveryMs` after, may go undecided. One wrong decision ends the run with status 1.
//
//   npm run test:soak                                  BAWN_SOAK_MINUTES=3 for a shorter one; needs redis-server

const minutes = Number(process.env['BAWN_SOAK_MINUTES'] ?? 10)
// Within that, each fault is injected once.
assert(minutes >= 3, 'BAWN_SOAK_MINUTES must be a number of minutes, 3 or more')
const lanes = 24
/** Programs that have just begun carry less than they will. */
const warmUpMs = 10_000
const measureMs = 5_000
const calmMs = 4_000
const downMs = 6_000
const recoveryMs = 8_000
/** Of the gateway that is never killed, between the end of the first round and of the last; caches fill meanwhile. */
const maxGrowthMb = 150

const world = await startSoakWorld()
let status = 1
try {
  status = await soak(world)
} finally {
  await world.stop()
}
process.exitCode = status

async function soak({ nodes, ca, upstream, issuer, redis, database, ...around }: SoakWorld): Promise<number> {
  const weather = new Weather()
  const ledger = new Ledger(weather)
  const answers = new Answers(weather)
  const asker = new Asker({ nodes, ca }, answers, lanes)
  const whole = { nodes, ca, upstream, issuer, redis, database, ...around }
  const revoked = new RevokedCredentials(whole, asker, ledger, weather)
  const held = new HeldSessions(whole, ledger)
  const callers = createCallers(whole, asker, revoked)
  ledger.expect(...callers.map(({ name }) => name))
  const deck = callers.flatMap(caller => Array.from({ length: caller.share }, () => caller))
  let asked = 0

  const one = async (): Promise<void> => {
    const caller = pick(deck)
    const from = performance.now()
    const answer = caller.ask(`n${asked + 1}`)
    if (answer === undefined) return void (await setTimeout(1))
    asked++
    ledger.note(caller.name, await answer, from)
  }
  /** @param perSecond of all lanes; as many as it can where it is not said */
  const load = async (until: number, perSecond = Infinity): Promise<void> => {
    const from = performance.now()
    let due = 0
    const lane = async (): Promise<void> => {
      while (performance.now() < until) {
        const wait = from + (due++ / perSecond) * 1_000 - performance.now()
        if (wait > 0) await setTimeout(wait)
        await one()
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }

  const [first, second] = nodes
  const killable: Partial<Readonly<Record<Fault, Killable>>> = {
    upstream,
    issuer: issuer.part,
    redis,
    postgres: database,
    'second gateway': second.part,
  }
  const inject = async (fault: Fault): Promise<void> => {
    const goOn = await held.begin(fault)
    const end = weather.begin(fault)
    ledger.injected(fault)
    const part = killable[fault]
    if (part !== undefined) {
      await part.kill()
      await setTimeout(downMs)
      await part.start()
      end(recoveryMs)
      await setTimeout(recoveryMs)
    } else {
      if (fault === 'reload') for (const node of nodes) await node.part.hangUp(/^reloaded/m)
      else await issuer.rotate()
      end(0)
    }
    await goOn()
  }
  const memory: number[] = []
  const injection = async (until: number): Promise<void> => {
    for (let n = 0; performance.now() + calmMs + downMs + recoveryMs < until; n++) {
      await setTimeout(calmMs)
      await inject(faults[n % faults.length] ?? assert.fail())
      memory.push(first.part.memory())
    }
  }

  await load(performance.now() + warmUpMs)
  const before = asked
  await load(performance.now() + measureMs)
  const full = (asked - before) / (measureMs / 1_000)
  const until = performance.now() + minutes * 60_000
  console.log(`full load: ${Math.round(full)} a second; half of it for ${minutes} minutes`)
  const stopping = new AbortController()
  const beside = [revoked.run(stopping.signal), watchExpiry(whole, asker, ledger, stopping.signal)]
  await Promise.all([load(until, full / 2), injection(until)])
  stopping.abort()
  await Promise.all(beside)
  asker.close()

  let isGood = ledger.close(console.log)
  answers.print(console.log)
  console.log(`${issuer.given()} tokens given out by the identity provider`)
  console.log(`the longest that anything passed after it was taken back: ${Math.round(revoked.latestMs)} ms`)
  console.log(`the longest that a session lived on: ${Math.round(revoked.latestSessionMs)} ms`)
  const growth = (memory.at(-1) ?? 0) - (memory[0] ?? 0)
  console.log(`memory of the first gateway: ${memory[0]} MB after the first fault, ${memory.at(-1)} MB at the end`)
  if (!(growth <= maxGrowthMb)) {
    console.log(`WRONG it has grown by ${growth} MB`)
    isGood = false
  }
  for (const node of nodes) {
    const { intact, said } = verifyTrail(node.configPath)
    console.log(`audit trail of the ${node.name} gateway: ${said}`)
    const faulty = compareTrail(node.trailPath, node.name, asker.answered)
    for (const line of faulty.slice(0, 10)) console.log(`WRONG ${line}`)
    isGood &&= intact && faulty.length === 0
  }
  if (!isGood) for (const node of nodes) console.log(`${node.name}:\n${node.part.log().slice(-3_000)}`)
  return isGood ? 0 : 1
}

/** Every answer has its one line, and that says the same. @returns what does not */
function compareTrail(path: string, node: string, answered: Asker['answered']): readonly string[] {
  const decisions = new Map<string, string[]>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    const { kind, request, decision } = JSON.parse(line)
    if (kind === 'request') decisions.set(request, [...(decisions.get(request) ?? []), decision])
  }
  const faulty: string[] = []
  let count = 0
  for (const [id, answer] of answered) {
    if (answer.node !== node) continue
    count++
    const found = decisions.get(id)?.join(', ')
    const wanted = answer.status < 300 ? 'permit' : answer.status < 500 ? 'deny' : 'error'
    if (found !== wanted) faulty.push(`${node}: ${id}, answered ${answer.status}: ${found ?? 'no line'}`)
  }
  console.log(`${count} answers of the ${node} gateway, ${faulty.length} without their line`)
  return faulty
}
