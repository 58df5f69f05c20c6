import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { connect as connectTcp } from 'node:net'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { deriveVerifiers } from '../../packages/bawn/src/accounts/verifier.ts'
import {
  connect,
  type Gateway,
  oneEach,
  password,
  type Session,
  startWorkersWorld,
  until,
  type WorkersWorld,
} from './workers-kit.ts'

// A gateway with two workers is one gateway: what holds for a session, a limit, the trail or a reload holds at whichever worker it is.

let world: WorkersWorld
let gateway: Gateway
before(async () => {
  world = await startWorkersWorld()
  world.configure()
  gateway = await world.start()
})
after(() => world?.stop())

const order = (what: string) => ({ 'x-order': what })
const basic = (user: string, secret = password) => ({
  authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
})
const code = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : error)
const gone = (work: Promise<unknown>): Promise<unknown> => work.then(() => assert.fail('it did not fail'), code)

/** Which of the workers have answered, of so many connections. */
async function whoAnswers(tries: number): Promise<Set<string>> {
  const answers = await Promise.all(Array.from({ length: tries }, () => gateway.ask('/', order('who'))))
  return new Set(answers.map(({ body }) => body))
}

const both = new Set(['worker-0', 'worker-1'])

interface Line {
  readonly n: number
  readonly kind: string
  readonly action: string
  readonly resource: string
  readonly identity?: { readonly id: string }
}
const trail = (): readonly Line[] =>
  readFileSync(world.path('audit.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

/** Verified by the command line. */
async function intact(): Promise<void> {
  const { status, output } = await world.run('audit', 'verify')
  assert.equal(status, 0, output)
}

async function metric(series: string): Promise<number> {
  const { body } = await gateway.desk('/metrics')
  const line = body.split('\n').find(one => one.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1) ?? Number.NaN)
}

test('both workers serve both doors, and the trail is one chain with a line for everything', async () => {
  const before = trail().length
  assert.deepEqual(await whoAnswers(40), both)
  const [one, other] = await oneEach(gateway.client('alice'))
  const ask = async ({ client }: Session): Promise<void> => {
    for (let n = 0; n < 100; n++) {
      const { rows } = await client.query(`select ${n} as n`)
      assert.equal(rows[0].n, n)
    }
  }
  await Promise.all([ask(one), ask(other)])
  // Written before the answer left: nothing is waited for.
  const lines = trail().slice(before)
  assert.equal(lines.filter(({ kind }) => kind === 'statement').length, 200)
  assert.equal(lines.filter(({ action }) => action === 'GET').length, 40)
  assert.deepEqual(
    lines.map(({ n }) => n),
    Array.from(lines, (_, n) => before + n + 1),
  )
  await intact()
  await one.client.end()
  await other.client.end()
})

test('metrics are the sum of the workers', async () => {
  const series = 'bawn_requests_total{door="http",decision="permit"}'
  const before = await metric(series)
  await whoAnswers(30)
  assert.equal((await metric(series)) - before, 30)
  assert.equal(await metric('bawn_workers'), 2)
  const [one, other] = await oneEach(gateway.client('alice'))
  assert.equal(await metric('bawn_sessions{door="postgres"}'), 2)
  const { body } = await gateway.desk('/metrics')
  assert.equal(body.match(/^process_cpu_seconds_total /gm)?.length, 1)
  await one.client.end()
  await other.client.end()
})

test('a cancel request reaches the session, whichever worker it comes to', async () => {
  const sessions = await oneEach(gateway.client('alice'))
  for (let round = 0; round < 16; round++) {
    const session = sessions[round % 2]
    assert.ok(session !== undefined)
    const sleeping = gone(session.client.query('select pg_sleep(60)'))
    await until(async () => {
      const { rows } = await (sessions[(round + 1) % 2] ?? session).client.query(
        "select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'",
      )
      return rows[0].n === 1
    }, 'it sleeps')
    await cancel(session.client)
    assert.equal(await sleeping, '57014')
  }
  // With another key, nothing is cancelled.
  const [one, other] = sessions
  const working = one.client.query('select pg_sleep(0.3)')
  for (let n = 0; n < 8; n++) await cancel(one.client, 1)
  await working
  await one.client.end()
  await other.client.end()
})

test('the process id that a client is told is that of PostgreSQL, at every worker', async () => {
  for (const { client } of await oneEach(gateway.client('alice'))) {
    const { processID } = client as unknown as { readonly processID: number }
    assert.equal((await client.query('select pg_backend_pid() as pid')).rows[0].pid, processID)
    await client.end()
  }
})

test('a thousand cancel requests for nobody keep none that is meant', async () => {
  const sessions = await oneEach(gateway.client('alice'))
  const flood = Promise.all(Array.from({ length: 1_000 }, () => cancel(sessions[0].client, 1).catch(() => {})))
  for (const { client } of sessions) {
    const sleeping = gone(client.query('select pg_sleep(60)'))
    // One that comes too early cancels nothing.
    let isOver = false
    const cancelled = sleeping.then(() => {
      isOver = true
    })
    while (!isOver) await Promise.race([cancel(client).catch(() => {}), cancelled])
    assert.equal(await sleeping, '57014')
  }
  await flood
  for (const { client } of sessions) await client.end()
})

/** By a connection of its own, as libpq does; resolves when the gateway has closed it. */
function cancel(client: pg.Client, off = 0): Promise<void> {
  const { processID, secretKey } = client as unknown as { readonly processID: number; readonly secretKey: number }
  const request = Buffer.alloc(16)
  for (const [at, value] of [16, 80_877_102, processID, secretKey ^ off].entries()) request.writeInt32BE(value, at * 4)
  return new Promise((resolve, reject) => {
    const socket = connectTcp(gateway.client('alice').port ?? 0, '127.0.0.1', () => socket.end(request))
    socket.on('error', reject)
    socket.on('close', () => resolve())
    socket.resume()
  })
}

test('sessions of all workers are listed, and killed by their id and by their user', async () => {
  const [one, other] = await oneEach(gateway.client('alice'))
  const bobs = await oneEach(gateway.client('bob'))
  const list = async (): Promise<readonly { readonly id: string; readonly user: string }[]> => {
    const { body } = await gateway.desk('/sessions')
    return JSON.parse(body).sessions
  }
  assert.deepEqual((await list()).map(({ user }) => user).sort(), ['alice', 'alice', 'bob', 'bob'])
  const address = String(gateway.addresses.get('desk'))
  const first = (await list()).find(({ user }) => user === 'alice')
  assert.equal((await world.run('sessions', 'kill', String(first?.id), '--address', address)).status, 0)
  assert.equal(code(await Promise.race([one.ended, other.ended])), '57P01')
  const { status, output } = await world.run('sessions', 'kill', '--user', 'bob', '--address', address)
  assert.equal(status, 0, output)
  for (const { ended } of bobs) assert.equal(code(await ended), '57P01')
  assert.deepEqual(
    (await list()).map(({ user }) => user),
    ['alice'],
  )
  assert.equal(trail().filter(({ action }) => action === 'session kill').length, 3)
  await Promise.allSettled([one.client.end(), other.client.end()])
})

test('a lock ends sessions and streamed answers at every worker within a second', async () => {
  const sessions = await oneEach(gateway.client('carol'))
  const streams = await Promise.all(Array.from({ length: 8 }, () => stream('carol')))
  const cut = streams.map(answer => new Promise(resolve => answer.once('error', resolve)))
  await world.accounts.setLocked('carol', true)
  for (const { ended } of sessions) assert.equal(code(await ended), '57P01')
  for (const one of cut) assert.equal(code(await one), 'ECONNRESET')
  assert.equal(await gone(connect(gateway.client('carol'))), '28P01')
})

/** Resolves when the first piece of an answer without an end is there. */
function stream(user: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(`http://${gateway.addresses.get('web')}/stream`, { headers: basic(user), agent: false }, answer => {
      answer.once('data', () => resolve(answer))
    }).once('error', reject)
  })
}

