import pg from 'pg'
import { poolOptions } from '../../packages/bawn/src/postgres/pool/option.ts'
import { UpstreamPool } from '../../packages/bawn/src/postgres/pool/upstream-pool.ts'
import { createSessionLimits } from '../../packages/bawn/src/postgres/session-limits.ts'
import { createSchemaSource } from '../../packages/bawn/src/postgres/sql/schema.ts'
import type { DoorState } from '../../packages/bawn/src/postgres/state.ts'
import { buildCancelRequest } from '../../packages/bawn/src/postgres/wire/startup.ts'
import type { Seeded } from '../../packages/envelope/testing/seeded.ts'
import { directLogin } from '../direct-client.ts'
import { type Kit, RawClient, rawLogin, say, startKit } from '../postgres-kit.ts'
import { type Step, schema } from './messages.ts'

// One sequence of messages on two ways: straight to PostgreSQL, and through the door. Each way has a database of its own, copies of one
// another, so that tables have the same OIDs in both.

/** A connection that is logged in. */
export interface Lane {
  readonly client: RawClient
  readonly cancelPort: number
  readonly processId: number
  readonly key: Buffer
}

export interface Lanes {
  readonly kit: Kit
  /** Everything that the server answered, message by message, without what must differ. */
  run(way: 'direct' | DoorWay, steps: readonly Step[], cuts: Seeded): Promise<readonly string[]>
  stop(): Promise<void>
}

/** Doors that must not be told from PostgreSQL itself; at those with a pool others come and go between the transactions. */
export const doorWays = ['door', 'tight door', 'session pool', 'transaction pool'] as const
export type DoorWay = (typeof doorWays)[number]

const patience = 20_000

export async function startLanes(): Promise<Lanes> {
  const kit = await startKit(schema)
  const { postgres } = kit
  const owner = { host: postgres.host, port: postgres.port, user: postgres.user, password: postgres.password }
  const admin = new pg.Client({ ...owner, database: 'template1' })
  admin.on('error', () => {})
  await admin.connect()
  for (const name of ['fuzz_direct', 'fuzz_door']) await admin.query(`create database ${name} template postgres`)
  await admin.end()
  const pool = new pg.Pool({ ...owner, database: 'fuzz_door', max: 1 })
  pool.on('connect', one => one.on('error', () => {}))
  pool.on('error', () => {})
  const { rows } = await pool.query('select max(oid)::int as newest from pg_catalog.pg_class')
  const newest = Number(rows[0]?.newest)
  const shop = kit.state.databases.get('shop')
  if (shop === undefined) throw new Error('the kit has no database shop')
  const source = createSchemaSource({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    fields: kit.state.catalogue.fields,
    database: 'shop',
    objects: () => false,
  })
  const databases = new Map([
    ['shop', { ...shop, upstream: { ...shop.upstream, database: 'fuzz_door' }, schema: source }],
  ])
  const options = { max_prepared: 1_000, max_frame_bytes: 1_048_576 }
  const doors = {
    door: await kit.listen(options, { databases }),
    // So few messages may be unanswered that every pipeline has to wait.
    'tight door': await kit.listen({ ...options, max_pending: 3 }, { databases }),
    'session pool': await kit.listen(options, { databases: pooled('session') }),
    'transaction pool': await kit.listen(options, { databases: pooled('transaction') }),
  }
  function pooled(mode: 'session' | 'transaction'): DoorState['databases'] {
    const connections = new UpstreamPool(poolOptions.parse({ mode, size: mode === 'session' ? 3 : 1 }), undefined)
    const limits = createSessionLimits({ queue_length: 100, queue_timeout: patience, by_role: [] })
    return new Map([...databases].map(([name, database]) => [name, { ...database, limits, pool: connections }]))
  }
  async function direct(): Promise<Lane> {
    return { ...(await directLogin(kit, 'fuzz_direct', 'fuzzer')), cancelPort: postgres.port }
  }

  async function through(way: DoorWay): Promise<Lane> {
    const { port } = doors[way].address
    const client = await rawLogin(port, 'fuzzer', 'billing')
    client.socket.setNoDelay(true)
    const key = client.backendKey ?? Buffer.alloc(8)
    return { client, cancelPort: port, processId: key.readInt32BE(0), key: key.subarray(4) }
  }

  return {
    kit,
    async run(way, steps, cuts) {
      const lane = await (way === 'direct' ? direct() : through(way))
      const others = way.endsWith('pool') ? disturb(doors[way as DoorWay].address.port) : undefined
      try {
        await play(lane, steps, cuts)
        return answers(lane.client, newest)
      } finally {
        lane.client.socket.destroy()
        await others?.()
      }
    },
    async stop() {
      await pool.end()
      await kit.stop()
    },
  }
}

/** Somebody else, of another identity and the same, who prepares and sets by turns. @returns ends them */
function disturb(port: number): () => Promise<void> {
  let over = false
  const work = async (user: string): Promise<void> => {
    const client = await rawLogin(port, user, 'billing')
    try {
      for (let round = 0; !over; round += 1) {
        const set = [say.query(`set timezone = '${round % 2 === 0 ? 'Asia/Tokyo' : 'UTC'}'`)]
        const prepare = [say.parse(`p${round}`, 'select 4711'), say.parse('', 'select 4712'), say.sync]
        client.socket.write(Buffer.concat(round % 3 === 0 ? set : prepare))
        await client.ready()
        await new Promise(resolve => setTimeout(resolve, 3))
      }
    } finally {
      client.socket.destroy()
    }
  }
  const all = ['fuzzer', 'other'].map(user => work(user).catch(() => {}))
  return async () => {
    over = true
    await Promise.all(all)
  }
}

