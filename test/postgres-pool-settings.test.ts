import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { cells, type Kit, type RawClient, rawLogin, say, startKit } from './postgres-kit.ts'

// Settings in transaction mode: whatever a session does to its own, it finds afterwards what it would find on a connection of its own, is
// told the same, and nobody else finds any of it.

let kit: Kit
let pooled: PooledDoor
/** Where sessions have a connection of their own, and where they have not. */
let ports: { readonly own: number; readonly pool: number }
before(async () => {
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  pooled = await listenWithPool(kit, { mode: 'transaction', size: 2 })
  const listen = async (database = kit.state.databases.get('shop')): Promise<number> => {
    assert.ok(database !== undefined)
    return (await kit.listen({ tls: undefined }, { databases: new Map([['shop', database]]) })).address.port
  }
  ports = { own: await listen(), pool: await listen(pooled.database) }
})
after(async () => {
  await pooled?.close()
  await kit?.stop()
})

const options = '-c timezone=Europe/Berlin -c statement_timeout=12345 -c datestyle=German'
const enter = (port: number): Promise<RawClient> =>
  rawLogin(port, 'raw', 'billing', 0, [
    ['options', options],
    ['application_name', 'own'],
  ])

const names = ['timezone', 'statement_timeout', 'search_path', 'datestyle', 'application_name', 'work_mem', 'my.own']
const question = `select ${names.map(name => `coalesce(current_setting('${name}', true), '')`).join(', ')}`

const run = (text: string): Buffer => Buffer.concat([say.parse('', text), say.bind('', ''), say.execute('')])
const batch = (...texts: string[]): Buffer => Buffer.concat([...texts.map(run), say.sync])

/** One write, and how many ReadyForQuery answer it. */
type Step = string | readonly [bytes: Buffer, ready: number]

interface Heard {
  readonly letters: string
  readonly rows: readonly unknown[]
}

/** What a client has heard: answers step by step, and what it believes that its settings are. */
async function play(port: number, steps: readonly Step[]): Promise<{ heard: Heard[]; told: Map<string, string> }> {
  const client = await enter(port)
  const told = new Map<string, string>()
  const heard: Heard[] = []
  for (const step of [...steps, question]) {
    const [bytes, ready] = typeof step === 'string' ? [say.query(step), 1] : step
    client.received = Buffer.alloc(0)
    client.socket.write(bytes)
    await client.until(() => client.letters().split('Z').length - 1 >= ready)
    const all = client.messages()
    for (const { type, body } of all) {
      const [name = '', value = ''] = body.toString().split('\0')
      if (type === 'S') told.set(name, value)
    }
    heard.push({
      letters: client.letters().replaceAll('S', ''),
      rows: all.flatMap(({ type, body }) => (type === 'D' ? [cells(body)] : [])),
    })
  }
  client.socket.destroy()
  return { heard, told }
}