test('a token in memory is good at every worker, and revoked at every worker', async () => {
  const site = `http://${gateway.addresses.get('web')}`
  const issue = () => fetch(`${site}/token`, { method: 'POST', headers: { ...basic('alice'), connection: 'close' } })
  const issued = await issue()
  const { access_token: token } = (await issued.json()) as { readonly access_token: string }
  assert.match(token, /^bawn_token_/)
  const headers = { authorization: `Basic ${Buffer.from(`alice:${token}`).toString('base64')}` }
  const answers = await Promise.all(Array.from({ length: 30 }, () => gateway.ask('/', headers)))
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(['200 alice']))
  const revoked = await fetch(`${site}/tokens/alice`, {
    method: 'DELETE',
    headers: { ...headers, connection: 'close' },
  })
  assert.ok(revoked.ok, `${revoked.status} ${await revoked.text()}`)
  const refused = await Promise.all(Array.from({ length: 30 }, () => gateway.ask('/', headers)))
  assert.deepEqual(new Set(refused.map(({ status }) => status)), new Set([401]))
})

test('rates are those of the file, and not of each worker', async () => {
  const answers = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const answer = await fetch(`http://${gateway.addresses.get('slow')}/`, {
        headers: { ...order('who'), connection: 'close' },
      })
      return answer.status === 200 ? await answer.text() : String(answer.status)
    }),
  )
  assert.equal(answers.filter(answer => answer === '429').length, 40)
  assert.deepEqual(new Set(answers), new Set([...both, '429']), 'both workers have had some')
})

