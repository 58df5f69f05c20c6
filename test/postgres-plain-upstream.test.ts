import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { slab } from '../packages/bawn/src/socket-fast-path.ts'
import { type Kit, type RawClient, rawLogin, say, startKit } from './postgres-kit.ts'

// Where the gateway and PostgreSQL talk in clear, all sessions read into one buffer, and write from one: what belongs to one client must
// not change under the other's reading, however slowly each of them reads. So that nobody gets away with keeping a part of that buffer, it is
// overwritten after each turn of the event loop.

let kit: Kit
let door: PostgresListener
const poison = (): void => {
  slab.fill(0xee)
  setImmediate(poison).unref()
}
before(async () => {
  poison()
  kit = await startKit('create table people (id int primary key, email bytea, photo bytea)')
  const shop = kit.state.databases.get('shop')
  assert(shop !== undefined)
  const plain = { ...shop, upstream: { ...shop.upstream, tls: undefined } }
  door = await kit.listen({ tls: undefined }, { databases: new Map([['shop', plain]]) })
})
after(() => kit.stop())

const rows = 60_000
const cell = (letter: string, row: number): string => `${letter}${row} ${letter.repeat(row % 700)}`
const sqlOf = (letter: string): string =>
  `select '${letter}' || i || ' ' || repeat('${letter}', i % 700) from generate_series(1, ${rows}) i`

function wanted(letter: string): string {
  const hash = createHash('sha256')
  for (let row = 1; row <= rows; row += 1) hash.update(cell(letter, row))
  return hash.digest('hex')
}

/** Reads one result, from a while after it was asked for; the digest of its cells. */
async function read({ socket }: RawClient, letter: string, since: Promise<unknown>): Promise<string> {
  socket.removeAllListeners('data')
  socket.pause()
  socket.write(say.query(sqlOf(letter)))
  await since
  const chunks: Buffer[] = []
  await new Promise<void>(resolve => {
    socket.on('data', chunk => {
      chunks.push(chunk)
      if (chunk.subarray(-6).toString('latin1') === 'Z\0\0\0\x05I') resolve()
    })
    socket.resume()
  })
  const bytes = Buffer.concat(chunks)
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 1) + 1) {
    if (bytes[at] === 0x44) hash.update(bytes.subarray(at + 11, at + 11 + bytes.readInt32BE(at + 7)))
  }
  return hash.digest('hex')
}

test('large results of clients that read at different speeds arrive as they were sent', async () => {
  const slow = ['a', 'b']
  const quick = ['c', 'd']
  const login = (letter: string): Promise<RawClient> => rawLogin(door.address.port, `reader ${letter}`, 'billing')
  const clients = new Map(
    await Promise.all([...slow, ...quick].map(async letter => [letter, await login(letter)] as const)),
  )
  const start = (letter: string, since: Promise<unknown>): Promise<string> => {
    const client = clients.get(letter)
    assert(client !== undefined)
    return read(client, letter, since)
  }
  // Those who do not read: what the kernel does not take of theirs waits in the gateway while the others are served.
  const { promise, resolve } = Promise.withResolvers<void>()
  const late = slow.map(letter => start(letter, promise))
  const found = await Promise.all(quick.map(letter => start(letter, Promise.resolve())))
  resolve()
  found.unshift(...(await Promise.all(late)))
  for (const { socket } of clients.values()) socket.destroy()
  assert.deepEqual(found, [...slow, ...quick].map(wanted))
})
