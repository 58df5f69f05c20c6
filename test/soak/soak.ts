import assert from 'node:assert/strict'
import { Agent, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { type SoakWorld, startSoakWorld } from './world.ts'

// Half of what the machine carries, for minutes, while upstream, issuer and Redis are killed and come back. Every answer is judged: who is right gets
// what they asked for and nobody else's, who is wrong gets nothing, ever. While something is away, and for `recoveryMs` after, 503 is an answer to
// everybody, and 502 and 504 to who is right. One wrong decision ends the run with status 1.
//
//   npm run test:soak                                  BAWN_SOAK_MINUTES=2 for a shorter one; needs redis-server

const minutes = Number(process.env['BAWN_SOAK_MINUTES'] ?? 10)
// In one minute each part is killed once.
assert(minutes >= 1, 'BAWN_SOAK_MINUTES must be a number of minutes, 1 or more')
const lanes = 24
const measureMs = 3_000
const calmMs = 5_000
const downMs = 6_000
const recoveryMs = 8_000

type Outcome =
  | { readonly kind: 'right' }
  /** Not decided, or not answered. */
  | { readonly kind: 'away'; readonly what: string }
  | { readonly kind: 'wrong'; readonly what: string }

interface Caller {
  readonly name: string
  /** How often it comes, beside the others. */
  readonly share: number
  ask(nonce: string): Promise<Outcome>
}

const agent = new Agent({ keepAlive: true, maxSockets: lanes })

async function ask(port: number, path: string, headers: Readonly<Record<string, string>>) {
  return await new Promise<{ readonly status: number; readonly body: string }>((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, headers, agent, timeout: 60_000 }, answer => {
      text(answer).then(body => resolve({ status: answer.statusCode ?? 0, body }), reject)
    })
    request.once('timeout', () => request.destroy(new Error('no answer in a minute')))
    request.once('error', reject)
  })
}