const tokyo = `set timezone = 'Asia/Tokyo'`
const asyncpg = 'select pg_advisory_unlock_all(); close all; unlisten *; reset all;'
const zone = `select current_setting('timezone'), current_setting('statement_timeout')`
const rows: readonly (readonly Step[])[] = [
  [tokyo],
  [`set session timezone to 'Asia/Tokyo'`, `set datestyle = 'ISO, MDY'`],
  [`select set_config('timezone', 'Asia/Tokyo', false)`],
  [`select set_config('timezone', 'Asia/Tokyo', true)`],
  [`set work_mem = '5MB'`, `set my.own = 'x'`],
  [tokyo, 'set timezone to default'],
  [tokyo, 'reset timezone'],
  [`set statement_timeout = '7s'`, 'reset statement_timeout'],
  [`set search_path = pg_catalog`, 'reset search_path'],
  [`set search_path = pg_catalog`, 'set search_path to default'],
  // In a transaction.
  ['begin', tokyo, 'commit'],
  ['begin', tokyo, 'rollback'],
  [tokyo, 'begin', 'set timezone = 0', 'rollback'],
  ['begin', 'savepoint a', tokyo, 'rollback to a', 'commit'],
  ['begin', 'set local search_path = pg_catalog', question, 'commit'],
  ['set local work_mem = 5000'],
  ['begin', 'reset search_path', question, 'commit'],
  ['begin', 'reset all', question, 'commit'],
  [tokyo, 'begin', 'reset all', question, 'rollback'],
  [tokyo, 'begin', 'reset timezone', question, 'rollback'],
  [tokyo, 'begin', 'reset timezone', question, 'commit'],
  // All of them.
  [tokyo, 'reset all'],
  [`set search_path = pg_catalog`, tokyo, 'reset all'],
  ['create temporary table own_table (id int)', tokyo, `set work_mem = '5MB'`, 'reset all', 'select * from own_table'],
  [tokyo, 'discard all'],
  ['listen own', tokyo, `set my.own = 'x'`, 'discard all', 'select * from pg_listening_channels()'],
  [tokyo, `set application_name = 'mine'`, asyncpg],
  [`set work_mem = '5MB'`, tokyo, asyncpg],
  [tokyo, 'begin; reset all; rollback'],
  [tokyo, 'begin; reset all; commit'],
  [tokyo, 'reset timezone; select 1'],
  [`set timezone = 'nowhere'`, `set statement_timeout = 'long'`, 'reset nothing_like_it'],
  [tokyo, 'select 1/0; reset all'],
  // In one write.
  [batch(tokyo)].map(bytes => [bytes, 1] as const),
  [[batch(tokyo, 'select 1/0'), 1]],
  [[Buffer.concat([run(tokyo), say.parse('', 'no statement'), say.sync]), 1]],
  [[batch('begin', tokyo), 1], 'rollback'],
  [[batch('begin', tokyo), 1], 'commit'],
  [[batch(tokyo, 'begin'), 1], 'rollback'],
  [[batch('begin', tokyo, 'rollback'), 1]],
  [[Buffer.concat([say.query('begin'), say.query(tokyo), say.query('rollback')]), 3]],
  [[Buffer.concat([say.query(tokyo), say.query(zone), say.query('reset all'), say.query(zone)]), 4]],
  [[Buffer.concat([say.query(tokyo), say.query('discard all'), say.query(zone)]), 3]],
  [[Buffer.concat([batch(tokyo), batch('discard all'), batch(zone)]), 3]],
  [[Buffer.concat([batch(tokyo), batch('reset all'), batch(zone)]), 3]],
  [[Buffer.concat([say.query('begin'), say.query('reset all'), say.query(zone), say.query('rollback')]), 4]],
  [[Buffer.concat([say.query(`set work_mem = '5MB'`), say.query('reset all'), say.query(zone)]), 3]],
]

test('settings are afterwards what they are on a connection of its own, and nobody else finds them', async () => {
  // Of the same identity, with the same settings: it may get the very connection.
  const neighbour = await enter(ports.pool)
  const finds = async (): Promise<unknown> => {
    neighbour.received = Buffer.alloc(0)
    neighbour.socket.write(say.query(question))
    await neighbour.until(() => neighbour.letters().includes('Z'))
    return neighbour.messages().flatMap(({ type, body }) => (type === 'D' ? cells(body) : []))
  }
  const fresh = await finds()
  for (const steps of rows) {
    const what = steps.map(step => (typeof step === 'string' ? step : step[0].toString('latin1'))).join(' | ')
    const own = await play(ports.own, steps)
    const through = await play(ports.pool, steps)
    assert.deepEqual(through.heard, own.heard, what)
    for (const [name, value] of own.told) assert.equal(through.told.get(name) ?? value, value, `${what}: ${name}`)
    assert.deepEqual(await finds(), fresh, `after ${what}`)
  }
  neighbour.socket.destroy()
})