test('guesses are counted once for all workers', async () => {
  // Five tries of one account from one address, however many workers are asked.
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => gateway.ask('/', basic('dora', `guess ${n}`))))
  const statuses = answers.map(({ status }) => status)
  assert.equal(statuses.filter(status => status === 401).length, 5, statuses.join(' '))
  assert.equal(statuses.filter(status => status === 429).length, 35, statuses.join(' '))
  // And the other door counts with it.
  assert.equal(await gone(connect(gateway.client('dora'))), '53400')
})

test('places in a database are counted once for all workers, and given in turn', async () => {
  const config = (user: string) => gateway.client(user, { database: 'small' })
  const alices = await Promise.all([1, 2, 3].map(() => connect(config('alice'))))
  assert.equal(await gone(connect(config('alice'))), '53300', 'three of one identity')
  const bob = await connect(config('bob'))
  const waiting = connect(config('bob'))
  const states = async () =>
    (JSON.parse((await gateway.desk('/sessions')).body).sessions as { state: string }[]).map(({ state }) => state)
  await until(async () => (await states()).includes('waiting'), 'one waits')
  assert.equal(await gone(connect(config('bob'))), '53300', 'the queue is full')
  await alices[0]?.client.end()
  const late = await waiting
  // Whoever leaves while waiting has no place.
  const leaving = new pg.Client(config('bob'))
  leaving.on('error', () => {})
  const left = leaving.connect().catch(code)
  await until(async () => (await states()).includes('waiting'), 'one waits again')
  ;(leaving as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await left
  await until(async () => !(await states()).includes('waiting'), 'nobody waits')
  for (const { client } of [...alices.slice(1), bob, late]) await client.end()
  for (const { client } of [await place('alice'), await place('alice'), await place('alice')]) await client.end()
})

/** A place of the small database. It is free when PostgreSQL has ended the session that had it, which a client does not see. */
async function place(user: string): Promise<Session> {
  let session: Session | undefined
  await until(async () => {
    session = await connect(gateway.client(user, { database: 'small' })).catch(error => {
      assert.equal(code(error), '53300')
      return undefined
    })
    return session !== undefined
  }, 'a place is free')
  assert.ok(session !== undefined)
  return session
}

test('a salt for nobody is the same at every worker', async () => {
  const salts = new Set<string>()
  for (let n = 0; n < 12; n++) salts.add(await saltOf('nobody'))
  assert.equal(salts.size, 1, [...salts].join(' '))
})

/** What the SCRAM exchange tells of a user before anything is proven. */
async function saltOf(user: string): Promise<string> {
  const client = new pg.Client(gateway.client(user))
  client.on('error', () => {})
  const { connection } = client as unknown as {
    readonly connection: { on(event: string, listener: (message: { data: string }) => void): void }
  }
  const salt = new Promise<string>(resolve =>
    connection.on('authenticationSASLContinue', ({ data }) => resolve(/s=([^,]+),i=\d+/.exec(data)?.[0] ?? '')),
  )
  const failed = client.connect().catch(() => {})
  const found = await salt
  await failed
  return found
}

test('a reload changes all workers, or none', async () => {
  const address = String(gateway.addresses.get('desk'))
  const reload = () => world.run('reload', '--address', address)
  world.configure('mechanisms: {}\n')
  assert.equal((await reload()).status, 1, 'a key twice')
  world.configure()
  const good = readFileSync(world.path('bawn.yaml'), 'utf8')
  const withRoute = (fails: number): string =>
    good.replace('fails: -1', `fails: ${fails}`).replace('"/*", methods: [GET]', '"/new/{more}", methods: [GET]')
  for (const worker of [0, 1]) {
    // Good for the file's checks, and for one of the workers.
    writeFileSync(world.path('bawn.yaml'), withRoute(worker))
    const { status, output } = await reload()
    assert.equal(status, 1, output)
    assert.match(output, /plugins\.failed/)
    const answers = await Promise.all(Array.from({ length: 30 }, () => gateway.ask('/old', order('who'))))
    assert.deepEqual(new Set(answers.map(({ status: one }) => one)), new Set([200]))
  }
  writeFileSync(world.path('bawn.yaml'), withRoute(-1))
  const swapped = await reload()
  assert.equal(swapped.status, 0, swapped.output)
  const answers = await Promise.all(
    Array.from({ length: 30 }, async (_, n) => (await gateway.ask(n % 2 ? '/old' : '/new/x', order('who'))).status),
  )
  assert.deepEqual(
    answers,
    Array.from(answers, (_, n) => (n % 2 ? 404 : 200)),
  )
  // The pool of two would be too small for three, and that another problem.
  const three = good.replace('workers: 2', 'workers: 3').replace('size: 2 }', 'size: 3 }')
  writeFileSync(world.path('bawn.yaml'), three)
  assert.match((await reload()).output, /cannot change while the gateway runs\n.*workers: 3/)
  writeFileSync(world.path('bawn.yaml'), good)
  assert.equal((await reload()).status, 0)
})

for (const [what, cause] of [
  ['throw', 'an exception that nobody catches'],
  ['allocate', 'memory without end'],
] as const) {
  test(`${cause} ends one worker: the others go on, and it is started again`, async () => {
    const sessions = await oneEach(gateway.client('alice'))
    const small = [await place('alice'), await place('alice'), await place('alice')]
    const counted = await metric('bawn_requests_total{door="http",decision="permit"}')
    const said = gateway.log().length
    gateway.ask('/', order(what)).catch(() => {})
    await gateway.logged(/"message":"worker [12] serves again"/, said)
    const log = gateway.log().slice(said)
    const ended = Number(/"message":"worker ([12]) has ended, and its connections with it/.exec(log)?.[1]) - 1
    assert.match(log, /"code":"gateway\.worker_ended"/)
    if (what === 'allocate') assert.match(log, /ERR_WORKER_OUT_OF_MEMORY/)
    // Its sessions are gone, the other's are not.
    assert.ok((await sessions[ended]?.ended) instanceof Error)
    const other = sessions[1 - ended]
    assert.equal((await other?.client.query('select 1 as one'))?.rows[0].one, 1)
    assert.deepEqual(await whoAnswers(40), both)
    // Places of sessions that went with it are free.
    const left = small.filter(({ worker }) => worker !== ended)
    const again: Session[] = []
    while (left.length + again.length < 3) again.push(await place('alice'))
    // What it had counted is still counted; at most a second of it is lost.
    assert.ok((await metric('bawn_requests_total{door="http",decision="permit"}')) >= counted)
    assert.equal(await metric('bawn_workers'), 2)
    assert.equal(JSON.parse((await gateway.desk('/readyz')).body).ready, true)
    const lines = trail().filter(({ resource }) => resource === `worker ${ended + 1}`)
    assert.deepEqual(lines.map(({ action }) => action).slice(-2), ['worker ended', 'worker started'])
    await intact()
    for (const { client } of [...left, ...again]) await client.end()
    await other?.client.end()
  })
}

test('a reload does not wait for a worker that hangs: another takes its place', async () => {
  const sessions = await oneEach(gateway.client('alice'))
  const said = gateway.log().length
  gateway.ask('/', order('hang')).catch(() => {})
  const good = readFileSync(world.path('bawn.yaml'), 'utf8')
  writeFileSync(world.path('bawn.yaml'), good.replace('"/*", methods: [GET]', '"/newer", methods: [GET]'))
  let over = false
  const hung = Promise.race(sessions.map(async ({ ended, worker }) => ended.then(() => worker)))
  // Until it hangs: before that it is ready at once.
  while (!over) {
    const { status, output } = await world.run('reload', '--address', String(gateway.addresses.get('desk')))
    assert.equal(status, 0, output)
    over = /has not answered for 20000 ms during a reload: it is ended/.test(gateway.log().slice(said))
  }
  const ended = await hung
  await gateway.logged(/"message":"worker [12] serves again"/, said)
  assert.equal((await sessions[1 - ended]?.client.query('select 1 as one'))?.rows[0].one, 1)
  const answers = await Promise.all(Array.from({ length: 40 }, () => gateway.ask('/newer', order('who'))))
  assert.deepEqual(new Set(answers.map(({ body }) => body)), both)
  await sessions[1 - ended]?.client.end()
  writeFileSync(world.path('bawn.yaml'), good)
  assert.equal((await world.run('reload', '--address', String(gateway.addresses.get('desk')))).status, 0)
})

test('what changed in the accounts is seen at every worker', async () => {
  await world.accounts.setVerifier('bob', await deriveVerifiers('another one'))
  const [one, other] = await oneEach(gateway.client('bob', { password: 'another one' }))
  await world.accounts.setVerifier('bob', await deriveVerifiers(password))
  for (const { ended } of [one, other]) assert.equal(code(await ended), '57P01')
})

test('a port that somebody has is not shared with them', async () => {
  const taken = String(gateway.addresses.get('web'))
  const good = readFileSync(world.path('bawn.yaml'), 'utf8')
  writeFileSync(
    world.path('bawn.yaml'),
    good
      .replace('audit.jsonl', 'other.jsonl')
      .replace('web: { door: http, address: "127.0.0.1:0"', `web: { door: http, address: "${taken}"`),
  )
  const { status, output } = await world.run('start')
  assert.equal(status, 1)
  assert.match(output, /gateway\.listen/)
  writeFileSync(world.path('bawn.yaml'), good)
})

test('a stop lets what is under way come to its end, and the trail is whole', async () => {
  const [one, other] = await oneEach(gateway.client('alice'))
  const working = [one, other].map(({ client }) => client.query('select pg_sleep(1), 1 as one'))
  await until(async () => {
    const { body } = await gateway.desk('/sessions')
    return body.match(/"state":"active"/g)?.length === 2
  }, 'both work')
  gateway.child.kill('SIGTERM')
  for (const result of await Promise.all(working)) assert.equal(result.rows[0].one, 1)
  await gateway.ended
  assert.equal(gateway.child.exitCode, 0)
  assert.equal(trail().at(-1)?.action, 'stop')
  await intact()
})

test('a kill of the process leaves a trail that the next start goes on with', async () => {
  gateway = await world.start()
  const [one, other] = await oneEach(gateway.client('alice'))
  let answered = 0
  const ask = async (client: pg.Client): Promise<void> => {
    while (true) {
      await client.query('select 1')
      answered += 1
    }
  }
  const asking = [one, other].map(({ client }) => ask(client).catch(() => {}))
  await until(() => answered > 100, 'it works')
  gateway.child.kill('SIGKILL')
  await gateway.ended
  await Promise.all(asking)
  gateway = await world.start()
  const lines = trail()
  const from = lines.findLastIndex(({ action }) => action === 'stop')
  const written = lines.slice(from).filter(({ kind }) => kind === 'statement')
  assert.ok(written.length >= answered, `${answered} were answered, ${written.length} are written`)
  await intact()
})