function createCallers(world: SoakWorld): readonly Caller[] {
  const away = (what: string): Outcome => ({ kind: 'away', what })
  const http = async (
    path: string,
    headers: Readonly<Record<string, string>>,
    judge: (status: number, body: string) => boolean,
    undecided: readonly number[],
  ): Promise<Outcome> => {
    try {
      const { status, body } = await ask(world.webPort, path, headers)
      if (judge(status, body)) return { kind: 'right' }
      const what = `${status} ${body.slice(0, 300)}`
      return undecided.includes(status) ? away(what) : { kind: 'wrong', what }
    } catch (error) {
      return away(String(error))
    }
  }
  const bearer = (claims: object, how?: 'forged' | 'unknown key') => ({
    authorization: `Bearer ${world.token({ roles: ['staff'], ...claims }, how)}`,
  })
  const served = (path: string, user: string, headers: Readonly<Record<string, string>>) => {
    const own = JSON.stringify({ url: path, user })
    return http(path, headers, (status, body) => status === 200 && body === own, [502, 503, 504])
  }
  // 502 would say that the upstream was to be asked: so it was let through.
  const refused = (path: string, wanted: readonly number[], headers: Readonly<Record<string, string>>) =>
    http(path, headers, status => wanted.includes(status), [503])

  const users = Array.from({ length: 50 }, (_, at) => `user${at}`)
  const someone = (): string => users[Math.floor(Math.random() * users.length)] ?? 'user0'
  const kept = new Map(users.map(user => [user, bearer({ sub: user })]))
  const ofUser = (user: string) => kept.get(user) ?? assert.fail()
  const expired = bearer({ sub: 'user0', iat: 1_000, exp: 2_000 })
  const customer = bearer({ sub: 'mallory', roles: [] })
  let revoked: Readonly<Record<string, string>>[] = []

  const sql = async (user: string, token: string, nonce: string, isGood: boolean): Promise<Outcome> => {
    const address = { host: '127.0.0.1', port: world.sqlPort, database: 'shop' }
    const client = new pg.Client({ ...address, user, password: token, options: '-c bawn.login=jwt' })
    client.on('error', () => {})
    try {
      await client.connect()
      if (!isGood) return { kind: 'wrong', what: 'a session' }
      const query = "select current_setting('application_name') as who, $1::text as nonce"
      const { rows } = await client.query(query, [nonce])
      const isOwn = rows.length === 1 && rows[0].who === `bawn:${user}` && rows[0].nonce === nonce
      return isOwn ? { kind: 'right' } : { kind: 'wrong', what: JSON.stringify(rows) }
    } catch (error) {
      const code = error instanceof pg.DatabaseError ? error.code : undefined
      if (!isGood && (code === '28P01' || code === '42501')) return { kind: 'right' }
      const what = `${code} ${error}`
      return code === undefined || code.startsWith('57P') || code === '08006' ? away(what) : { kind: 'wrong', what }
    } finally {
      await client.end().catch(() => {})
    }
  }
  const plain = (headers: Readonly<Record<string, string>>): string => headers['authorization']?.slice(7) ?? ''

  return [
    {
      ...{ name: 'good: token, seen before', share: 8 },
      ask: nonce => {
        const user = someone()
        return served(`/staff/${nonce}`, user, ofUser(user))
      },
    },
    {
      ...{ name: 'good: token, new', share: 4 },
      ask: nonce => served(`/staff/${nonce}`, `new-${nonce}`, bearer({ sub: `new-${nonce}` })),
    },
    {
      ...{ name: 'good: own path, by policy', share: 4 },
      ask: nonce => {
        const user = someone()
        return served(`/own/${user}/${nonce}`, user, ofUser(user))
      },
    },
    {
      ...{ name: 'good: API key', share: 4 },
      ask: nonce => served(`/staff/${nonce}`, 'nightly', { 'X-Api-Key': world.apiKey }),
    },
    {
      ...{ name: 'good: PostgreSQL session', share: 1 },
      ask: nonce => {
        const user = someone()
        return sql(user, plain(ofUser(user)), nonce, true)
      },
    },
    { ...{ name: 'bad: nobody', share: 2 }, ask: nonce => refused(`/staff/${nonce}`, [401], {}) },
    {
      ...{ name: 'bad: forged token', share: 2 },
      ask: nonce => refused(`/staff/${nonce}`, [401], bearer({ sub: someone() }, 'forged')),
    },
    {
      ...{ name: 'bad: token of an unknown key', share: 1 },
      ask: nonce => refused(`/staff/${nonce}`, [401], bearer({ sub: someone() }, 'unknown key')),
    },
    { ...{ name: 'bad: expired token', share: 2 }, ask: nonce => refused(`/staff/${nonce}`, [401], expired) },
    {
      ...{ name: 'bad: token for another audience', share: 1 },
      ask: nonce => refused(`/staff/${nonce}`, [401], bearer({ sub: someone(), aud: 'elsewhere' })),
    },
    { ...{ name: 'bad: no role', share: 2 }, ask: nonce => refused(`/staff/${nonce}`, [403], customer) },
    {
      ...{ name: 'bad: path of somebody else', share: 2 },
      ask: nonce => refused(`/own/${someone()}/${nonce}`, [403], customer),
    },
    {
      // Guesses are slowed down: 429.
      ...{ name: 'bad: wrong API key', share: 1 },
      ask: nonce => refused(`/staff/${nonce}`, [401, 429], { 'X-Api-Key': `${world.apiKey.slice(0, -4)}AAAA` }),
    },
    {
      ...{ name: 'bad: PostgreSQL with a forged token', share: 1 },
      ask: nonce => sql('user0', plain(bearer({ sub: 'user0' }, 'forged')), nonce, false),
    },
    {
      ...{ name: 'bad: PostgreSQL without the role', share: 1 },
      ask: nonce => sql('mallory', plain(customer), nonce, false),
    },
    {
      // Each is taken back once, after it was good, and then shown again and again.
      ...{ name: 'bad: revoked token', share: 2 },
      async ask(nonce) {
        if (revoked.length < 20 || Math.random() < 0.02) {
          const headers = bearer({ sub: 'user0', jti: nonce })
          const first = await served(`/staff/${nonce}`, 'user0', headers)
          if (first.kind !== 'right') return first
          if (!(await world.revoke(nonce))) return away('revocation was not acknowledged')
          revoked = [...revoked.slice(-99), headers]
        }
        const headers = revoked[Math.floor(Math.random() * revoked.length)] ?? {}
        return refused(`/staff/${nonce}`, [401], headers)
      },
    },
  ]
}