async function play(lane: Lane, steps: readonly Step[], cuts: Seeded): Promise<void> {
  const { client } = lane
  let held: Buffer[] = []
  let cancels = 0
  for (const { bytes, cancel, name } of steps) {
    // Cut behind Terminate or a violation, the rest would meet a closed connection.
    if (name.endsWith('COPY') || name.endsWith('X')) {
      await send(client, Buffer.concat(held), cuts)
      held = []
      client.socket.write(bytes)
      continue
    }
    held.push(bytes)
    if (cancel === undefined) continue
    await send(client, Buffer.concat(held), cuts)
    held = []
    cancels += 1
    await within(
      client.until(received => received.includes(`${cancel.after}`)).catch(() => {}),
      'the statement before a cancel',
    )
    // The server has ended the connection before: there is nothing to be cancelled, and nobody to say more to.
    if (client.closed) return
    // Parse and Bind in front of what sleeps should be done: what a cancel hits there, chance decides on either way.
    await new Promise(resolve => setTimeout(resolve, 50))
    await cancelUntil(lane, () => occurrences(client.received, 'Mcanceling statement') >= cancels)
  }
  if (held.length > 0) await send(client, Buffer.concat(held), cuts)
  await within(client.untilClosed(), `an end; so far ${client.letters()}`)
}

/** Writes in pieces, some of which the other side reads alone. */
async function send(client: RawClient, bytes: Buffer, cuts: Seeded): Promise<void> {
  const usual = cuts.pick([1, 5, 40, 1_000, 100_000])
  for (let at = 0; at < bytes.length; ) {
    const size = cuts.integer(1, usual)
    client.socket.write(bytes.subarray(at, at + size))
    at += size
    if (usual > 1 ? cuts.integer(0, 2) === 0 : cuts.integer(0, 20) === 0) await new Promise(setImmediate)
  }
}

async function cancelUntil(lane: Lane, done: () => boolean): Promise<void> {
  const end = Date.now() + patience
  while (!done()) {
    if (Date.now() > end) throw new Error('no answer to a cancel request')
    const request = await RawClient.connect(lane.cancelPort)
    request.socket.write(buildCancelRequest(lane.processId, lane.key))
    await within(request.untilClosed(), 'the end of a cancel request')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function occurrences(bytes: Buffer, text: string): number {
  return bytes.toString('latin1').split(text).length - 1
}

async function within<Value>(work: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patience} ms for ${what}`)), patience)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Letter and body of each message. Table OIDs of tables that were made meanwhile, process ids and names of temporary schemas differ. */
function answers(client: RawClient, newest: number): string[] {
  const all = client.messages()
  const whole = all.reduce((sum, { body }) => sum + body.length + 5, 0)
  const list = all.map(({ type, body }) => `${type} ${normalised(type, Buffer.from(body), newest)}`)
  if (whole !== client.received.length) list.push(`and ${client.received.length - whole} bytes of a message`)
  return list
}

function normalised(type: string, body: Buffer, newest: number): string {
  if (type === 'A') body.writeInt32BE(0, 0)
  if (type === 'T') {
    let at = 2
    for (let columns = body.readInt16BE(0); columns > 0; columns -= 1) {
      at = body.indexOf(0, at) + 1
      if (body.readUInt32BE(at) > newest) body.writeUInt32BE(0xffff_ffff, at)
      at += 18
    }
  }
  // The server keeps 63 bytes of a name, and so does the door where it writes names itself.
  const text = body
    .toString('latin1')
    .replaceAll(/pg_temp_\d+/g, 'pg_temp_N')
    .replaceAll(/n{63}\d*/g, 'n…')
  if (type !== 'E') return text
  // Before Execute the door may ask it to describe the portal, and behind Sync in COPY whether that goes on: either is one message too many.
  if (/\0C08P01\0Munexpected message type 0x\w+ during COPY/.test(text)) return text.replace(/0x\w+/, '0x…')
  // The door refuses the function call message whatever the function is.
  if (/fastpath|function with OID 0|function call message/.test(text)) return 'of the function call'
  // What cannot be parsed and might have run something by name is refused in the door's own words.
  if (/\0C42601\0/.test(text)) return 'syntax error'
  // The row that did not fit is left out where a statement may touch protected columns, and that is asked of a whole string.
  if (/\0C23/.test(text)) return text.replace(/\0D[^\0]*/, '')
  // With a pool names of clients are the gateway's to judge.
  if (/\0C42P05\0/.test(text)) return text.replace(/\0F[^\0]*\0L\d+\0R\w+/, '')
  // Bind to a statement that a pool has named.
  if (/\0C08P01\0Mbind message/.test(text)) return text.replace(/statement "[^"]*"/, 'statement')
  // A statement that a pool prepares again is found to be in a failed transaction by Parse.
  if (/\0C25P02\0/.test(text)) return text.replace(/L\d+\0Rexec_\w+_message/, 'Rexec')
  // Where in its code PostgreSQL found that a portal cannot run: the door asks it to describe the portal first.
  return text.replace(/L\d+\0Rexec_(?:describe_portal|execute)_message/, 'Rexec')
}

/** Letters of a client's messages, in order. */
export function lettersOf(bytes: Buffer): string {
  let letters = ''
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 1) + 1) {
    letters += String.fromCharCode(bytes.readUInt8(at))
  }
  return letters
}
