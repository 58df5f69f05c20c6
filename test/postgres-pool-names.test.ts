import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { listenWithPool, type PooledDoor } from './pool-kit.ts'
import { type Kit, rawLogin, say, startKit } from './postgres-kit.ts'

// Names of prepared statements and portals in transaction mode: the gateway gives them out, and a client hears what it would hear on a
// connection of its own, also where the server skips messages behind an error. Random sequences have shown most of these to differ.

let kit: Kit
let pooled: PooledDoor
let ports: readonly [own: number, pool: number]
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text)`)
  pooled = await listenWithPool(kit, { mode: 'transaction', size: 1 })
  const listen = async (database = kit.state.databases.get('shop')): Promise<number> => {
    assert.ok(database !== undefined)
    return (await kit.listen({ tls: undefined }, { databases: new Map([['shop', database]]) })).address.port
  }
  ports = [await listen(), await listen(pooled.database)]
})
after(async () => {
  await pooled?.close()
  await kit?.stop()
})

const { parse, bind, execute, close, describe, query, sync, flush, copyData, copyDone } = say
const run = (portal: string, statement: string): Buffer => Buffer.concat([bind(portal, statement), execute(portal)])
const failing = parse('f', 'select no_such_column')
const long = `${'n'.repeat(63)}p`

/** Writes, one after the other; the number says how many ReadyForQuery answer it. */
const rows: readonly (readonly [name: string, ...writes: (readonly [ready: number, ...messages: Buffer[]])[]])[] = [
  [
    'a Close that an error in COPY has skipped: the name is taken',
    [
      1,
      parse('x', 'copy notes from stdin'),
      run('', 'x'),
      copyData('bad\n'),
      copyData('2\ttwo\n'),
      copyDone,
      close('S', 'x'),
      sync,
    ],
    [1, parse('x', 'copy notes from stdin'), sync],
  ],
  [
    'the same in one write with what comes behind it',
    [2, parse('x', 'select 1'), sync, failing, close('S', 'x'), sync],
    [2, failing, close('S', 'x'), sync, parse('x', 'select 2'), sync],
    [3, close('S', 'x'), sync, parse('x', 'select 2'), sync, run('', 'x'), sync],
    [2, failing, close('S', 'x'), sync, close('S', 'x'), parse('x', 'select 3'), sync],
    [1, run('', 'x'), sync],
  ],
  [
    'a statement that takes itself back, and one that is not there yet when it is named',
    [1, parse('s', 'deallocate s'), run('', 's'), sync],
    [1, parse('s', 'select 1'), sync],
    [1, parse('', 'deallocate t'), parse('t', 'select 1'), run('', ''), sync],
    [1, run('', 't'), sync],
  ],
  [
    'a query that was skipped leaves the unnamed statement',
    [1, parse('', 'select 1'), sync],
    [1, failing, query('select 2'), query('select 3'), sync],
    [1, describe('S', ''), run('', ''), sync],
    [1, query('select 4')],
    [1, run('', ''), sync],
  ],
  [
    'DISCARD ALL and DEALLOCATE with what comes behind them in one write',
    [2, parse('x', 'select 1'), sync, parse('y', 'select 2'), sync],
    [2, query('deallocate x'), run('', 'x'), sync],
    [1, parse('d', 'deallocate y'), run('', 'd'), run('', 'y'), sync],
    [2, query('deallocate all'), parse('d', 'select 3'), run('', 'd'), sync],
    [3, query('discard all'), run('', 'd'), sync, parse('d', 'select 4'), sync],
    [2, query('deallocate d'), query('deallocate d')],
    [2, parse('x', 'select 5'), sync, query('deallocate all; release a')],
    [1, run('', 'x'), sync],
    [2, parse('x', 'select 6'), sync, query('select 1; release a; deallocate all')],
    [1, run('', 'x'), sync],
  ],
  [
    'DEALLOCATE of names among other statements, and behind a comment',
    [2, parse('x', 'select 1'), sync, parse('Y z', 'select 2'), sync],
    [1, query('select 1; deallocate x; select 2')],
    [1, run('', 'x'), sync],
    [1, query('deallocate "Y z"; select 1/0')],
    [1, run('', 'Y z'), sync],
    [2, parse('x', 'select 3'), sync, query('select 1/0; deallocate x')],
    [2, run('', 'x'), sync, query('deallocate X; deallocate prepare x')],
    [2, parse('x', 'select 4'), sync, query('/* all of it */ deallocate x;')],
    [2, run('', 'x'), sync, parse('x', 'select 5'), sync],
    [1, parse('d', '/* by Parse */ deallocate x'), run('', 'd'), sync],
    [2, run('', 'x'), sync, parse('x', 'select 6'), sync],
    [1, query('begin; deallocate x; rollback')],
    [2, run('', 'x'), sync, query('deallocate x; select 7')],
    [2, parse('x', 'select 8'), sync, query('deallocate x; copy notes from stdin'), copyDone],
    [1, run('', 'x'), sync],
  ],
  [
    'a portal is called as the client called it',
    [2, query('begin'), parse('', 'select 1'), bind(long, ''), bind(long, ''), sync],
    [1, query('rollback')],
  ],
  [
    'batches that fail one behind the other',
    [1, parse('', 'select 1'), sync],
    [2, failing, parse('', 'select 2'), parse('x', 'select 2'), sync, failing, parse('', 'select 3'), sync],
    [1, describe('S', ''), run('', ''), sync],
    [1, run('', 'x'), sync],
  ],
  [
    'COPY that comes to its end, and its Sync',
    [1, query('copy notes from stdin'), sync, copyData('7\tseven\n'), copyDone],
    [1, parse('', 'copy notes from stdin'), run('', ''), flush, sync, copyData('8\teight\n'), copyDone, sync],
    [1, query('delete from notes')],
  ],
]

async function play(port: number, writes: readonly (readonly [ready: number, ...messages: Buffer[]])[]) {
  const client = await rawLogin(port, 'raw', 'billing')
  const heard: string[] = []
  for (const [ready, ...messages] of writes) {
    client.received = Buffer.alloc(0)
    client.socket.write(Buffer.concat(messages))
    await client.until(() => client.letters().split('Z').length - 1 >= ready)
    for (const { type, body } of client.messages()) {
      if (type === 'S') continue
      const error = type === 'E' ? parseErrorResponse(body, 0, body.length) : undefined
      heard.push(error === undefined ? `${type} ${body.toString()}` : `E ${error.get('C')} ${error.get('M')}`)
    }
  }
  client.socket.destroy()
  return heard
}

for (const [name, ...writes] of rows) {
  test(`${name}: as on a connection of its own`, async () => {
    assert.deepEqual(await play(ports[1], writes), await play(ports[0], writes))
  })
}
