import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { directLogin } from './direct-client.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { type Kit, type RawClient, rawLogin, say, startKit } from './postgres-kit.ts'

// Sync while COPY FROM STDIN goes on: the server reads over it, unless the COPY has failed by then. Nobody but the server knows, and what it
// answers is what the client gets.

const setup = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table notes (id int primary key check (id > 0), body text);
create table unwilling (id int);
create function refuses() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
create trigger refuses before insert on unwilling for each statement execute function refuses();
`

let kit: Kit
let portOf: { readonly [way: string]: number }
const pooled: PooledDoor[] = []
before(async () => {
  kit = await startKit(setup)
  const plain = async (door: PooledDoor): Promise<number> => {
    pooled.push(door)
    return (await kit.listen({ tls: undefined }, { databases: new Map([['shop', door.database]]) })).address.port
  }
  portOf = {
    'a connection of its own': kit.door.address.port,
    'session pool': await plain(await listenWithPool(kit, { mode: 'session', size: 1 })),
    'transaction pool': await plain(await listenWithPool(kit, { mode: 'transaction', size: 1 })),
  }
})
after(async () => {
  for (const door of pooled) await door.close()
  await kit.stop()
})

const { query, parse, bind, execute, copyData, copyDone, copyFail, sync, flush } = say
const good = (id: number): Buffer => copyData(`${id}\tgood\n`)
const bad = copyData('not a row\n')
const run = (text: string): Buffer => Buffer.concat([parse('', text), bind('', ''), execute('')])
const copyRun = Buffer.concat([parse('x', 'copy notes from stdin'), bind('x', 'x'), execute('x'), flush])
const failing = query('copy notes from stdin')
const sealed = query('copy people (id, name, photo) from stdin')
const sealedRow = copyData('7\tgood\t\\N\n')

/** What is sent before the server asks for data, and what then. */
const rows: readonly (readonly [name: string, copy: Buffer, ...then: readonly Buffer[]])[] = [
  ['behind a row that is refused', failing, bad, sync],
  ['before and behind one', failing, good(1), sync, bad, sync],
  ['several behind one', failing, bad, sync, sync, sync],
  ['and then a query', failing, bad, sync, query("select 'mine'")],
  ['and then a query and Syncs', failing, sync, bad, sync, sync, query("select 'mine'"), sync],
  ['and then a batch', failing, bad, sync, run("select 'mine'"), sync],
  ['and then the end of the data', failing, bad, sync, copyDone, sync],
  ['and then CopyFail', failing, bad, sync, copyFail, sync],
  ['in one that the client fails', failing, good(1), sync, copyFail, sync],
  ['in one that succeeds', failing, good(1), sync, good(2), sync, copyDone],
  ['in one whose rows fail at the end', failing, good(1), sync, good(1), sync, copyDone, sync],
  ['where nothing is read', query('copy unwilling from stdin'), sync, sync],
  ['in the second of two', query('copy notes from stdin; copy notes from stdin'), good(3), sync, copyDone, bad, sync],
  ['by Execute', copyRun, bad, sync],
  ['by Execute, and then a batch', copyRun, bad, sync, run("select 'mine'"), sync],
  ['by Execute, and then a query', copyRun, bad, sync, query("select 'mine'")],
  ['by Execute, read over, and a batch that is skipped', copyRun, sync, bad, run("select 'mine'"), sync],
  ['by Execute, some read over, and a batch', copyRun, sync, good(1), sync, bad, sync, run("select 'mine'"), sync],
  ['by Execute, and the end of the data', copyRun, bad, sync, copyDone, sync],
  ['by Execute, and the end of the data, and a batch', copyRun, bad, sync, copyFail, run("select 'mine'"), sync],
  ['by Execute, read over, and the end, and a batch', copyRun, sync, copyFail, run("select 'mine'"), sync],
  ['by Execute, that succeeds, and a batch with it', copyRun, good(1), sync, copyDone, run('select 1/0'), sync],
  ['by Execute, and two batches', copyRun, bad, sync, run('select 1/0'), sync, run("select 'mine'"), sync],
  [
    'by Execute, and an unnamed statement from before',
    Buffer.concat([parse('', 'select 5'), copyRun]),
    sync,
    bad,
    flush,
  ],
  ['of a protected column', sealed, copyData('x\tbad\t\\N\n'), sync],
  ['of a protected column, and then a query', sealed, copyData('x\tbad\t\\N\n'), sync, query("select 'mine'")],
  ['of a protected column, and then a batch', sealed, copyData('x\tbad\t\\N\n'), sync, run("select 'mine'"), sync],
  ['of a protected column, that succeeds', sealed, sealedRow, sync, copyDone],
]

const end = Buffer.concat([sync, run('select 4711'), sync, query("select 'the end'")])

/** Letters of what is answered, and the texts of errors. */
async function answered(client: RawClient, copy: Buffer, then: readonly Buffer[], apart: boolean): Promise<string[]> {
  client.received = Buffer.alloc(0)
  client.socket.write(copy)
  await client.until(() => client.letters().includes('G'))
  if (apart) {
    for (const bytes of then) {
      client.socket.write(bytes)
      await new Promise(setImmediate)
    }
  } else client.socket.write(Buffer.concat(then))
  client.socket.write(end)
  await client.until(() => client.received.includes('the end') && client.letters().endsWith('Z'))
  return client.messages().map(({ type, body }) => {
    if (type === 'E') return `E ${/\0C(\w+)/.exec(body.toString('latin1'))?.[1]}`
    return type === 'Z' || type === 'D' ? `${type} ${body.toString('latin1')}` : type
  })
}

test('Sync in COPY is answered as PostgreSQL answers it, however the COPY comes to its end', {
  timeout: 60_000,
}, async t => {
  const truncate = query('truncate notes, people')
  for (const [name, copy, ...then] of rows) {
    for (const apart of [false, true]) {
      const { client: direct } = await directLogin(kit)
      direct.socket.write(truncate)
      await direct.ready()
      const wanted = await answered(direct, copy, then, apart)
      direct.socket.destroy()
      for (const way of Object.keys(portOf)) {
        await t.test(`${way}: ${name}${apart ? ', message by message' : ''}`, async () => {
          const client = await rawLogin(portOf[way] ?? 0, 'same', 'billing')
          try {
            client.socket.write(truncate)
            await client.ready()
            assert.deepEqual(await answered(client, copy, then, apart), wanted)
          } finally {
            client.socket.destroy()
          }
        })
      }
    }
  }
})