interface Count {
  right: number
  away: number
  wrong: number
}

const world = await startSoakWorld()
let status = 1
try {
  status = await soak(world)
} finally {
  agent.destroy()
  await world.stop()
}
process.exitCode = status

async function soak({ parts, log }: SoakWorld): Promise<number> {
  const callers = createCallers(world)
  const deck = callers.flatMap(caller => Array.from({ length: caller.share }, () => caller))
  const counts = new Map(callers.map(({ name }): [string, Count] => [name, { right: 0, away: 0, wrong: 0 }]))
  const byFault = new Map(
    parts.map(({ name }): [string, { kills: number; away: number }] => [name, { kills: 0, away: 0 }]),
  )
  const wrongs: string[] = []
  let fault: string | undefined
  let asked = 0

  const one = async (): Promise<void> => {
    const caller = deck[Math.floor(Math.random() * deck.length)]
    const nonce = `n${++asked}`
    const atBegin = fault
    if (caller === undefined) return
    const outcome = await caller.ask(nonce)
    const excuse = atBegin ?? fault
    const count = counts.get(caller.name) ?? assert.fail()
    if (outcome.kind === 'right') count.right++
    else if (outcome.kind === 'away' && excuse !== undefined) {
      count.away++
      const of = byFault.get(excuse)
      if (of !== undefined) of.away++
    } else {
      count.wrong++
      if (wrongs.length < 20) wrongs.push(`${caller.name}, ${nonce}, ${excuse ?? 'nothing'} away: ${outcome.what}`)
    }
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

  await load(performance.now() + measureMs)
  const full = asked / (measureMs / 1_000)
  const end = performance.now() + minutes * 60_000
  console.log(`full load: ${Math.round(full)} a second; half of it for ${minutes} minutes`)
  const injection = (async () => {
    const roundMs = calmMs + downMs + recoveryMs
    for (let n = 0; performance.now() + roundMs < end; n++) {
      const part = parts[n % parts.length] ?? assert.fail()
      await setTimeout(calmMs)
      fault = part.name
      await part.kill()
      await setTimeout(downMs)
      await part.start()
      await setTimeout(recoveryMs)
      fault = undefined
      const of = byFault.get(part.name)
      if (of !== undefined) of.kills++
    }
  })()
  await Promise.all([load(end, full / 2), injection])

  console.log(`${'caller'.padEnd(40)}${'right'.padStart(10)}${'away'.padStart(10)}${'wrong'.padStart(10)}`)
  const total = { right: 0, away: 0, wrong: 0 }
  for (const [name, count] of counts) {
    const numbers = (['right', 'away', 'wrong'] as const).map(kind => {
      total[kind] += count[kind]
      return String(count[kind]).padStart(10)
    })
    console.log(name.padEnd(40) + numbers.join(''))
  }
  console.log(
    `${asked} asked: ${total.right} right, ${total.away} not decided while something was away, ${total.wrong} wrong`,
  )
  for (const [name, { kills, away }] of byFault) console.log(`${name}: killed ${kills} times, ${away} not decided`)
  for (const wrong of wrongs) console.log(`WRONG ${wrong}`)
  // What was never seen has shown nothing.
  const unseen = [...counts].filter(([, { right }]) => right === 0).map(([name]) => name)
  const unfelt = [...byFault].filter(([, { kills, away }]) => kills === 0 || away === 0).map(([name]) => name)
  if (unseen.length > 0) console.log(`never answered rightly: ${unseen.join(', ')}`)
  if (unfelt.length > 0) console.log(`not killed, or nobody noticed: ${unfelt.join(', ')}`)
  const isGood = total.wrong === 0 && unseen.length === 0 && unfelt.length === 0
  if (!isGood) console.log(log().slice(-4_000))
  return isGood ? 0 : 1
}
